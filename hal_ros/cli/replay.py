"""`hal replay`: label a bag offline with the node's own code, and compare with the labels in it."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from hal_ros.cli import backends

if TYPE_CHECKING:
    from hal_ros.bags.reader import BagMessage, BagNotes
    from hal_ros.core.known_plan import PlanTracker
    from hal_ros.core.segmenter import Segmenter
    from hal_ros.offline.replay import Comparison
    from hal_ros.runtime.bundle import Bundle

FAULTS = (
    "skipped",
    "unreadable",
    "malformed",
    "joints_unnamed",
    "joints_missing",
    "repeated",
    "backwards",
    "zero",
    "missing",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="an .mcap or .db3 file, or a rosbag2 folder")
    parser.add_argument("--out", type=Path, help="write labels and boundaries: a new .mcap file, or a new folder")
    parser.add_argument(
        "--ticks-from", type=Path, metavar="BAG", help="step exactly the ticks of the labels recorded in this bag"
    )
    parser.add_argument(
        "--from-start", action="store_true", help="begin with the first image, not with the first of recorded labels"
    )
    parser.add_argument(
        "--plan", type=Path, metavar="FILE", help="follow this plan, one action a line, and print where it is"
    )
    parser.add_argument(
        "--camera-topic", "--image-topic", help="camera topic (default: the usual one, or the only one)"
    )
    parser.add_argument("--joint-topic", help="joint state topic (default: the usual one, or the only one)")
    backends.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Replay, write, compare; 1 when --ticks-from does not give the recorded labels again."""
    from hal_ros.bags.reader import BagNotes
    from hal_ros.core.errors import BagError

    if args.out is not None and args.out.exists():
        raise BagError(f"{args.out}: exists; expected a new file or folder to write")
    bundle, segmenter = open_segmenter(args)
    tracker = None if args.plan is None else _tracker(args.plan, segmenter)
    notes, counters = BagNotes(), Counter[str]()
    started = time.perf_counter()
    answers = _replay(args, segmenter, notes, counters, tracker)
    wall_s = time.perf_counter() - started
    if args.out is not None:
        _write(args.out, bundle, answers)
    summarise(answers, wall_s, counters)
    if tracker is not None:
        _print_steps(answers)
    if str(notes):
        print(f"{args.bag}: {notes}")
    comparisons = _compare(args.ticks_from or args.bag, answers)
    equal = bool(comparisons) and all(result.holds for result in comparisons)
    return int(args.ticks_from is not None and not equal)


def open_segmenter(args: argparse.Namespace) -> tuple[Bundle, Segmenter]:
    """Load a bundle, open its backend and check it as the node does, and print which.

    Takes the arguments of `backends`. Raises CardError, ConfigError or BackendError.
    """
    from hal_ros.core.segmenter import Segmenter
    from hal_ros.runtime.backend import open_backend
    from hal_ros.runtime.bundle import load_bundle
    from hal_ros.runtime.golden import check_golden

    bundle = load_bundle(args.model)
    backend, reason = open_backend(bundle, args.backend, backends.backend_options(args))
    check_golden(bundle, backend)
    print(f"{bundle.card.name} {bundle.sha256[:12]} on {backend.name} ({reason})")
    return bundle, Segmenter(bundle.card, backend)


def _tracker(path: Path, segmenter: Segmenter) -> PlanTracker:
    """Read a plan: one action a line; empty lines and comments after # are skipped. Raises ConfigError."""
    from hal_ros.core.errors import ConfigError
    from hal_ros.core.known_plan import PlanTracker, plan_ids

    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: can't be read ({error}); expected one action a line") from error
    names = [name for line in lines if (name := line.partition("#")[0].strip())]
    try:
        return PlanTracker(plan_ids(names, segmenter.card.vocabulary), segmenter.card)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _print_steps(answers: list[BagMessage]) -> None:
    """Print a line for each change of the step or of the deviation, in seconds since the first label."""
    from hal_ros.bags.messages import deserialise, to_ns
    from hal_ros.offline.replay import LABEL_TOPIC, PLAN_TOPIC

    first_ns = next(
        (to_ns(deserialise(a.type_name, a.data).header.stamp) for a in answers if a.topic == LABEL_TOPIC), 0
    )
    before = None
    for progress in (deserialise(a.type_name, a.data) for a in answers if a.topic == PLAN_TOPIC):
        now = (progress.step, progress.deviates)
        if now != before:
            seconds = (to_ns(progress.header.stamp) - first_ns) / 1e9
            step = f"step {progress.step + 1:>2} of {progress.steps}" if progress.label else "the plan is done"
            note = "  the robot does something else" if progress.deviates else ""
            print(f"{seconds:8.1f} s  {step:<16}  {progress.label:<16}  {progress.progress:4.0%} behind{note}")
        before = now


