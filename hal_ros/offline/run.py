"""`hal replay` from its bag to its verdict: replay, write the answers, compare with the recorded ones.

Answers are written, told and compared as they come: memory does not grow with the bag, but for the ticks that recorded
labels name where `ticks_from` asks for exactly those.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from hal_ros.bags.answer_messages import FOLLOWED_TYPE, LABEL_TYPE
from hal_ros.bags.copying import whole
from hal_ros.bags.definitions import BagTypes
from hal_ros.bags.frames import Frame, Reasons, due_frames
from hal_ros.bags.inputs import AskedTopics, find_inputs
from hal_ros.bags.reader import BagMessage, BagNotes, BagWriter, read_messages, topic_types
from hal_ros.core.card import ModelCard
from hal_ros.core.errors import BagError, ConfigError
from hal_ros.core.work import Report
from hal_ros.offline.bundle import BundleChoice, answers_metadata, open_segmenter
from hal_ros.offline.followed_plans import FollowedPlans, recorded_plans
from hal_ros.offline.labelling import write_vocabulary
from hal_ros.offline.named_ticks import named_frames, named_ticks
from hal_ros.offline.plan import PlanSteps, read_plan
from hal_ros.offline.replay import (
    BOUNDARY_TOPIC,
    LABEL_TOPIC,
    PLAN_TOPIC,
    AgainstRecording,
    replay,
    sessions_left_open,
)
from hal_ros.offline.robots import choose_robot, of_others
from hal_ros.offline.summary import AnswerTally, inputs_lines, summary_lines
from hal_ros.runtime.bundle import Bundle


@dataclass(frozen=True)
class ReplayJob:
    """What to replay. A replay begins with the first label in the bag, if there is one, unless told otherwise."""

    bag: Path
    out: Path | None = None  # where the answers go; nowhere without it
    ticks_from: Path | None = None  # a bag whose recorded labels name the ticks to step
    from_start: bool = False  # begin with the first image
    plan: Path | None = None  # a file with one action a line, to be followed
    topics: AskedTopics = field(default_factory=dict)
    namespace: str | None = None  # of the robot whose recorded labels are meant, where there are several


class _Found(NamedTuple):
    """What reading the bag came upon."""

    notes: BagNotes
    counters: Counter[str]
    reasons: Reasons


def run_replay(job: ReplayJob, choice: BundleChoice, report: Report = print) -> bool:
    """Replay a bag, write the answers, compare; False when the labels of `ticks_from` did not come again.

    Raises BagError, CardError, ConfigError or BackendError.
    """
    if job.out is not None and job.out.exists():
        raise BagError(f"{job.out}: exists; expected a new file or folder to write")
    bundle, segmenter = open_segmenter(choice, report)
    plans, names_plans = _plans(job, segmenter.card, report)
    found = _Found(BagNotes(), Counter(), {})
    started = time.perf_counter()
    frames, segments = _frames(job, segmenter.card, found, report)
    tally, steps, against = AnswerTally(), PlanSteps(), _against(job, names_plans)
    answers = replay(frames, segmenter, segments, plans, sessions_left_open(job.ticks_from))
    answers = against.of(steps.of(tally.of(answers)))
    if job.out is not None:
        report(f"{_write(job.out, bundle, answers)}: written")
    deque(answers, maxlen=0)  # nobody keeps them
    wall_s, spec = time.perf_counter() - started, segmenter.card.streams
    for line in (*summary_lines(tally, wall_s, found.counters, found.reasons, spec), *steps.lines):
        report(line)
    if str(found.notes):
        report(f"{job.bag}: {found.notes}")
    comparisons = against.results()
    for result in comparisons:
        report(str(result))
    if job.ticks_from is not None and not comparisons:
        report(f"{job.ticks_from}: holds no labels on {LABEL_TOPIC}, in any namespace; expected some to compare with")
    if job.ticks_from is None and not all(result.holds for result in comparisons):
        report(
            "where the node dropped an image, or got a state after its tick, plain replay differs: "
            f"--ticks-from {job.bag} steps what the labels name"
        )
    return job.ticks_from is None or (bool(comparisons) and all(result.holds for result in comparisons))


def _plans(job: ReplayJob, card: ModelCard, report: Report) -> tuple[FollowedPlans, bool]:
    """Return the plans to follow, and whether they are those that the recording's answers were placed in."""
    if job.plan is not None:
        return FollowedPlans(read_plan(job.plan, card)), False
    source = job.ticks_from or job.bag
    types = topic_types(source)
    if FOLLOWED_TYPE not in types.values() or (job.from_start and job.ticks_from is None):
        return FollowedPlans(), False
    ours = {*types} - of_others(types, choose_robot(source, types, job.namespace))
    try:
        changes = recorded_plans(source, [topic for topic in ours if types[topic] == FOLLOWED_TYPE], card)
    except ConfigError as error:
        report(f"{source}: its plan is not followed: {error}")
        return FollowedPlans(), False
    return FollowedPlans(changes=changes), True


