"""How right the first labels of training episodes are: `alignment_quality.py tabletop panda aloha gesture_phase`.

For each data set and number of annotated episodes (--annotated 0 1 3 10, drawn at random, --draws times) it lays the
transcripts over all training episodes, the annotated ones pinned, and compares the others with their annotations, which
the alignment has not seen: right ticks, boundary errors (median, 90th percentile, share within 0.25 s), those without
the constant bias of each pair of actions, and with --pairs those biases. With --marks 5 20 percent of all boundaries
are pinned instead, and all of them count. --doubt adds what the alignment itself thinks of its boundaries. --teacher
trains a teacher on these labels (torch, minutes) and scores what it aligns.

Bags are ingested where the cache (--cache) lacks them; pictures are not looked at. gesture_phase is in HAL_ROS_DATA.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import HalError
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.formats.layouts import read_dataset
from hal_ros.labels.doubtful import doubtful_share, doubts
from hal_ros.labels.targets import Targets
from hal_ros.labels.teacher.config import TeacherConfig
from hal_ros.labels.teacher.fit import Transcribed, align_clips, train_teacher
from hal_ros.labels.transcripts.conventions import boundaries_of
from hal_ros.labels.transcripts.first_inputs import first_input_clips
from hal_ros.labels.transcripts.first_labels import first_labels
from hal_ros.labels.transcripts.pins import Pins
from hal_ros.labels.transcripts.quality import AlignmentQuality, alignment_quality
from hal_ros.labels.transcripts.restarts import restarts
from hal_ros.labels.transcripts.separability import ambiguous_junctions, inseparable_groups
from hal_ros.train.config import load_config
from hal_ros.train.stages import draft_card, prepare

CONFIGS = {
    "tabletop": "config/train.yaml",
    "panda": "config/robots/panda.yaml",
    "aloha": "config/robots/aloha.yaml",
}
GESTURE_PHASE, GESTURE_RATE_HZ, GESTURE_SPLITS = "gesture_phase", 30.0, ("1", "2", "3")


@dataclass(frozen=True)
class Episodes:
    """Training episodes of one data set, or of one of its splits."""

    name: str
    vocabulary: Sequence[str]
    clips: list[Clip]
    period_s: float

    def mean_segment_s(self) -> float:
        """Return how long a segment is."""
        ticks, segments = sum(clip.ticks for clip in self.clips), sum(len(clip.transcript) for clip in self.clips)
        return self.period_s * ticks / segments


def main() -> int:
    """Print a table for each data set."""
    arguments = parsed()
    try:
        for name in arguments.datasets:
            for episodes in load(name, arguments.cache):
                report(episodes, arguments)
    except HalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def parsed() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", choices=[*CONFIGS, GESTURE_PHASE])
    parser.add_argument("--annotated", type=int, nargs="+", default=[0], help="how many episodes are pinned throughout")
    parser.add_argument("--marks", type=float, nargs="+", default=[], help="percent of boundaries that are pinned")
    parser.add_argument("--draws", type=int, default=1, help="random choices of the annotated episodes")
    parser.add_argument("--cache", type=Path, help="ingested episodes; default: the settings' own")
    for flag, text in (("pairs", "biases"), ("doubt", "the alignment's own doubt"), ("teacher", "a teacher's labels")):
        parser.add_argument(f"--{flag}", action="store_true", help=f"{text} too")
    return parser.parse_args()


def load(name: str, cache: Path | None) -> list[Episodes]:
    """Return the training episodes with transcripts of a data set, one entry for each split."""
    if name == GESTURE_PHASE:
        folder = Path(os.environ.get("HAL_ROS_DATA", "")) / GESTURE_PHASE
        sets = [(split, read_dataset(folder, split, derive_transcripts=True)) for split in GESTURE_SPLITS]
        return [
            Episodes(f"{name} {split}", one.vocabulary, list(one.subsets["train"]), 1 / GESTURE_RATE_HZ)
            for split, one in sets
        ]
    config = load_config(Path(CONFIGS[name]))
    data = replace(config.data, processes=1, cache=str(cache or config.data.cache))
    card = draft_card(config)
    clips = first_input_clips(prepare(data, card, "train", encoder=None).encoded_clips, (1, 1, 1))
    return [Episodes(name, card.vocabulary, [clip for clip in clips if clip.transcript], 1 / data.rate_hz)]


def report(episodes: Episodes, arguments: argparse.Namespace) -> None:
    """Print what there is to say of one data set."""
    names, clips = np.array(episodes.vocabulary), episodes.clips
    print(f"## {episodes.name}: {len(clips)} episodes, mean segment {episodes.mean_segment_s():.2f} s")
    transcripts = [clip.transcript for clip in clips]
    for group in inseparable_groups(transcripts):
        print(f"always together: {' '.join(names[list(group)])}")
    for junction in ambiguous_junctions(transcripts):
        sides = (" or ".join(names[list(side)]) for side in (junction.before, junction.after))
        print(f"transcripts do not place: {' | '.join(sides)} ({junction.boundaries} boundaries)")
    sources = [(f"{count} annotated", partial(annotated, clips, count), count) for count in arguments.annotated]
    sources += [(f"{share:g} % marked", partial(marked, clips, share), 1) for share in arguments.marks]
    for title, pins_of, known in sources:
        started = time.process_time()
        draws = range(arguments.draws if known else 1)
        found = [aligned(episodes, pins_of(draw), arguments.teacher) for draw in draws]
        print(line(title, [qualities[0].row() for qualities in found], time.process_time() - started))
        if arguments.teacher:
            print(line(f"{title}, teacher", [qualities[1].row() for qualities in found], 0.0))
        if arguments.pairs:
            for bias in found[0][0].biases()[:10]:
                pair = " -> ".join(names[list(bias.pair)])
                print(f"  {pair} ({bias.count}): {bias.bias_s:+.2f} s, spread {bias.spread_s:.2f} s")
    if arguments.doubt:
        doubt(episodes)
    sys.stdout.flush()


def annotated(clips: Sequence[Clip], count: int, draw: int) -> Pins:
    """Return the annotations of `count` clips drawn at random."""
    chosen = np.random.default_rng(draw).permutation(len(clips))[:count]
    return {clips[index].name: clips[index].actions for index in chosen}


def marked(clips: Sequence[Clip], percent: float, draw: int) -> Pins:
    """Return both ticks of boundaries drawn at random from all of them."""
    random, pins = np.random.default_rng(draw), {}
    for clip in clips:
        at = boundaries_of(clip.actions)
        at = at[100 * random.random(len(at)) < percent]
        pins[clip.name] = np.full(clip.ticks, NO_ACTION)
        pins[clip.name][at], pins[clip.name][at - 1] = clip.actions[at], clip.actions[at - 1]
    return pins


def aligned(episodes: Episodes, pins: Pins, with_teacher: bool) -> list[AlignmentQuality]:
    """Return the quality of the first labels of clips that are not known throughout, and of a teacher's."""
    clips, actions = episodes.clips, len(episodes.vocabulary)
    others = [clip for clip in clips if clip.name not in pins or (pins[clip.name] == NO_ACTION).any()]
    found = first_labels(clips, actions, pins)
    qualities = [alignment_quality(found.hard, others, episodes.period_s)]
    if with_teacher:
        teacher = train_teacher(TeacherConfig(), Transcribed(actions, clips, start=found), seed=0)
        qualities.append(alignment_quality(align_clips(teacher, others).hard, others, episodes.period_s))
    return qualities


