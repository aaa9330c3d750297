"""Accuracy against minutes of a person: how many annotated episodes, or marked boundaries, does a data set need?

    python scripts/supervision_curve.py CONFIG [--annotated 0 1 3 10 all] [--marks 1 5 20] [--seeds 0] [--out FILE]

Every training episode keeps its transcript; some are annotated too, or some percent of all boundaries are marked. Which
ones is drawn by the seed, more of them holding all of fewer. Validation keeps to transcripts, but in `all`. CONFIG is
that of `hal train`, of feature vectors or of a robot, of which the states alone are taken: no eye is trained.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hal_ros.datasets.clips import Clip
from hal_ros.datasets.config import EPISODES, TRAINING, VALIDATION
from hal_ros.datasets.encoded_clips import EncodedClip
from hal_ros.datasets.formats.folds import TEST, Fold
from hal_ros.datasets.formats.layouts import Dataset
from hal_ros.datasets.look.known_ticks import boundaries
from hal_ros.labels.reveal import NOTHING, Share, person_minutes, reveal
from hal_ros.labels.targets import load_targets
from hal_ros.train import stages
from hal_ros.train.config import ANNOTATIONS, MIXED, TrainConfig, load_config
from hal_ros.train.on_features import FeatureRun, read_features, train_on

METRICS = ("MoF", "Edit", "F1@50")
ALL = "all"


@dataclass(frozen=True)
class Point:
    """How much is told."""

    share: Share | None  # None: everything, of validation as well

    @property
    def name(self) -> str:
        """What the table calls it."""
        if self.share is None:
            return "all annotated"
        return f"{self.share.marks:g}% of the boundaries" if self.share.marks else f"{self.share.annotated} annotated"


def main() -> None:
    """Print a table, and write all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--annotated", nargs="*", default=["0", "1", "3", "10", ALL])
    parser.add_argument("--marks", nargs="*", type=float, default=[1, 5, 20], help="percent of the boundaries")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=Path("runs/supervision_curve"))
    parser.add_argument("--discount", type=float, default=0.0, help="teacher.doubt_discount")
    args = parser.parse_args()
    config = load_config(args.config)
    run = read(config, args.out)
    counts = [int(word) for word in args.annotated if word != ALL]
    points = [Point(Share(count)) for count in counts if count <= len(run.fold.training)]
    points += [Point(Share(marks=percent)) for percent in args.marks] + [Point(None)] * (ALL in args.annotated)
    rows = []
    for point in points:
        for seed in args.seeds:
            rows.append(measure(run, point, seed, args.discount))
            args.out.mkdir(parents=True, exist_ok=True)
            (args.out / "curve.json").write_text(json.dumps(rows, indent=1))
    print(*table(rows), sep="\n")


def read(config: TrainConfig, folder: Path) -> FeatureRun:
    """Return the clips of a data set, all of them annotated and with transcripts."""
    if config.data.layout != EPISODES:
        return read_features(config, folder, derive_transcripts=True)
    card, _, splits = stages.ingest(config, (TRAINING, VALIDATION, TEST))
    parts = [[_states(encoded) for encoded in split.encoded_clips if encoded.transcript] for split in splits]
    dataset = Dataset(card.vocabulary, (), {TRAINING: tuple(parts[0]), TEST: tuple(parts[2])}, ())
    return FeatureRun(config, Fold(dataset, parts[0], parts[1], parts[2], ()), folder)


def _states(encoded: EncodedClip) -> Clip:
    values = np.where(encoded.joints_valid > 0, encoded.joints, np.nan).astype(np.float32)
    return Clip(encoded.name, values, encoded.actions, encoded.transcript)


# --- what comes of it -------------------------------------------------------------------------------------------------


def measure(run: FeatureRun, point: Point, seed: int, discount: float) -> dict[str, Any]:
    """Train once, and return the scores on the test clips and those of the training targets."""
    started = time.process_time()
    share = point.share
    supervision = ANNOTATIONS if share is None else MIXED
    teacher = replace(run.config.teacher, doubt_discount=discount)
    config = replace(run.config, seed=seed, supervision=supervision, teacher=teacher)
    told = run.fold.training if share is None else reveal(run.fold.training, share, seed)
    held_out = run.fold.validation if share is None else reveal(run.fold.validation, NOTHING, seed)
    folder = run.folder / f"{point.name} {seed} {discount:g}".replace(" ", "-").replace("%", "pc")
    fold = replace(run.fold, training=told, validation=held_out)
    found = train_on(replace(run, config=config, fold=fold, folder=folder))
    assert found is not None
    scores = {row.metric: row.mean for row in found.rows if row.output == "confirmed" and row.metric in METRICS}
    targets = load_targets(folder).training
    period_s = 1 / config.data.rate_hz
    right = [targets[clip.name] == clip.actions for clip in run.fold.training]
    errors = np.concatenate([_errors(targets[clip.name], clip.actions) for clip in run.fold.training]) * period_s
    return {
        "told": point.name,
        "seed": seed,
        "minutes": person_minutes(told, period_s),
        **scores,
        "right ticks": 100 * float(np.concatenate(right).mean()),
        "boundary error, median s": float(np.median(errors)),
        "boundary error, p90 s": float(np.quantile(errors, 0.9)),
        "cpu s": round(time.process_time() - started, 1),
    }


def _errors(labels: Any, actions: Any) -> Any:
    """Return by how many ticks each boundary is off, where both have as many."""
    found, true = boundaries(labels), boundaries(actions)
    return np.abs(found - true) if len(found) == len(true) else np.zeros(0)


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a Markdown table, means over seeds."""
    columns = [key for key in rows[0] if key not in ("told", "seed")]
    yield "| told | " + " | ".join(columns) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for name in dict.fromkeys(row["told"] for row in rows):
        same = [row for row in rows if row["told"] == name]
        yield f"| {name} | " + " | ".join(f"{np.mean([row[c] for row in same]):.2f}" for c in columns) + " |"


if __name__ == "__main__":
    main()
