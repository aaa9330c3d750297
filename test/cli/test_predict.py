"""`hal predict`: one label a frame for clips that nobody has annotated, or one line of what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from feature_folder import SPLITS, VOCABULARY, WIDTH
from hal_ros.cli import main

pytestmark = pytest.mark.torch
pytest.importorskip("torch")


def predict(*args: object) -> int:
    return main(["predict", *map(str, args)])


def test_new_clips_get_the_labels_that_the_run_gave_them_as_test_clips(
    feature_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = feature_run.parent / "data" / "features" / "anna-0.npy"
    turned = tmp_path / "turned.npy"
    np.save(turned, np.load(source).T)
    assert predict(feature_run, source, turned, "--out", tmp_path / "out") == 0
    expected = (feature_run / "predictions" / "anna-0.txt").read_text()
    assert {(tmp_path / "out" / f"{name}.txt").read_text() for name in ("anna-0", "turned")} == {expected}
    frames = np.load(source).shape[1]
    assert expected.count("\n") == frames and set(expected.split()) <= set(VOCABULARY)
    assert f"2 clips, {2 * frames} frames, one label a frame" in capsys.readouterr().out


def test_a_folder_is_labelled_whole_and_missing_values_are_counted(
    feature_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    holes = np.random.default_rng(0).normal(size=(1, WIDTH))
    holes[0, :2] = np.nan, np.inf
    np.save(clips / "one_frame.npy", holes)
    np.save(clips / "whole_numbers.npy", np.ones((WIDTH, 40), np.int16))
    assert predict(feature_run, clips, "--out", tmp_path) == 0
    assert len((tmp_path / "one_frame.txt").read_text().splitlines()) == 1
    assert "one_frame: 2 of 5 values are not finite, taken as missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((20, WIDTH + 1)), rf"shape (20, 6); expected (T, {WIDTH}) or ({WIDTH}, T), as the model learned"),
        (np.full((20, WIDTH), np.nan), "holds no finite value"),
        (np.zeros((0, WIDTH)), "holds no value; expected one frame or more"),
        (np.zeros((2, 3, WIDTH)), "expected two dimensions"),
        (np.array([["a"] * WIDTH]), "expected floating point numbers or integers"),
        (None, "no such file"),
    ],
)
def test_a_clip_that_can_not_be_read_is_one_line_and_nothing_is_written(
    feature_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], array: np.ndarray | None, said: str
) -> None:
    good, wrong = tmp_path / "a.npy", tmp_path / "b.npy"
    np.save(good, np.ones((20, WIDTH)))
    if array is not None:
        np.save(wrong, array)
    assert predict(feature_run, good, wrong, "--out", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "b.npy" in error and said in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_is_no_run_and_two_clips_of_one_name_are_refused(
    feature_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = feature_run.parent / "data" / "features" / f"{SPLITS['1']['train'][0]}.npy"
    assert predict(tmp_path, clip, "--out", tmp_path) == 1
    assert "is neither a run nor a bundle; expected a finished run" in capsys.readouterr().err
    assert predict(feature_run, clip, clip.parent, "--out", tmp_path) == 1
    assert "1 names stand for several clips" in capsys.readouterr().err
    assert predict(feature_run, tmp_path, "--out", tmp_path) == 1
    assert "holds no .npy file" in capsys.readouterr().err
    (tmp_path / "features.json").write_text('{"width": 3}')
    assert predict(tmp_path, clip, "--out", tmp_path) == 1
    assert "features.json: key 'vocabulary' is missing; expected one" in capsys.readouterr().err


def test_a_bundle_with_cameras_takes_no_vectors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shipped = Path(__file__).parents[2] / "models" / "tabletop"
    np.save(tmp_path / "a.npy", np.ones((20, 21)))
    assert predict(shipped, tmp_path / "a.npy", "--out", tmp_path) == 1
    assert "takes pictures (camera), not feature vectors" in capsys.readouterr().err
