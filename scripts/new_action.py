"""What a new action from a few demonstrations costs the old ones, and how well it is found (`hal train --from`).

    python scripts/new_action.py CONFIG [--action pour] [--demonstrations 5] [--seeds 0 1 2] [--test] [--out FOLDER]

A base run learns from the training episodes without the action; then a few with it are added, alone or beside the old
ones, and everything is trained anew for comparison. A sixth of the old training episodes and what is left of the new
ones are held out to choose settings by; with --test the test split is scored instead. Annotations are learnt. A run
that was stopped goes on, and rows that are there are not made again. The seed draws the demonstrations too.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.card import DecoderSpec
from hal_ros.core.streams.columns import groups_of
from hal_ros.core.streams.spec import JOINTS, StateSpec
from hal_ros.datasets.config import TRAINING, VALIDATION, DataConfig, NamedStreams, streams_of
from hal_ros.datasets.encoded_clips import EncodedClip
from hal_ros.datasets.formats.folds import TEST
from hal_ros.metrics.segmentation import Pair, f1_pooled, mean_over_frames
from hal_ros.train import stages
from hal_ros.train.chain import RunSettings, train_on_encoded_clips
from hal_ros.train.clips import attended_clips
from hal_ros.train.config import ANNOTATIONS, TrainConfig, load_config
from hal_ros.train.decoding import confirmed
from hal_ros.train.student import answer
from hal_ros.train.warm_start.rehearsal import paced
from hal_ros.train.warm_start.settings import begun
from hal_ros.train.warm_start.start import read_start, write_vocabulary

BASE, ALONE, BESIDE, ANEW = "base", "demonstrations alone", "beside the old episodes", "everything anew"
EYE_EPOCHS = 6
"""Fewer than as shipped: what is compared is trained alike."""
HELD_OUT = 6  # one in so many old training episodes
DECODER = DecoderSpec(kind="hysteresis", enter_probability=0.6, hold_ticks=1)
Clips = Sequence[EncodedClip]


@dataclass(frozen=True)
class Experiment:
    """The episodes of one seed, actions in the order of ids with the new one last."""

    config: TrainConfig
    vocabulary: tuple[str, ...]
    folder: Path
    old: Clips  # training
    old_validation: Clips
    demonstrations: Clips  # the last of them for validation
    scored: Clips
    base_seed: int

    @property
    def known(self) -> int:
        """How many old actions there are."""
        return len(self.vocabulary) - 1

    def run_of(self, way: str) -> Path:
        """Where a way's run lies; the base, and everything else, of each seed."""
        return self.folder / f"{way.replace(' ', '-')}-{self.vocabulary[-1]}-{self.seed_of(way)}"

    def seed_of(self, way: str) -> int:
        """Return what a way draws its numbers by."""
        return self.base_seed if way == BASE else self.config.seed

    def train(self, way: str) -> None:
        """Train one way, unless that is done."""
        new, held = self.demonstrations[:-1], self.demonstrations[-1:]
        training = {BASE: self.old, ALONE: new}.get(way, [*self.old, *new])
        validation = {BASE: self.old_validation, ALONE: held}.get(way, [*self.old_validation, *held])
        place, config, start = self.run_of(way), replace(self.config, seed=self.seed_of(way)), None
        if way in (ALONE, BESIDE):
            start = read_start(self.run_of(BASE))
            named = replace(config, data=replace(config.data, actions=self.vocabulary))
            config = begun(named, start)
            start = replace(start, alone=way == ALONE)
            config = paced(config, training, start.alone)
        actions = self.known if way == BASE else len(self.vocabulary)
        train_on_encoded_clips(RunSettings(config, place, start=start), actions, training, validation)
        write_vocabulary(place, self.vocabulary[:actions])

    def scores(self, way: str) -> dict[str, float]:
        """Return what a way's model makes of the scored episodes, in percent, confirmed answers."""
        run = stages.load_run(self.run_of(way))
        groups = groups_of(streams_of(self.config.data))
        clips = attended_clips(run.eyes, self.scored, groups).clips
        pairs = []
        for clip in clips:
            said = answer(run.model, clip)
            labels = confirmed(DECODER, said, self.config.data.lag_ticks)
            tail = said.log_probs.argmax(1)[len(labels) :]  # the last ticks are confirmed by nothing
            pairs.append(Pair(clip.actions, np.concatenate([labels, tail])))
        old = [pair for pair in pairs if not _shows(np.asarray(pair.truth), self.known)]
        new = [pair for pair in pairs if _shows(np.asarray(pair.truth), self.known)]
        truth, said = (np.concatenate([np.asarray(getattr(p, part)) for p in new]) for part in ("truth", "predicted"))
        of_new = truth == self.known
        return {
            "old MoF": mean_over_frames(old),
            "old F1@50": f1_pooled(old, 50),
            "new F1@50": f1_pooled(new, 50, tuple(range(self.known))),
            "new found": 100 * float((said[of_new] == self.known).mean()),
            "MoF beside it": mean_over_frames([Pair(truth, said)], (self.known,)),
        }


def _shows(actions: NDArray[np.int64], action: int) -> bool:
    return bool((actions == action).any())


