"""Systems: trained, heard, scored."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from hal_ros.datasets.clips import Clip  # noqa: E402
from hal_ros.experiments.files import SCORES  # noqa: E402
from hal_ros.experiments.jobs import systems  # noqa: E402
from hal_ros.labels.targets import load_targets  # noqa: E402
from hal_ros.metrics import answer_files  # noqa: E402
from hal_ros.nn.hal import CausalHal  # noqa: E402
from hal_ros.train import student as loop  # noqa: E402
from hal_ros.train.config import config_from_mapping  # noqa: E402
from table_jobs import ACTIONS, COLUMNS, CONFIG, LAG, TINY, clip, do  # noqa: E402


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("student", {"config": CONFIG}),
        ("student", {"config": CONFIG, "modalities": "camera"}),
        ("baseline", {"system": "rule", "seed": 0, "lag_ticks": LAG, "joints": ["arm", "gripper"]}),
        ("baseline", {"system": "logistic", "seed": 0, "lag_ticks": LAG}),
        ("baseline", {"system": "gru", "seed": 0, "lag_ticks": LAG, "preset": {**TINY, "kind": "gru"}}),
        (
            "baseline",
            {"system": "mini_road_small", "seed": 0, "lag_ticks": LAG, "preset": {**TINY, "kind": "mini_road"}},
        ),
        ("baseline", {"system": "ms_tcn", "seed": 0, "lag_ticks": LAG, "preset": {**TINY, "kind": "ms_tcn"}}),
        ("baseline", {"system": "asformer", "seed": 0, "lag_ticks": LAG, "preset": {**TINY, "kind": "asformer"}}),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.get("system", value.get("modalities", "both"))),
)
def test_a_system_is_trained_answers_and_is_scored(
    folders: dict[str, Path], tmp_path: Path, kind: str, settings: dict[str, Any]
) -> None:
    inputs = {"clips": folders["clips"], "labels": folders["labels"]}
    folder = do(tmp_path, kind, settings, inputs)
    offline = settings.get("system") in ("ms_tcn", "asformer")
    for split, count in (("validation", 2), ("test", 2), ("unseen", 1)):
        said = answer_files.load(folder / f"{split}.npz")
        assert len(said) == count and all(one.offline == offline for one in said)
        assert all(np.allclose(np.exp(one.log_probs).sum(1), 1, atol=1e-3) for one in said)
    (held_out, *_) = answer_files.load(folder / "validation.npz")
    assert np.array_equal(held_out.targets, load_targets(folders["labels"]).validation[held_out.name])
    assert not (folder / "run").exists()
    scoring = {"splits": ["unseen"], "decoder": "duration", "kinds": ["duration", "argmax"], "lag_ticks": LAG}
    scores = json.loads((do(tmp_path, "score", scoring, {"answers0": folder}) / SCORES).read_text())
    assert scores["unseen"]["offline" if offline else "confirmed"]["MoF"] > 0
    assert scores["all"]["model"]["parameters"] > 0 < scores["all"]["model"]["ms per tick"]
    assert (folder / "latents-unseen.npz").exists() == (kind == "student")


def long_clip() -> Clip:
    one = clip("long", 5)
    return replace(one, inputs=np.tile(one.inputs, (5, 1)), actions=np.tile(one.actions, 5))


def untrained() -> CausalHal:
    return loop.new_model(config_from_mapping(CONFIG), ACTIONS, COLUMNS, [clip("a", 1)]).eval()


def test_latents_are_found_in_pieces_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model, one, seen = untrained(), long_clip(), []
    with torch.no_grad():
        whole, _ = model(loop.stream_inputs(one, COLUMNS), model.initial_state())
        model.register_forward_pre_hook(lambda _, given: seen.append(given[0].joints.shape[1]))
        found = systems._latents(model, one)
    assert sum(seen) == one.ticks > 2 * loop.ANSWER_TICKS and max(seen) == loop.ANSWER_TICKS
    for ours, theirs in zip(found, (whole.visual, whole.context), strict=True):
        np.testing.assert_allclose(ours, theirs[0].numpy(), atol=1e-5)


def test_a_students_tick_costs_what_its_processor_spends_not_what_the_clock_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = untrained()
    model.register_forward_pre_hook(lambda *_: time.sleep(0.02))  # something else runs
    assert 0 < systems._student_ms(model, clip("a", 1), ticks=5) < 15
