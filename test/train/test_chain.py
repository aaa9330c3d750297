"""From transcripts to a student: what each supervision reads, what is left behind, and that a run is taken up again."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.core.segments import transcript
from hal_ros.core.work import Report
from hal_ros.labels.targets import load_targets
from hal_ros.train import chain
from hal_ros.train.config import TrainConfig, config_from_mapping
from synthetic_episodes import ACTIONS, SETTINGS, make_encoded_clips

pytestmark = pytest.mark.torch

TEACHER = {"width": 16, "heads": 2, "feed_forward": 16, "visual_width": 8, "action_width": 8, "start_epochs": 2}


def settings(cache: Path, **changes: object) -> TrainConfig:
    given: dict[str, Any] = SETTINGS
    data = {**given["data"], "cache": str(cache)}
    eye = {**given["eye"], "epochs": 2}
    optimiser = {"epochs": 2, "learning_rate": 0.01}
    return config_from_mapping(
        {**SETTINGS, "data": data, "eye": eye, "optimiser": optimiser, "teacher": TEACHER, **changes}
    )


@pytest.fixture(autouse=True)
def _grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "grid_of", lambda _: (2, 2, 4))


def encoded_clips(count: int, seed: int, annotated: bool = True) -> list:
    made = [
        dataclasses.replace(encoded, name=f"{encoded.name}-{seed}", transcript=tuple(transcript(encoded.actions)))
        for encoded in make_encoded_clips(count, seed)
    ]
    return (
        made
        if annotated
        else [dataclasses.replace(encoded, actions=np.full(encoded.ticks, NO_ACTION)) for encoded in made]
    )


def train(config: TrainConfig, training: list, validation: list, folder: Path, report: Report = lambda _: None) -> Any:
    return chain.train_on_encoded_clips(chain.RunSettings(config, folder, report), ACTIONS, training, validation)


def run(config: TrainConfig, folder: Path, annotated: bool = True) -> tuple[dict[str, Any], Any]:
    trained = train(config, encoded_clips(4, 0, annotated), encoded_clips(2, 1, annotated), folder)
    return dict(load_targets(folder).training), trained


def same_weights(first: Any, second: Any) -> bool:
    ours, theirs = first.model.state_dict(), second.model.state_dict()
    return all(bool((ours[name] == theirs[name]).all()) for name in ours)


def test_transcripts_are_all_that_is_read(tmp_path: Path) -> None:
    config = settings(tmp_path / "cache", supervision="transcripts")
    with_annotations, first = run(config, tmp_path / "a")
    without, second = run(config, tmp_path / "b", annotated=False)
    assert all(np.array_equal(with_annotations[name], without[name]) for name in without)
    assert same_weights(first, second)


def test_annotations_are_read_where_they_are_asked_for(tmp_path: Path) -> None:
    config = settings(tmp_path / "cache", supervision="annotations")
    labels, _ = run(config, tmp_path / "a")
    assert all(np.array_equal(labels[encoded.name], encoded.actions) for encoded in encoded_clips(4, 0))
    assert not (tmp_path / "a" / chain.TEACHER).exists()


def test_labels_follow_the_transcripts(tmp_path: Path) -> None:
    labels, _ = run(settings(tmp_path / "cache", supervision="transcripts"), tmp_path / "a", annotated=False)
    for encoded in encoded_clips(4, 0):
        assert tuple(transcript(labels[encoded.name])) == encoded.transcript


def test_a_run_is_taken_up_again(tmp_path: Path) -> None:
    config = settings(tmp_path / "cache", supervision="transcripts")
    _, first = run(config, tmp_path / "a")
    lines: list[str] = []
    again = train(config, encoded_clips(4, 0), encoded_clips(2, 1), tmp_path / "a", lines.append)
    assert same_weights(first, again)
    assert not [line for line in lines if line.startswith(("eye", "teacher", "epoch"))], "nothing was trained twice"


def test_other_settings_or_data_do_not_continue_a_run(tmp_path: Path) -> None:
    config = settings(tmp_path / "cache", supervision="annotations")
    run(config, tmp_path / "a")
    for other in (dataclasses.replace(config, seed=1), dataclasses.replace(config, supervision="transcripts")):
        with pytest.raises(DatasetError, match="holds a run with other settings or data"):
            run(other, tmp_path / "a")
    with pytest.raises(DatasetError, match="holds a run with other settings or data"):
        train(config, encoded_clips(3, 0), encoded_clips(2, 1), tmp_path / "a")


def test_episodes_without_transcripts_are_left_out_and_said_so(tmp_path: Path) -> None:
    config = settings(tmp_path / "cache", supervision="transcripts")
    training = encoded_clips(4, 0)
    training[0] = dataclasses.replace(training[0], transcript=())
    lines: list[str] = []
    train(config, training, encoded_clips(2, 1), tmp_path / "a", lines.append)
    assert "left out, as they have no transcript of their own: 1 stretch" in lines
    assert training[0].name not in load_targets(tmp_path / "a").training
    bare = [dataclasses.replace(encoded, transcript=()) for encoded in training]
    with pytest.raises(DatasetError, match="none of 4 episodes has a transcript"):
        train(config, bare, encoded_clips(2, 1), tmp_path / "b")


def test_a_name_in_both_splits_is_refused(tmp_path: Path) -> None:
    config = settings(tmp_path / "cache", supervision="transcripts")
    with pytest.raises(DatasetError, match="track-0-0 is the name of a training and of a validation clip"):
        train(config, encoded_clips(4, 0), encoded_clips(2, 0), tmp_path / "a")
    assert not (tmp_path / "a").exists()  # so that the same folder serves once the names are mended


def test_a_users_folder_is_none_of_a_run_whatever_lies_deep_in_it(tmp_path: Path) -> None:
    config = settings(tmp_path / "cache", supervision="annotations")
    for name in ("notes.txt", "runs/mine/checkpoint.npz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    with pytest.raises(DatasetError, match=r"holds notes\.txt, but no run; expected another"):
        train(config, encoded_clips(3, 0), encoded_clips(2, 1), tmp_path)


def test_what_a_killed_call_left_half_written_is_removed(tmp_path: Path) -> None:
    config = settings(tmp_path / "cache", supervision="annotations")
    left = [tmp_path / "a" / "origin.txt.1.unfinished", tmp_path / "a" / "checkpoint.npz.2.unfinished"]
    left[0].parent.mkdir()
    left[0].write_text("a4")
    run(config, tmp_path / "a")
    left[1].write_bytes(b"PK")
    run(config, tmp_path / "a")
    assert not any(path.exists() for path in left)
