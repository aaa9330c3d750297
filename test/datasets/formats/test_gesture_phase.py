"""Gesture Phase Segmentation: the converter's output is what its files say, and the real set reads as a dataset."""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hal_ros.core import segments
from hal_ros.core.errors import DatasetError
from hal_ros.datasets.formats.layouts import read_dataset

SCRIPT = Path(__file__).parents[3] / "scripts" / "convert_gesture_phase.py"
HEADER = "lhx,lhy,lhz,rhx,rhy,rhz,hx,hy,hz,sx,sy,sz,lwx,lwy,lwz,rwx,rwy,rwz,timestamp,phase"


@pytest.fixture(scope="module")
def converter() -> ModuleType:
    spec = importlib.util.spec_from_file_location("convert_gesture_phase", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_raw(path: Path, positions: np.ndarray, phases: list[str], encoding: str = "utf-8") -> None:
    """Write a recording as UCI publishes it: one frame a line, then its time in ms and its phase."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.writer(file)
        writer.writerow(HEADER.split(","))
        for number, (frame, phase) in enumerate(zip(positions.T, phases, strict=True)):
            writer.writerow([*(f"{value:.9g}" for value in frame), 5_700_000 + 33 * number, phase])


def test_small_recordings_become_a_dataset(converter: ModuleType, tmp_path: Path, rng: np.random.Generator) -> None:
    positions = {
        name: rng.normal(size=(18, 20 + number)).astype(np.float32) for number, name in enumerate(("a1", "a2", "b1"))
    }
    for name, array in positions.items():
        write_raw(tmp_path / "uci" / f"{name}_raw.csv", array, ["Rest"] * 10 + ["Stroke"] * (array.shape[1] - 10))
    assert converter.convert(tmp_path / "uci", tmp_path / "set") == ("a1", "a2", "b1")
    for split, tested in (("1", ["a1", "a2"]), ("2", ["b1"])):
        dataset = read_dataset(tmp_path / "set", split, derive_transcripts=True)
        assert [clip.name for clip in dataset.subsets["test"]] == tested
        for clip in (*dataset.subsets["train"], *dataset.subsets["test"]):
            np.testing.assert_array_equal(clip.inputs, positions[clip.name].T)
            assert clip.transcript == (0, 2)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_phases_that_stayed_in_portuguese_are_translated(converter: ModuleType, tmp_path: Path, encoding: str) -> None:
    write_raw(tmp_path / "a1_raw.csv", np.zeros((18, 3)), ["Preparação", "rest", " Hold "], encoding)
    assert converter.read_recording(tmp_path / "a1_raw.csv")[1] == ["Preparation", "Rest", "Hold"]


def test_what_is_malformed_is_named_with_its_line(converter: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "a1_raw.csv"
    with pytest.raises(DatasetError, match=r"holds no \*_raw.csv"):
        converter.convert(tmp_path, tmp_path / "set")
    write_raw(path, np.zeros((18, 3)), ["Rest", "Wave", "Rest"])
    with pytest.raises(DatasetError, match=r"a1_raw.csv:3: phase 'Wave'; expected one of Rest,"):
        converter.convert(tmp_path, tmp_path / "set")
    text = path.read_text()
    path.write_text(text.replace("0,0,0", "0,,0", 1))
    with pytest.raises(DatasetError, match=r"a1_raw.csv:2: could not convert"):
        converter.read_recording(path)
    path.write_text(text.replace("rwz", "other", 1))
    with pytest.raises(DatasetError, match=r"a1_raw.csv:1: no column rwz"):
        converter.read_recording(path)
    path.write_text(HEADER + "\n")
    with pytest.raises(DatasetError, match="holds no frame"):
        converter.read_recording(path)


def test_the_command_line_says_what_is_wrong(
    converter: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["convert", str(tmp_path), str(tmp_path / "set")])
    assert converter.main() == 1 and "error: " in capsys.readouterr().err
    write_raw(tmp_path / "a1_raw.csv", np.zeros((18, 3)), ["Rest"] * 3)
    assert converter.main() == 0 and "1 recordings" in capsys.readouterr().out


def test_the_real_set_reads_as_its_description_says(data_folder: Path) -> None:
    tested = []
    for split in ("1", "2", "3"):
        dataset = read_dataset(data_folder / "gesture_phase", split, derive_transcripts=True)
        assert dataset.vocabulary == ("Rest", "Preparation", "Stroke", "Hold", "Retraction")
        assert dataset.background == ()
        clips = (*dataset.subsets["train"], *dataset.subsets["test"])
        assert len(clips) == 7 and sum(clip.ticks for clip in clips) == 9901
        for clip in clips:
            assert clip.inputs.shape == (clip.ticks, 18) and len(clip.actions) == clip.ticks
            assert len(clip.transcript) == len(segments.runs(clip.actions))
        users = {subset: {clip.name[0] for clip in members} for subset, members in dataset.subsets.items()}
        assert not users["train"] & users["test"] and len(users["test"]) == 1
        tested += [clip.name for clip in dataset.subsets["test"]]
    assert sorted(tested) == ["a1", "a2", "a3", "b1", "b3", "c1", "c3"]


def test_the_real_set_through_its_raw_files_and_the_converter_is_the_same(
    converter: ModuleType, data_folder: Path, tmp_path: Path
) -> None:
    real = data_folder / "gesture_phase"
    for path in sorted((real / "features").glob("*.npy")):
        phases = (real / "groundTruth" / f"{path.stem}.txt").read_text().split()
        write_raw(tmp_path / "uci" / f"{path.stem}_raw.csv", np.load(path), phases)
    converter.convert(tmp_path / "uci", tmp_path / "set")
    written = sorted(path.relative_to(real) for path in real.rglob("*") if path.is_file())
    assert written == sorted(path.relative_to(tmp_path / "set") for path in (tmp_path / "set").rglob("*.*"))
    for path in written:
        assert (tmp_path / "set" / path).read_bytes() == (real / path).read_bytes(), path
