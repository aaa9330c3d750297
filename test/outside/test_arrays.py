"""What NumPy wrote is read as NumPy would; see test/test_strangers_files.py for what others write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hal_ros.core.errors import CardError
from hal_ros.outside.arrays import read_arrays
from hal_ros.outside.reading import MIB, Expected
from mutations import INFLATING

ARRAYS = Expected(CardError, "arrays", 8 * MIB)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_all_arrays_are_as_numpy_reads_them(save: object, tmp_path: Path) -> None:
    arrays = {
        "a": np.arange(6).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "none": np.zeros((0, 3), np.float16),
        "one": np.array(2.5),
        "text": np.array("grüße"),
        "names": np.array(["a", "bc"]),
        "x/y": np.array([True]),
        "large": np.zeros(1 << 20, np.uint8),
    }
    save(tmp_path / "a.npz", **arrays)  # type: ignore[operator]
    found = read_arrays(tmp_path / "a.npz", ARRAYS)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert (found[name].dtype, found[name].flags.writeable) == (array.dtype, True)
    assert read_arrays(tmp_path / "a.npz", ARRAYS, ["one"]).keys() == {"one"}
    with pytest.raises(CardError, match=r"no 'other'"):
        read_arrays(tmp_path / "a.npz", ARRAYS, ["other"])


def test_what_inflates_or_could_run_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(INFLATING)
    for limit in (ARRAYS, Expected(CardError, "arrays", 1 << 40)):
        with pytest.raises(CardError, match="unpacks from"):
            read_arrays(tmp_path / "a.npz", limit)
    np.savez(tmp_path / "b.npz", a=np.array([{}], object))
    with pytest.raises(CardError, match="which only pickle reads"):
        read_arrays(tmp_path / "b.npz", ARRAYS)