def main() -> None:
    """Print a table, and keep its rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--action", default="pour")
    parser.add_argument("--demonstrations", type=int, default=5)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--ways", nargs="*", default=[BASE, ALONE, BESIDE, ANEW])
    parser.add_argument("--base-seed", type=int, help="one base run for all seeds, which draw demonstrations alone")
    parser.add_argument("--states", action="store_true", help="without cameras: no eye is trained")
    parser.add_argument("--epochs", type=int, default=12, help="of a training that begins anew")
    parser.add_argument("--test", action="store_true", help="score the test split")
    parser.add_argument("--out", type=Path, default=Path("runs/new_action"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "rows.json"
    rows = json.loads(file.read_text()) if file.exists() else []
    splits = read(load_config(args.config), args.action, args.epochs)
    splits = without_cameras(splits) if args.states else splits
    data = replace(splits.config.data, cache=str(args.out / "cache"))  # of what eyes see, which only these runs need
    splits = replace(splits, config=replace(splits.config, data=data))
    for seed in args.seeds:
        experiment = draw(splits, seed, args)
        for way in args.ways:
            key = {"action": args.action, "seed": seed, "way": way, "split": TEST if args.test else "held out"}
            if any(key.items() <= row.items() for row in rows):
                continue
            started = time.process_time()
            experiment.train(way)
            spent = round(time.process_time() - started, 1)
            rows.append({**key, **experiment.scores(way), "cpu s": spent})
            file.write_text(json.dumps(rows, indent=1))
            print(rows[-1], flush=True)
    print(*table(rows), sep="\n")


@dataclass(frozen=True)
class Splits:
    """All episodes, with ids in which the new action is the last."""

    config: TrainConfig
    vocabulary: tuple[str, ...]
    of: Mapping[str, Clips]


def read(config: TrainConfig, action: str, epochs: int) -> Splits:
    """Ingest the splits with the vocabulary that they have in the cache, and move the action to the end."""
    optimiser = replace(config.optimiser, epochs=epochs)
    eye = replace(config.eye, epochs=EYE_EPOCHS)
    config = replace(config, supervision=ANNOTATIONS, eye=eye, optimiser=optimiser)
    names = (TRAINING, VALIDATION, TEST)
    card, _, prepared = stages.ingest(config, names)
    vocabulary = (*(name for name in card.vocabulary if name != action), action)
    ids = np.array([vocabulary.index(name) for name in card.vocabulary])
    parts = [[_renumbered(clip, ids) for clip in part.encoded_clips] for part in prepared]
    return Splits(config, vocabulary, dict(zip(names, parts, strict=True)))


def without_cameras(splits: Splits) -> Splits:
    """Return the episodes as a robot without cameras records them."""
    data = splits.config.data
    arm = StateSpec(names=data.joints, max_age_s=data.joints_max_age_s)
    usual = DataConfig()
    bare = replace(data, joints=(), joints_max_age_s=usual.joints_max_age_s, streams=NamedStreams(states={JOINTS: arm}))
    of = {
        name: [replace(clip, features=(), image_valid=clip.image_valid[:, :0]) for clip in clips]
        for name, clips in splits.of.items()
    }
    return Splits(replace(splits.config, data=bare), splits.vocabulary, of)


def _renumbered(clip: EncodedClip, ids: NDArray[np.int64]) -> EncodedClip:
    known = clip.actions != NO_ACTION
    actions = np.where(known, ids[np.where(known, clip.actions, 0)], NO_ACTION)
    return replace(clip, actions=actions, transcript=tuple(int(ids[action]) for action in clip.transcript))


def draw(splits: Splits, seed: int, args: argparse.Namespace) -> Experiment:
    """Return the episodes of one seed."""
    new = len(splits.vocabulary) - 1
    base_seed = seed if args.base_seed is None else args.base_seed
    held, shown = (_parted(splits.of[split], new) for split in (VALIDATION, TRAINING))
    old = [shown[0][at] for at in np.random.default_rng([7, base_seed]).permutation(len(shown[0]))]
    added = [shown[1][at] for at in np.random.default_rng([8, seed]).permutation(len(shown[1]))]
    count = len(old) // HELD_OUT
    scored = splits.of[TEST] if args.test else [*old[:count], *added[args.demonstrations :][:15]]
    config = replace(splits.config, seed=seed)
    shown_first = added[: args.demonstrations]
    return Experiment(config, splits.vocabulary, args.out, old[count:], held[0], shown_first, scored, base_seed)


def _parted(clips: Clips, action: int) -> tuple[list[EncodedClip], list[EncodedClip]]:
    shows = [_shows(clip.actions, action) for clip in clips]
    return tuple([c for c, s in zip(clips, shows, strict=True) if s is side] for side in (False, True))  # type: ignore[return-value]


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a Markdown table: means and standard deviations over seeds."""
    columns = [name for name in rows[0] if name not in ("action", "seed", "way", "split")]
    yield "| split | action | trained | seeds | " + " | ".join(columns) + " |"
    yield "|---" * (len(columns) + 4) + "|"
    for key in dict.fromkeys((row["split"], row["action"], row["way"]) for row in rows):
        same = [row for row in rows if (row["split"], row["action"], row["way"]) == key]
        cells = (np.array([row[name] for row in same], float) for name in columns)
        said = " | ".join(f"{cell.mean():.1f} ± {cell.std():.1f}" for cell in cells)
        yield f"| {' | '.join(key)} | {len(same)} | {said} |"


if __name__ == "__main__":
    main()
