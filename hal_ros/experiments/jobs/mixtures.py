"""What is told of the clips of a block, as a file: jobs that come later learn from the very same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hal_ros.datasets.clips import Clip
from hal_ros.datasets.config import TRAINING, VALIDATION
from hal_ros.datasets.encoded_clips import EncodedClip
from hal_ros.experiments.files import MIXTURE
from hal_ros.labels.sources import Reliability
from hal_ros.labels.transcripts.durations import Durations
from hal_ros.labels.transcripts.first_labels import FirstLabels
from hal_ros.train.mixture import Learnt, Mixture

PARTS = (TRAINING, VALIDATION)


def save_mixture(folder: Path, mixture: Mixture, learnt: Learnt) -> None:
    """Write mixture.npz: of every clip what is told, and what first labels and reliabilities came of it."""
    clips = {TRAINING: mixture.training, VALIDATION: mixture.validation}
    columns: dict[str, Any] = {"align": np.array(mixture.align), "actions": np.array(learnt.actions)}
    for part in PARTS:
        columns[f"{part}/names"] = np.array([clip.name for clip in clips[part]], dtype=str)
        columns[f"{part}/kinds"] = np.array([mixture.kinds[clip.name] for clip in clips[part]], dtype=str)
        for index, clip in enumerate(clips[part]):
            columns |= {f"{part}/{index}/{name}": value for name, value in _told(clip, mixture, learnt).items()}
    if learnt.labels is not None:
        columns |= {"mean": learnt.labels.durations.mean, "variation": learnt.labels.durations.variation}
    sources = [*learnt.sources.values()]
    columns["sources"] = np.array([one.source for one in sources], dtype=str)
    columns["right"] = np.array([(one.stretches, one.right) for one in sources], float).reshape(-1, 2)
    with (folder / MIXTURE).open("wb") as file:
        np.savez(file, **columns)


def _told(clip: Clip | EncodedClip, mixture: Mixture, learnt: Learnt) -> dict[str, Any]:
    found: dict[str, Any] = {"actions": np.asarray(clip.actions, np.int64)}
    found["transcript"] = np.asarray(clip.transcript, np.int64)
    found |= {f"claims/{source}": claimed for source, claimed in mixture.claims.get(clip.name, {}).items()}
    if learnt.labels is not None and clip.name in learnt.labels.hard:
        found |= {"hard": learnt.labels.hard[clip.name], "soft": learnt.labels.soft[clip.name]}
    return found


def load_mixture(folder: Path) -> tuple[Mixture, Learnt]:
    """Read what save_mixture wrote; the clips have no sensors, see `told_clips`."""
    with np.load(folder / MIXTURE) as file:
        stored: dict[str, Any] = dict(file)
    names, kinds = ({part: stored[f"{part}/{what}"].tolist() for part in PARTS} for what in ("names", "kinds"))
    told = {part: [_clip(stored, f"{part}/{i}/", name) for i, name in enumerate(names[part])] for part in PARTS}
    known = {name: kind for part in PARTS for name, kind in zip(names[part], kinds[part], strict=True)}
    mixture = Mixture(told[TRAINING], told[VALIDATION], known, bool(stored["align"]))
    labels = None
    if "mean" in stored:
        places = {name: f"{part}/{i}" for part in PARTS for i, name in enumerate(names[part])}
        hard, soft = (
            {name: stored[f"{place}/{what}"] for name, place in places.items() if f"{place}/{what}" in stored}
            for what in ("hard", "soft")
        )
        labels = FirstLabels(hard, soft, Durations(stored["mean"], stored["variation"]))
    pairs = zip(stored["sources"].tolist(), stored["right"].tolist(), strict=True)
    sources = {source: Reliability(source, int(count), right) for source, (count, right) in pairs}
    return mixture, Learnt(int(stored["actions"]), labels, sources)


def _clip(stored: Mapping[str, Any], place: str, name: str) -> EncodedClip:
    claims = {key.removeprefix(f"{place}claims/"): stored[key] for key in stored if key.startswith(f"{place}claims/")}
    actions = stored[f"{place}actions"]
    nothing = np.zeros((len(actions), 0), np.float32)
    transcript = tuple(stored[f"{place}transcript"].tolist())
    return EncodedClip(name, (), nothing, nothing, nothing, actions, transcript, claims=claims)


def told_clips(clips: Sequence[Clip], told: Sequence[Clip | EncodedClip]) -> list[Clip]:
    """Return those of some clips of which something is told, with that and nothing else."""
    known = {one.name: one for one in told}
    found = [(clip, known[clip.name]) for clip in clips if clip.name in known]
    return [replace(clip, actions=one.actions, transcript=one.transcript) for clip, one in found]
