"""The job that measures what a tick costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from hal_ros.baselines import costs as measuring  # noqa: E402
from hal_ros.core.errors import ConfigError  # noqa: E402
from hal_ros.experiments.files import COSTS  # noqa: E402
from hal_ros.experiments.jobs import costs  # noqa: E402
from table_jobs import CONFIG, LAG, TEACHER, TINY, clips_folder, do  # noqa: E402

BASELINE = {"kind": "baseline", "seed": 0, "lag_ticks": LAG}
SYSTEMS: dict[str, dict[str, Any]] = {
    "student": {"kind": "student", "config": CONFIG},
    "teacher": {"kind": "teacher", "config": TEACHER},
    "gripper rule": {**BASELINE, "system": "rule", "joints": ["arm", "gripper"]},
    "logistic": {**BASELINE, "system": "logistic"},
    "OnlineTAS": {**BASELINE, "system": "online_tas", "preset": {**TINY, "kind": "online_tas", "clip_ticks": 4}},
    "MS-TCN": {**BASELINE, "system": "ms_tcn", "preset": {**TINY, "kind": "ms_tcn"}},
}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "ROUNDS", 2)
    monkeypatch.setattr(costs, "WHOLE_CLIP_TICKS", 30)


def test_all_systems_are_measured_in_one_job(tmp_path: Path) -> None:
    clips = clips_folder(tmp_path / "clips")
    found = json.loads((do(tmp_path, "cost", {"systems": SYSTEMS}, {"clips": clips}) / COSTS).read_text())
    assert set(found) == set(SYSTEMS)
    assert all(cost["ms_per_tick"] > 0 < cost["parameters"] for cost in found.values())
    assert torch.get_num_threads() == 1


def test_a_system_of_no_kind_is_refused(tmp_path: Path) -> None:
    clips = clips_folder(tmp_path / "clips")
    with pytest.raises(ConfigError, match="'oracle' is no kind of a system; expected student, teacher or baseline"):
        do(tmp_path, "cost", {"systems": {"a": {"kind": "oracle"}}}, {"clips": clips})