def _replay(
    args: argparse.Namespace,
    segmenter: Segmenter,
    notes: BagNotes,
    counters: Counter[str],
    tracker: PlanTracker | None,
) -> list[BagMessage]:
    from hal_ros.bags.answers import LABEL_TYPE
    from hal_ros.bags.frames import due_frames
    from hal_ros.bags.reader import read_messages, topic_types
    from hal_ros.bags.sensors import find_topics
    from hal_ros.offline.replay import named_frames, named_ticks, replay

    card, types = segmenter.card, topic_types(args.bag)
    topics = find_topics(types, card, args.camera_topic, args.joint_topic)
    print(f"{args.bag}: camera {topics.camera or 'not used'}, joints {topics.joints or 'none'}")
    messages = read_messages(args.bag, [topic for topic in topics if topic], notes)
    if args.ticks_from is None and (args.from_start or LABEL_TYPE not in types.values()):
        return list(replay(due_frames(messages, card, topics, counters), segmenter, 0, tracker))
    labels = (m for m in read_messages(args.ticks_from or args.bag) if m.type_name == LABEL_TYPE)
    ticks, segments = named_ticks(labels, card)
    if args.ticks_from is not None:
        return list(replay(named_frames(messages, ticks, card, topics, counters), segmenter, segments, tracker))
    start_ns = ticks[0].origin_ns if ticks else None
    return list(replay(due_frames(messages, card, topics, counters, start_ns), segmenter, segments, tracker))


def _write(path: Path, bundle: Bundle, answers: list[BagMessage]) -> None:
    from hal_ros.bags.reader import BagWriter
    from hal_ros.offline.labelling import whole, write_vocabulary
    from hal_ros.runtime.bundle import bundle_metadata

    with whole(path) as unfinished, BagWriter(unfinished, bundle_metadata(bundle)) as bag:
        write_vocabulary(bag, bundle, answers[0].receive_ns if answers else 0)
        for topic, type_name, receive_ns, data in answers:
            bag.write(topic, type_name, data, receive_ns)
    print(f"{path if bag.folder is None else path / bag.file.name}: written")


def summarise(answers: list[BagMessage], wall_s: float, counters: Counter[str]) -> None:
    """Print counts, and the speed: seconds of the robot's time per second of this machine's."""
    from hal_ros.datasets.episodes import restarts
    from hal_ros.offline.replay import BOUNDARY_TOPIC, LABEL_TOPIC

    counts = Counter(answer.topic for answer in answers)
    print(f"{counts[LABEL_TOPIC]} labels, {counts[BOUNDARY_TOPIC]} boundaries")
    if answers:
        robot_s = (answers[-1].receive_ns - answers[0].receive_ns) / 1e9
        print(f"{robot_s:.1f} s in {wall_s:.1f} s: {robot_s / wall_s:.1f} times real time")
    again = restarts(counters)
    faults = [f"{counters[name]} {name}" for name in FAULTS if counters[name]]
    faults += [f"{again} restart{'' if again == 1 else 's'} of the tick grid"] * bool(again)
    if faults:
        print(f"counted: {', '.join(faults)}")


def _compare(path: Path, answers: list[BagMessage]) -> list[Comparison]:
    """Compare with what the bag holds of labels and boundaries, if it does."""
    from hal_ros.bags.reader import read_messages, topic_types
    from hal_ros.offline.replay import BOUNDARY_TOPIC, LABEL_TOPIC, compare

    recorded_topics = [topic for topic in (LABEL_TOPIC, BOUNDARY_TOPIC) if topic in topic_types(path)]
    recorded = list(read_messages(path, recorded_topics)) if recorded_topics else []
    comparisons = [compare(recorded, answers, topic) for topic in recorded_topics]
    for result in comparisons:
        where = "" if result.holds else f"; the first that differs is stamped {result.first_difference_ns} ns"
        print(f"{result.topic}: {result.equal} of {result.recorded} recorded messages equal byte for byte{where}")
    return comparisons
