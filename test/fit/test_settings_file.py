"""A file of settings is read as it is written, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal_ros.core.errors import ConfigError
from hal_ros.fit.settings_file import WrittenNumber, read_settings


def test_numbers_and_dates_keep_their_text(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("{a: 010, b: [1.10, x], c: 2024-11-02, d: true, 7: null}\n")
    found = read_settings(path)
    assert (found["a"], found["b"][0]) == (WrittenNumber(8, "010"), WrittenNumber(1.1, "1.10"))
    assert found["c"].text == "2024-11-02" and found["d"] is True
    assert [str(key) for key in found] == ["a", "b", "c", "d", "7"]
    assert f"{found['a']!r}" == "8", "messages show the number"


def test_nothing_is_no_setting_and_a_broken_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("")
    assert read_settings(path) == {}
    for text in ("a: [", "a: 1\na: 2\n"):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"own\.yaml: can't be read as a YAML file of settings") as caught:
            read_settings(path)
        assert "\n" not in str(caught.value)
