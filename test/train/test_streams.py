"""Robots with several cameras and states, with cameras alone and with states alone: trained, and when one is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from hal_ros.core.errors import DatasetError  # noqa: E402
from hal_ros.core.segments import transcript  # noqa: E402
from hal_ros.core.streams.columns import groups_of  # noqa: E402
from hal_ros.datasets.config import streams_of  # noqa: E402
from hal_ros.labels.targets import load_targets  # noqa: E402
from hal_ros.train import chain, stages  # noqa: E402
from hal_ros.train.clips import attended_clips  # noqa: E402
from hal_ros.train.student import answer  # noqa: E402
from synthetic_episodes import GRID  # noqa: E402
from synthetic_streams import CAMERAS, STATES, accuracy, make_clips, settings, train, without  # noqa: E402

NEVER = {"stream_masked": 0.0, "camera_masked": 0.0, "joints_masked": 0.0, "joint_dropout": 0.0}
CHANCE = 0.25
ROBOTS = {
    "all": (CAMERAS, STATES),
    "cameras": (CAMERAS, ()),
    "camera": (CAMERAS[:1], ()),
    "states": ((), STATES),
    "state": ((), STATES[:1]),
    "camera and states": (CAMERAS[:1], STATES),
}


@pytest.fixture(autouse=True)
def _grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "grid_of", lambda _: GRID)


def lost(folder: Path, dropout: dict[str, float]) -> dict[str, float]:
    """Accuracy without any one stream, of a robot that is trained with this dropout; with all of them under ''."""
    eye = {name: share for name, share in dropout.items() if name != "camera_masked"}
    band = {"trunk": "band", "differences": []}  # which leans on what it is shown more than a recurrent trunk does
    config = settings(folder / "cache", seed=1, batches=dropout, eye=eye, model=band, optimiser={"epochs": 8})
    validation = make_clips(4, 1, config)
    trained = train(config, folder, make_clips(12, 0, config), validation)
    found = {name: accuracy(config, folder, trained, without(validation, name, config)) for name in (*CAMERAS, *STATES)}
    return {**found, "": accuracy(config, folder, trained, validation)}


def test_any_stream_may_be_lost_if_that_was_trained(tmp_path: Path) -> None:
    found = lost(tmp_path / "with", {"stream_masked": 0.5})
    assert min(found.values()) > 0.65 > CHANCE
    control = lost(tmp_path / "never", NEVER)
    assert control[""] > 0.8
    assert control["front"] < 0.55


@pytest.mark.parametrize("supervision", ["annotations", "transcripts"])
@pytest.mark.parametrize("robot", ROBOTS)
def test_every_robot_is_trained_and_loaded_again(robot: str, supervision: str, tmp_path: Path) -> None:
    config = settings(tmp_path / "cache", *ROBOTS[robot], supervision=supervision)
    training, validation = make_clips(4, 0, config), make_clips(2, 1, config)
    train(config, tmp_path / "run", training, validation)
    run = stages.load_run(tmp_path / "run")
    cameras, states = ROBOTS[robot]
    assert len(run.eyes) == len(cameras)
    assert run.model.config.joint_values == 2 * len(states)
    kept = {path.name for path in (tmp_path / "run").iterdir() if path.name.startswith("eye")}
    assert kept == {"eye", "eye-wrist"} & {"eye-wrist" if index else "eye" for index in range(len(cameras))}
    groups = groups_of(streams_of(run.config.data))
    for clips in (validation, *(without(validation, name, config) for name in (*cameras, *states))):
        (clip, _) = attended_clips(run.eyes, clips, groups).clips
        assert answer(run.model, clip).log_probs.shape == (60, 4)
    for clip_name, labels in load_targets(tmp_path / "run").training.items():
        assert tuple(transcript(labels)) == next(clip.transcript for clip in training if clip.name == clip_name)


def test_a_run_says_which_eyes_it_was_made_from(tmp_path: Path) -> None:
    config = settings(tmp_path / "cache")
    train(config, tmp_path / "run", make_clips(2, 0, config), make_clips(1, 1, config))
    run, split = stages.load_run(tmp_path / "run"), stages.PreparedSplit([], [], "")
    made = stages.trained_from(run, tmp_path / "run", split, split)
    assert len({made["eye"], made["eye-wrist"], made["labels"]}) == 3


def test_each_eye_learns_from_its_own_camera(tmp_path: Path) -> None:
    config = settings(tmp_path / "cache")
    first, second = (chain.RunSettings(config, tmp_path / name, lambda _: None) for name in ("a", "b"))
    clips = make_clips(2, 0, config)
    targets = {clip.name: clip.actions for clip in clips}
    eyes = chain.fit_eyes(first, 4, clips, targets)
    for clip in clips:
        clip.features[1][:] = 0
    others = chain.fit_eyes(second, 4, clips, targets)
    assert same(eyes[0], others[0])
    assert not same(eyes[1], others[1])


def test_other_pictures_do_not_continue_a_run_of_cameras_alone(tmp_path: Path) -> None:
    config = settings(tmp_path / "cache", CAMERAS, ())
    training, validation = make_clips(2, 0, config), make_clips(1, 1, config)
    train(config, tmp_path / "run", training, validation)
    training[0].features[0][:] += 1
    with pytest.raises(DatasetError, match="holds a run with other settings or data"):
        train(config, tmp_path / "run", training, validation)


def same(first: Any, second: Any) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return all(np.array_equal(ours[name], theirs[name]) for name in ours)