def _frames(job: ReplayJob, card: ModelCard, found: _Found, report: Report) -> tuple[Iterator[Frame], int]:
    """Return the ticks to step, and how many segments were opened before them."""
    inputs = find_inputs(job.bag, card.streams, card.name, job.topics)
    for line in inputs_lines(job.bag, inputs):
        report(line)
    messages = read_messages(job.bag, inputs.all_topics, found.notes)
    source = job.ticks_from or job.bag
    types = topic_types(source)
    if job.ticks_from is None and (job.from_start or LABEL_TYPE not in types.values()):
        return due_frames(messages, inputs, found.counters, reasons=found.reasons), 0
    ours = {*types} - of_others(types, choose_robot(source, types, job.namespace))
    labels = (m for m in read_messages(source, ours) if m.type_name == LABEL_TYPE)
    if job.ticks_from is not None:
        ticks, segments = named_ticks(labels, card, BagTypes.of(source))
        return named_frames(messages, ticks, inputs, found.counters, found.reasons), segments
    ticks, segments = named_ticks(_first_labels(labels, BagTypes.of(source)), card, BagTypes.of(source))
    start_ns, session = (ticks[0].origin_ns, ticks[0].session) if ticks else (None, 0)
    frames = due_frames(messages, inputs, found.counters, start_ns, found.reasons)
    return (replace(frame, session=session) for frame in frames), segments


def _first_labels(labels: Iterable[BagMessage], types: BagTypes) -> Iterator[BagMessage]:
    """Yield recorded labels up to the first confirmed one: they tell where a replay begins, and with which segment."""
    for message in labels:
        yield message
        if types.deserialise(message.type_name, message.data).confirmed_valid:
            return


def _write(path: Path, bundle: Bundle, answers: Iterator[BagMessage]) -> Path:
    """Write vocabulary and answers; returns the file that they are in."""
    first = next(answers, None)
    with whole(path) as unfinished, BagWriter(unfinished, answers_metadata(bundle)) as bag:
        write_vocabulary(bag, bundle, 0 if first is None else first.receive_ns)
        for topic, type_name, receive_ns, data, _ in chain([] if first is None else [first], answers):
            bag.write(topic, type_name, data, receive_ns)
    return path if bag.folder is None else path / bag.file.name


def _against(job: ReplayJob, with_plans: bool) -> AgainstRecording:
    """Return what compares with the labels and boundaries of the bag, if it holds any, of whatever namespace.

    `with_plans`, with the progress in them, too.
    """
    path = job.ticks_from or job.bag
    kinds, types = topic_types(path), BagTypes.of(path)
    robots = sum(kind == LABEL_TYPE for kind in kinds.values())
    if job.ticks_from is None and job.from_start and job.namespace is None and robots > 1:
        return AgainstRecording((), (), types)  # nobody said whose
    robot = choose_robot(path, kinds, job.namespace) or ""
    compared = (LABEL_TOPIC, BOUNDARY_TOPIC, *[PLAN_TOPIC] * with_plans)
    topics = {robot + topic: topic for topic in compared if robot + topic in kinds}
    recorded = (message._replace(topic=topics[message.topic]) for message in read_messages(path, topics))
    return AgainstRecording(recorded, topics.values(), types)
