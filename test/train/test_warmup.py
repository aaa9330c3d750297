"""The warm-up teaches the eye from single ticks, and repeats itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from synthetic_tracks import HAL, SETTINGS, make_tracks  # noqa: E402

from hal_ros.train.config import config_from_mapping  # noqa: E402
from hal_ros.train.loop import new_model, track_inputs  # noqa: E402
from hal_ros.train.tracks import measure  # noqa: E402
from hal_ros.train.warmup import warm_up  # noqa: E402

CONFIG = config_from_mapping(SETTINGS)


def warmed(epochs: int):
    tracks = make_tracks(10, seed=0)
    config = replace(CONFIG, optimiser=replace(CONFIG.optimiser, warmup_epochs=epochs))
    model = new_model(config, HAL, measure(tracks, HAL.grid[2]))
    warm_up(config, model, tracks, report=lambda _: None)
    return model.eval()


@torch.no_grad()
def accuracy(model, modalities: str = "both") -> float:
    tracks = make_tracks(4, seed=1)
    right = [model.look(track_inputs(t, modalities))[0].argmax(1).numpy() == t.actions for t in tracks]
    return sum(float(r.mean()) for r in right) / len(right)


def test_single_ticks_are_told_apart_by_camera_and_joints_together():
    with torch.enable_grad():
        model = warmed(30)
    assert accuracy(model) > 0.8
    assert accuracy(model, "joints") < 0.7  # the control


def test_trunk_and_heads_are_left_alone_and_a_second_run_gives_the_same():
    before, first, second = (warmed(epochs).state_dict() for epochs in (0, 1, 1))
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], first[name])}
    assert changed == {"eye", "joints", "glance"}
    assert all(torch.equal(first[name], second[name]) for name in first)
