"""Jobs of the tables on tiny clips: each reads what the one before it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hal_ros.core.streams.columns import ValueGroups
from hal_ros.datasets.clips import Clip
from hal_ros.experiments import kinds
from hal_ros.experiments.graph import Job, Task
from hal_ros.experiments.training_data import AboutClips, save_clips
from hal_ros.train.clips import AttendedClips, Columns

ACTIONS, ATTENDED, JOINTS = 3, 4, 2
COLUMNS = Columns(ATTENDED, 3 * JOINTS, ValueGroups((0, 1) * 3, (0,) * 6))
LAG = 2
CONFIG = {
    "seed": 0,
    "data": {"lag_ticks": LAG, "joints": ["arm", "gripper"], "rate_hz": 10.0},
    "model": {"width": 16, "heads": 2, "lookback": [3, 5, 3], "feed_forward": 16, "visual_width": 4},
    "batches": {"streams": 2, "chunk_ticks": 24},
    "optimiser": {"epochs": 2, "learning_rate": 0.01},
}
TINY = {"epochs": 1, "least_batches": 1, "width": 8, "layers": 2, "stages": 1}
TEACHER = {"seed": 0, "teacher": {"width": 16, "layers": 3, "start_epochs": 1, "epochs": 1, "visual_layer": 1}}


def clip(name: str, seed: int) -> Clip:
    """Return a clip whose actions show in its joints and in what is seen."""
    random = np.random.default_rng(seed)
    actions = np.repeat([*random.permutation(3), *random.permutation(3)[:2]], random.integers(10, 16, 5))
    order = tuple(actions[np.flatnonzero(np.diff(actions, prepend=-1))].tolist())
    ticks = len(actions)
    attended = np.eye(ACTIONS, ATTENDED)[actions] + 0.3 * random.normal(size=(ticks, ATTENDED))
    joints = np.eye(ACTIONS, 6)[actions] + 0.3 * random.normal(size=(ticks, 6))
    inputs = np.concatenate([attended, np.ones((ticks, 1)), joints, np.ones((ticks, 6))], 1)
    return Clip(name, inputs.astype(np.float32), actions, order)


def clips_folder(folder: Path) -> Path:
    folder.mkdir()
    counts = {"train": 6, "validation": 2, "test": 2, "unseen": 1}
    splits = {}
    for number, (split, count) in enumerate(counts.items()):
        clips = [clip(f"{split}-{index}", 10 * number + index) for index in range(count)]
        splits[split] = AttendedClips(clips, {one.name: one.inputs[:, :ATTENDED] * np.float32(0.5) for one in clips})
    save_clips(folder, AboutClips(("move", "pick", "place"), COLUMNS, 10.0, tuple(splits)), splits)
    return folder


def do(root: Path, kind: str, settings: Mapping[str, Any], inputs: Mapping[str, Path], name: str = "") -> Path:
    """Do one job, and see that it wrote what its kind says; returns its folder."""
    folder, job = root / (name or kind), Job(name or kind, kind, settings, {})
    folder.mkdir(exist_ok=True)
    kinds.do({}, Task(job, inputs, folder))
    missing = [file for file in kinds.KINDS[kind].writes if not (folder / file).exists()]
    assert not missing, f"{kind} did not write {missing}"
    return folder


def do_up_to_the_teacher(root: Path) -> dict[str, Path]:
    """Do the jobs on which all others hang; returns their folders by the roles that they play."""
    found = {"clips": clips_folder(root / "clips")}
    found["first"] = do(root, "first", {}, {"clips": found["clips"]})
    found["labels"] = do(root, "teacher", {"config": TEACHER}, {"clips": found["clips"], "first": found["first"]})
    return found
