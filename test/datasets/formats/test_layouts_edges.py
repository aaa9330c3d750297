"""Odd but possible data is defined: gaps, one frame, very long clips, odd transcripts, other sample rates."""

from __future__ import annotations

import mmap
import re
import resource
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_ros.core.errors import DatasetError
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.formats import layout_features
from hal_ros.datasets.formats.layout_files import write_clip_files, write_dataset_files
from hal_ros.datasets.formats.layouts import LAYOUTS, Dataset, read_dataset, subsample, to_full_length

VOCABULARY = ("reach", "pour", "wipe")
WIDTH = 4


def write(
    folder: Path, name: str, features: np.ndarray, transcript: list[str] | None = None, truth: bool = True
) -> None:
    """Write one clip of (T, D) features that reaches all the time."""
    write_clip_files(folder, name, features.T, ["reach"] * len(features) if truth else None, transcript)


def read(folder: Path, *names: str) -> Dataset:
    write_dataset_files(folder, VOCABULARY, {"train": names}, "1")
    return read_dataset(folder, orientation="DT")


def base(array: Any) -> object:
    """Return what holds an array's memory."""
    return array if getattr(array, "base", None) is None else base(array.base)


# --- features ---------------------------------------------------------------------------------------------------------


def test_missing_and_constant_values_pass_untouched(tmp_path: Path) -> None:
    features = np.ones((30, WIDTH), np.float16)
    features[5:9] = np.nan
    features[:, 2] = np.nan
    write(tmp_path, "gaps", features)
    np.testing.assert_array_equal(read(tmp_path, "gaps").subsets["train"][0].inputs, features)


def test_a_clip_of_one_frame_is_a_clip(tmp_path: Path) -> None:
    write(tmp_path, "one", np.ones((1, WIDTH)))
    write(tmp_path, "two", np.ones((40, WIDTH)))
    clip = read(tmp_path, "one", "two").subsets["train"][0]
    assert clip.ticks == 1 and clip.inputs.shape == (1, WIDTH) and clip.actions.tolist() == [0]


def test_a_long_clip_stays_on_disk(tmp_path: Path) -> None:
    ticks, width = 100_000, 256
    (tmp_path / "features").mkdir()
    path = tmp_path / "features" / "long.npy"
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(width, ticks))  # a file with holes
    array[:, -1] = 1
    array.flush()
    (tmp_path / "groundTruth").mkdir()
    (tmp_path / "groundTruth" / "long.txt").write_text("reach\n" * ticks)
    tracemalloc.start()
    clip = read(tmp_path, "long").subsets["train"][0]
    thinned = subsample(clip, 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < array.nbytes / 2
    assert clip.ticks == ticks and clip.inputs[-1].tolist() == [1] * width
    assert isinstance(base(clip.inputs), mmap.mmap) and isinstance(base(thinned.inputs), mmap.mmap)


def test_integers_are_read_exactly_and_noted(tmp_path: Path) -> None:
    features = np.array([[0, 255, 7, 1]] * 20, np.uint8)
    write(tmp_path, "one", features)
    dataset = read(tmp_path, "one")
    inputs = dataset.subsets["train"][0].inputs
    assert np.issubdtype(inputs.dtype, np.floating) and inputs[0].tolist() == [0, 255, 7, 1]
    assert any("hold integers" in line for line in dataset.notes)


@pytest.fixture
def file_limit() -> Iterator[tuple[int, int]]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield limits
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_more_clips_than_a_process_may_open_files(tmp_path: Path, file_limit: tuple[int, int]) -> None:
    names = [f"clip{number}" for number in range(150)]
    for name in names:
        write(tmp_path, name, np.ones((2, WIDTH)))
    low = len(list(Path("/proc/self/fd").iterdir())) + 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, file_limit[1]))
    dataset = read(tmp_path, *names)
    assert all(clip.inputs.sum() == 2 * WIDTH for clip in dataset.subsets["train"])
    assert any(f"raised from {low} to" in line for line in dataset.notes)


def test_more_clips_than_the_machine_allows_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "one", np.ones((20, WIDTH)))
    monkeypatch.setattr(layout_features.resource, "getrlimit", lambda _: (64, 64))  # type: ignore[attr-defined]
    with pytest.raises(DatasetError, match="1 feature files, but a process may open 64; expected `ulimit -Hn"):
        read(tmp_path, "one")


def header(text: str) -> bytes:
    """A .npy file that says this of itself."""
    padded = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode() + bytes(64)


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04 but no archive",
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 4), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (-4, 4), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': 7, }"),
        header('"""'),
    ],
)
def test_a_file_that_says_absurd_things_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, "one", np.ones((20, WIDTH)))
    (tmp_path / "features" / "one.npy").write_bytes(content)
    with pytest.raises(DatasetError, match=r"one\.npy: (no readable \.npy file \(|an archive)") as caught:
        read(tmp_path, "one")
    assert "\n" not in str(caught.value)


# --- transcripts ------------------------------------------------------------------------------------------------------


