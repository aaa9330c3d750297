"""An alignment's restarts in a run's folder, as JSON: each version's actions and how many ticks they last."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hal_ros.core import segments
from hal_ros.core.errors import DatasetError
from hal_ros.labels.transcripts.restarts import Restarts
from hal_ros.outside import outputs
from hal_ros.outside.reading import MIB, Expected, read_json, reading

RESTARTS = "restarts.json"
RESTARTS_OF_A_RUN = Expected(DatasetError, "the restarts of a run's alignment", 256 * MIB)


@dataclass(frozen=True)
class Checks:
    """What a run's alignment is known to be bad at, before a teacher is trained."""

    restarts: Restarts | None  # None: a single clip has none
    unplaced: frozenset[tuple[int, int]] = frozenset()  # actions before and after: no transcript tells when they change


def save_checks(folder: Path, checks: Checks) -> None:
    """Write restarts.json."""
    found, about = checks.restarts, None
    if found is not None:
        clips = {name: [_to_json(version) for version in versions] for name, versions in found.versions.items()}
        about = {"held_out_nats": found.held_out_nats, "mean_segment_ticks": found.mean_segment_ticks, "clips": clips}
    text = json.dumps({"unplaced": sorted(checks.unplaced), "restarts": about})
    outputs.write_whole_text(folder / RESTARTS, text)


def load_checks(folder: Path) -> Checks:
    """Read what save_checks wrote. Raises DatasetError for what is none."""
    found = read_json(folder / RESTARTS, RESTARTS_OF_A_RUN)
    with reading(folder / RESTARTS, RESTARTS_OF_A_RUN):
        unplaced = frozenset((int(before), int(after)) for before, after in found["unplaced"])
        if (about := found["restarts"]) is None:
            return Checks(None, unplaced)
        clips = {name: [_from_json(**version) for version in versions] for name, versions in about["clips"].items()}
        restarts = Restarts(clips, float(about["held_out_nats"]), float(about["mean_segment_ticks"]))
        return Checks(restarts, unplaced)


def _to_json(labels: NDArray[np.int64]) -> dict[str, list[int]]:
    found = segments.runs(labels)
    return {"actions": [run.action for run in found], "ticks": [run.end - run.start for run in found]}


def _from_json(actions: list[int], ticks: list[int]) -> NDArray[np.int64]:
    return np.repeat(np.array(actions, np.int64), ticks)
