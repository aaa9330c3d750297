"""Folders as trainings leave them, and scoring jobs that read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hal_ros.experiments.documents.latents import Latents, save_latents
from hal_ros.experiments.graph import Job, Task
from hal_ros.experiments.jobs import scoring
from hal_ros.labels.targets import Targets, save_targets
from hal_ros.metrics import answer_files
from hal_ros.metrics.answer_files import ClipAnswers

LAG = 4
SETTINGS = {
    "splits": ["test", "unseen"],
    "decoder": "duration",
    "kinds": ["duration", "hysteresis", "argmax"],
    "lag_ticks": LAG,
    "thresholds": [0.5],
}


def write_answers(folder: Path, sure: float, seed: int) -> None:
    """Write what a training would: right answers with noise on them, three clips a split."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    training: dict[str, Any] = {}
    for split in ("train", "validation", "test", "unseen"):
        clips = []
        for number in range(3):
            truth = np.repeat(random.permutation(3).tolist() * 2, random.integers(8, 14, 6))
            order = tuple(truth[np.flatnonzero(np.diff(truth, prepend=-1))].tolist())
            training |= {f"{split}-{number}": (truth, order)} if split == "train" else {}
            logits = sure * np.eye(3)[truth] + random.normal(size=(len(truth), 3))
            log_probs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
            lagged = np.concatenate([log_probs[:LAG], log_probs[:-LAG]])
            boundary = np.full(len(truth), 0.5)
            clips.append(ClipAnswers(f"{split}-{number}", truth, truth, order, log_probs, lagged, boundary))
        if split != "train":
            answer_files.save(folder / f"{split}.npz", clips)
            pairs = [(random.normal(size=(len(clip.truth), 4)), np.eye(3, 4)[clip.truth]) for clip in clips]
            latents = [Latents(clip.name, clip.truth, *pair) for clip, pair in zip(clips, pairs, strict=True)]
            save_latents(folder / f"latents-{split}.npz", latents)
    save_targets(folder, Targets({name: truth for name, (truth, _) in training.items()}, {}, {}))
    about = {"parameters": 10, "ms per tick": 0.1, "training s": 1.0, "rate_hz": 10, "actions": 3, "lag_ticks": LAG}
    orders = {"transcripts": {name: order for name, (_, order) in training.items()}}
    (folder / "about.json").write_text(json.dumps({**about, **orders}))


def score(inputs: Mapping[str, Path], folder: Path) -> None:
    """Do the scoring job with SETTINGS."""
    scoring.score(Task(Job("score", "score", SETTINGS), inputs, folder), {})
