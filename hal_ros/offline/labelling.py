"""A bag written again with the segmenter's answers in it: every message as it was, and beside it what the node says."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from hal_ros.bags.answer_messages import VOCABULARY_TYPE, vocabulary_message
from hal_ros.bags.copying import Changes, beside, copy_bag, whole
from hal_ros.bags.frames import Reasons, due_frames
from hal_ros.bags.inputs import AskedTopics, BagInputs, evidence, expected_topics, find_inputs
from hal_ros.bags.messages import serialise
from hal_ros.bags.reader import (
    BagNotes,
    BagWriter,
    RawMessage,
    qos_profile,
    qos_text,
    read_messages,
    topic_types,
)
from hal_ros.core.errors import BagError
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.streams import counts
from hal_ros.core.work import Report
from hal_ros.datasets.episodes import faults
from hal_ros.offline.bundle import BundleChoice, answers_metadata, open_segmenter
from hal_ros.offline.followed_plans import FOLLOWED_TOPIC
from hal_ros.offline.replay import BOUNDARY_TOPIC, LABEL_TOPIC, PLAN_TOPIC, VOCABULARY_TOPIC, replay
from hal_ros.offline.summary import AnswerTally, inputs_lines, reason_lines, summary_lines
from hal_ros.offline.truth import LABELLED, place_of_annotation
from hal_ros.runtime.bundle import Bundle

Opened = tuple[Bundle, Segmenter]
"""What `open_segmenter` gives."""
ANSWER_TOPICS = (LABEL_TOPIC, BOUNDARY_TOPIC, VOCABULARY_TOPIC, PLAN_TOPIC, FOLLOWED_TOPIC)


@dataclass(frozen=True)
class LabelJob:
    """What to label, and where to."""

    bag: Path
    out: Path | None = None  # a new .mcap file or folder; BAG-labelled beside the bag where None
    replace: bool = False  # leave the answers out that are in the bag already
    topics: AskedTopics = field(default_factory=dict)


@dataclass(frozen=True)
class Labelled:
    """What the labels were made from and what became of the bag."""

    inputs: BagInputs
    answers: AnswerTally
    counters: Counter[str]  # of `frames.due_frames`
    notes: BagNotes  # what of the bag could not be read, and so is not in the new one
    copied: int  # messages that were in the bag before
    attachments: int = 0  # likewise
    reasons: Mapping[str, str] = field(default_factory=dict)  # of `frames.due_frames`


def answer_topics(bag: Path) -> list[str]:
    """Return the topics of a bag on which it holds answers already."""
    return [topic for topic in ANSWER_TOPICS if topic in topic_types(bag)]


def run_label(job: LabelJob, choice: BundleChoice, report: Report = print) -> None:
    """Label one bag. Raises as `label_bag` does, and what `open_segmenter` raises."""
    _check(job)  # before the model is opened
    label_bag(job, open_segmenter(choice, report), report)


def _check(job: LabelJob) -> tuple[Path, list[str]]:
    """Return where a bag goes, and on which topics it holds answers that will be replaced."""
    bag, out = job.bag, job.out or beside_bag(job.bag)
    if out.exists() or out.suffix == ".db3":
        raise BagError(f"{out}: {'exists' if out.exists() else 'is no MCAP'}; expected a new .mcap file or folder")
    held = answer_topics(bag)
    if held and not job.replace:
        raise BagError(f"{bag}: holds {', '.join(held)} already; expected none of them, or --replace")
    return out, held


def label_bag(job: LabelJob, opened: Opened, report: Report) -> None:
    """Check, label, report.

    Raises BagError where `out` is there already or no MCAP, the bag holds answers that nobody wants replaced, or
    `label` does.
    """
    bag, (out, held), (bundle, segmenter) = job.bag, _check(job), opened
    started = time.perf_counter()
    done = label(bag, out, bundle, segmenter, job.topics)
    for line in inputs_lines(bag, done.inputs):
        report(line)
    if held:
        report(f"{bag}: {', '.join(held)} left out")
    if str(done.notes):
        report(f"{bag}: {done.notes}")
    wall_s, spec = time.perf_counter() - started, segmenter.card.streams
    for line in summary_lines(done.answers, wall_s, done.counters, done.reasons, spec):
        report(line)
    attached = f", {done.attachments} attachments" if done.attachments else ""
    report(f"{out}: written, {done.copied} messages of the bag{attached} and the answers")
    if annotation := place_of_annotation(bag):
        report(f"hal report {out} --annotation {annotation}: scores them")


def beside_bag(bag: Path) -> Path:
    """Return where the labelled bag goes that nobody named: of a lone MCAP file one file, else a folder."""
    return beside(bag, LABELLED, ".mcap" if bag.suffix == ".mcap" and not bag.is_dir() else "")


def label(bag: Path, out: Path, bundle: Bundle, segmenter: Segmenter, asked: AskedTopics) -> Labelled:
    """Write `bag` again as MCAP, without the answers that are in it and with those that the node would publish.

    All other messages keep their bytes, times and order. An answer is received when its image was, and comes right
    after it; the vocabulary comes first. `out` gets its name when it is complete; it is one file if it ends with .mcap,
    else a rosbag2 folder. Memory does not grow with the bag: it is read twice at once, here for its answers and there
    for its messages. Raises BagError when the bag gives no tick or can't be read, or `out` not be written.
    """
    counters, reasons, notes, read, tally = Counter[str](), Reasons(), BagNotes(), BagNotes(), AnswerTally()
    inputs = find_inputs(bag, segmenter.card.streams, segmenter.card.name, asked)
    frames = due_frames(read_messages(bag, inputs.all_topics, read), inputs, counters, reasons=reasons)
    answers = tally.of(replay(frames, segmenter))
    first = next(answers, None)
    if first is None:
        drivers = " or ".join(sorted(inputs.clock_topics))
        why = "; ".join(filter(None, [faults(counters + read.skipped), *reason_lines(reasons), *inputs.problems]))
        raise BagError(f"{bag}: gives no tick to label; expected messages on {drivers}{why and f' ({why})'}")
    changes = Changes(
        without=ANSWER_TOPICS,
        added=(
            RawMessage(one.topic, one.type_name, one.data, one.receive_ns, None, None)
            for one in chain([first], answers)
        ),
        records=answers_metadata(bundle),
        begin=lambda writer, receive_ns: write_vocabulary(writer, bundle, receive_ns),
    )
    with whole(out) as unfinished:
        copied = copy_bag(bag, unfinished, notes, changes)
        check_is_known(bag, inputs, counters, asked)
    notes.skipped |= read.skipped  # what is copied as it is may still be none that the model could take
    return Labelled(inputs, tally, counters, notes, *copied, reasons)


def check_is_known(bag: Path, inputs: BagInputs, counters: Counter[str], asked: AskedTopics) -> None:
    """Refuse a bag in which no name and no topic of the model was found: it is of another robot. BagError."""
    spec = inputs.spec
    named = [name for name, state in spec.states.items() if state.names]
    if evidence(inputs, asked) or any(counters[counts.key(name, counts.RECEIVED)] for name in named):
        return
    names = ", ".join(name for state in named for name in spec.states[state].names) or "none"
    topics = ", ".join(sorted({*expected_topics(spec)})) or "none"
    raise BagError(
        f"{bag}: holds nothing that the model knows: it has topics {', '.join(sorted(inputs.type_names))}; expected "
        f"some of {topics}, or joints {names}; where it is the model's robot, name topics with --camera and --state"
    )


def write_vocabulary(bag: BagWriter, bundle: Bundle, receive_ns: int) -> None:
    """Write the vocabulary as the node publishes it: once, kept for those who come later."""
    bag.add_topic(VOCABULARY_TOPIC, VOCABULARY_TYPE, qos_text([qos_profile(durability=1, depth=1)]))
    vocabulary = serialise(vocabulary_message(bundle.card, bundle.sha256))
    bag.write(VOCABULARY_TOPIC, VOCABULARY_TYPE, vocabulary, receive_ns)