def line(title: str, rows: Sequence[dict[str, float]], seconds: float) -> str:
    """Return one line of the mean figures."""
    mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    return (
        f"{title}: right {mean['right']:.1f} %, |error| median {mean['median']:.2f} p90 {mean['p90']:.2f} s, "
        f"within 0.25 s {mean['near']:.0f} %, without bias {mean['unbiased median']:.2f} "
        f"{mean['unbiased p90']:.2f} s ({seconds:.0f} CPU s)"
    )


def doubt(episodes: Episodes) -> None:
    """Print how far restarts agree, and where they do least."""
    clips, actions = episodes.clips, len(episodes.vocabulary)
    first = first_labels(clips, actions)
    found = restarts(clips, actions, judged=first)
    if found is None:
        print("one episode: no other confirms it")
        return
    every = doubts(Targets(first.hard, {}, first.soft), found, episodes.period_s)
    print(
        f"{found.guess() or 'no guess'}: median spread {found.spread_share:.3f} of a mean segment, held out "
        f"{found.held_out_nats:+.2f} nats a step, expected wrong {100 * doubtful_share(every):.0f} %"
    )
    for one in every[:5]:
        for place in one.places[:1]:
            before, after = episodes.vocabulary[place.before], episodes.vocabulary[place.after]
            at, spread = place.tick * episodes.period_s, place.spread_ticks * episodes.period_s
            print(f"  {one.name} at {at:.1f} s, {before} -> {after}: {spread:.2f} s")


if __name__ == "__main__":
    sys.exit(main())