def test_repeated_neighbours_and_empty_transcripts_are_kept_and_noted(tmp_path: Path) -> None:
    write(tmp_path, "repeats", np.ones((30, WIDTH)), ["reach", "pour", "pour"], truth=False)
    write(tmp_path, "empty", np.ones((20, WIDTH)), [], truth=False)
    dataset = read(tmp_path, "repeats", "empty")
    assert [clip.transcript for clip in dataset.subsets["train"]] == [(0, 1, 1), ()]
    assert "transcripts: 1 of 2 files repeat an action with none between (repeats)" in dataset.notes
    assert "transcripts: 1 of 2 files are empty, these transcripts are unknown (empty)" in dataset.notes
    assert "train: 1 of 3 actions never occur (wipe)" in dataset.notes


def test_a_transcript_that_the_ground_truth_does_not_follow_is_noted(tmp_path: Path) -> None:
    write(tmp_path, "other", np.ones((30, WIDTH)), ["reach", "pour"])
    write(tmp_path, "same", np.ones((30, WIDTH)), ["reach", "reach"])
    notes = read(tmp_path, "other", "same").notes
    assert "transcripts: 1 of 2 files differ from the ground truth's order (other)" in notes


def test_transcripts_are_taken_from_the_ground_truth_only_when_asked(tmp_path: Path) -> None:
    write(tmp_path, "one", np.ones((30, WIDTH)))
    write(tmp_path, "two", np.ones((40, WIDTH)), ["reach", "reach"])
    plain = read(tmp_path, "one", "two").subsets["train"]
    asked = read_dataset(tmp_path, orientation="DT", derive_transcripts=True).subsets["train"]
    assert [clip.transcript for clip in plain] == [(), (0, 0)]
    assert [clip.transcript for clip in asked] == [(0,), (0, 0)]


def test_an_empty_transcript_is_derived_as_a_missing_one(tmp_path: Path) -> None:
    write(tmp_path, "empty", np.ones((30, WIDTH)), [])
    write(tmp_path, "blind", np.ones((40, WIDTH)), [], truth=False)
    plain = read(tmp_path, "empty", "blind")
    asked = read_dataset(tmp_path, orientation="DT", derive_transcripts=True)
    assert [clip.transcript for clip in plain.subsets["train"]] == [(), ()]
    assert "transcripts: 0 from files, 0 from ground truth, 2 unknown" in plain.notes
    assert "transcripts: 2 of 2 files are empty, these transcripts are unknown (empty, blind)" in plain.notes
    assert [clip.transcript for clip in asked.subsets["train"]] == [(0,), ()]
    assert "transcripts: 0 from files, 1 from ground truth, 1 unknown" in asked.notes
    assert "transcripts: 1 of 2 files are empty, these transcripts are unknown (blind)" in asked.notes
    assert "transcripts: 1 of 2 files are empty, these transcripts come from the ground truth (empty)" in asked.notes


# --- sample rate ------------------------------------------------------------------------------------------------------


@given(ticks=st.integers(1, 200), stride=st.integers(1, 40))
def test_the_way_back_to_full_length(ticks: int, stride: int) -> None:
    clip = Clip("one", np.arange(ticks, dtype=float)[:, None], np.arange(ticks), ())
    thinned = subsample(clip, stride)
    kept = np.arange(0, ticks, stride)
    assert thinned.actions.tolist() == kept.tolist() == thinned.inputs[:, 0].tolist()
    for take in ("nearest", "previous"):
        full = to_full_length(thinned.actions, ticks, stride, take)
        assert len(full) == ticks
        np.testing.assert_array_equal(full[::stride], thinned.actions)
        distance = np.abs(kept[None] - np.arange(ticks)[:, None])
        if take == "nearest":
            np.testing.assert_array_equal(np.abs(full - np.arange(ticks)), distance.min(axis=1))
        else:
            assert np.all(full <= np.arange(ticks)) and np.all(np.arange(ticks) - full < stride)


def test_stride_one_changes_nothing_and_no_stride_is_refused(rng: np.random.Generator) -> None:
    clip = Clip("one", rng.normal(size=(9, WIDTH)), np.arange(9), (1, 2))
    assert np.shares_memory(subsample(clip, 1).inputs, clip.inputs)
    np.testing.assert_array_equal(to_full_length(clip.inputs, 9, 1), clip.inputs)
    with pytest.raises(DatasetError, match="stride 0; expected 1 or more"):
        subsample(clip, 0)
    with pytest.raises(DatasetError, match="4 rows; expected 5 for 9 ticks at stride 2"):
        to_full_length(np.zeros(4), 9, 2)


# --- the documentation ------------------------------------------------------------------------------------------------


def test_the_documented_way_to_write_a_folder_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).parents[3] / "docs" / "datasets.md").read_text()
    monkeypatch.chdir(tmp_path)
    exec(text.split("```python\n")[1].split("```")[0], {})
    assert "clips: 2 train" in capsys.readouterr().out
    listed = re.findall(r"^\| `(\w+)` \|.*\| (\d+) \| ", text, re.MULTILINE)
    assert {name: int(frames) for name, frames in listed} == {name: layout.max_clip for name, layout in LAYOUTS.items()}
