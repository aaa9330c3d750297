"""What is counted, how grave it is and what it is called: one table, by which node, replay, ingest and label judge.

The counters of one run are one `Counter`: those of the tick grid by their plain names, those of a stream as
`<stream>/<cause>`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import NamedTuple

from hal_ros.core.streams.spec import StreamSpec

RECEIVED = "received"
"""Messages that were taken."""
ZERO, REPEATED, UNNAMED, REFUSED, MALFORMED, UNREADABLE = (
    "zero",
    "repeated",
    "unnamed",
    "refused",
    "malformed",
    "unreadable",
)
"""Messages that were not: without a stamp, or with one that is none; the same stamp again; none of the stream's names;
contradictory, or of another type than the card's; bytes that are not of their type; pictures that can't be converted.
"""
LATE, OVERFLOWED, FLOODED, LOST = "late", "overflowed", "flooded", "lost"
"""Messages that came after a due tick that is not older than they are; that had to be set aside unmerged; that nobody
looked at, as the topic brought more than there was time for; that the middleware lost."""
MISSING, STALE, PARTIAL = "missing", "stale", "partial"
"""Due ticks without any valid value; those of them for which there was one that is too old; those that lack a name, or
a value that was known before: a field that a driver never sends is no fault."""
DUE, NOT_DUE, BACKWARDS, OUTLIER = "due", "not_due", "backwards", "outlier"
"""What became of the clock's stamps, beside ZERO and REPEATED: see `core.ticks.place`."""
RESTARTS, HELD, OVERRUNS = "restarts", "held_ticks", "overruns"
"""Fresh grids, the first one included; ticks without a message of the clock; fresh states on a running grid, because
more due ticks were lost on the way to the model than can be held."""
OVERWRITTEN, UNPAIRED, DISCARDED, LABELS, BOUNDARIES, SILENCES, RESETS = (
    "overwritten",
    "unpaired",
    "discarded",
    "labels",
    "boundaries",
    "silences",
    "resets",
)
"""Live alone: due ticks that a newer one overtook; messages of the clock that wait for partners, or waited in vain;
due ticks that a reset dropped; messages published; how often the clock fell silent, and how
often somebody reset the node."""
SKIPPED = "skipped"
"""Offline alone: messages of the clock before the first recorded label."""


class Severity(IntEnum):
    """How grave it is that something was counted at all."""

    OK = 0  # a healthy run has it too
    WARN = 1
    ERROR = 2  # nothing comes of the stream while it lasts


class Counted(NamedTuple):
    """One counter: of messages, ticks or what else, and what is said after the number and that word."""

    severity: Severity
    unit: str
    words: str


OK, WARN, ERROR = Severity
TABLE: dict[str, Counted] = {
    UNREADABLE: Counted(ERROR, "message", "unreadable"),
    ZERO: Counted(WARN, "message", "without a stamp"),
    REPEATED: Counted(WARN, "message", "with the stamp of the one before"),
    BACKWARDS: Counted(WARN, "message", "with a stamp before the newest"),
    OUTLIER: Counted(WARN, "message", "with a stamp from which the next one did not go on"),
    LOST: Counted(WARN, "message", "lost on the way"),
    FLOODED: Counted(WARN, "message", "not looked at, as more came than there was time for"),
    MALFORMED: Counted(WARN, "message", "malformed"),
    REFUSED: Counted(WARN, "message", "refused, as they name a joint twice or are of another type"),
    OVERFLOWED: Counted(WARN, "message", "set aside before the clock came"),
    UNNAMED: Counted(WARN, "message", "that name nothing the model knows"),
    MISSING: Counted(WARN, "tick", "missing"),
    STALE: Counted(WARN, "tick", "stale"),
    PARTIAL: Counted(WARN, "tick", "partial"),
    OVERWRITTEN: Counted(WARN, "due tick", "overtaken by a newer one, as the model is too slow"),
    OVERRUNS: Counted(WARN, "fresh state", "as more due ticks were lost than can be held"),
    RESTARTS: Counted(WARN, "restart", "of the tick grid"),
    UNPAIRED: Counted(WARN, "message", "for which message_filters has found no partners"),
    SKIPPED: Counted(WARN, "message", "of the clock before the first recorded label"),
    RECEIVED: Counted(OK, "message", "taken"),
    # In a recording, too: there it was still aligned, see `bags.sensors.in_clock_order`.
    LATE: Counted(OK, "message", "after their tick"),
    DUE: Counted(OK, "tick", "due"),
    NOT_DUE: Counted(OK, "message", "between two ticks"),
    HELD: Counted(OK, "tick", "held"),
    DISCARDED: Counted(OK, "due tick", "dropped by a reset"),
    LABELS: Counted(OK, "label", "published"),
    BOUNDARIES: Counted(OK, "boundary", "published"),
    SILENCES: Counted(OK, "silence", "of the clock"),
    RESETS: Counted(OK, "reset", "asked for"),
}
"""All counters, the gravest first; one that is not listed is a fault that a reader of bags names in words."""
CAUSES = {
    name: TABLE[name].words
    for name in (
        *(ZERO, REPEATED, UNNAMED, REFUSED, MALFORMED, UNREADABLE),
        *(LATE, OVERFLOWED, FLOODED, LOST, MISSING, STALE, PARTIAL),
    )
}
"""What each cause of a stream is called; `received` is no cause."""
OF_TICKS = tuple(name for name in CAUSES if TABLE[name].unit == "tick")
HARMLESS = (RECEIVED, *(name for name in CAUSES if TABLE[name].severity == OK))
"""What a healthy recording has too, of a stream."""


def key(stream: str, cause: str) -> str:
    """Return the counter's name of a stream's cause."""
    return f"{stream}/{cause}"


def of_stream(counters: Mapping[str, int], stream: str) -> Counter[str]:
    """Return what was counted of one stream, by cause."""
    prefix = f"{stream}/"
    return Counter({name[len(prefix) :]: count for name, count in counters.items() if name.startswith(prefix)})


def by_stream(counters: Mapping[str, int]) -> Iterator[tuple[str, str, int]]:
    """Yield stream, cause and count of all that is counted by stream and is not zero."""
    for name, count in counters.items():
        stream, _, cause = name.partition("/")
        if is_of_stream(name) and count:
            yield stream, cause, count


def is_of_stream(name: str) -> bool:
    """Whether a counter is of a stream; others may tell of topics, which have slashes too."""
    return re.fullmatch(r"\w+/\w+", name) is not None


def severity(name: str) -> Severity:
    """Return how grave a counter is, by its plain name or its cause; WARN for one that is not in the table."""
    return TABLE[name].severity if name in TABLE else WARN


def sentence(cause: str, count: int, message: str = "message") -> str:
    """Return one count in words, as '3 ticks partial'; `message` is what messages are called here, as image.

    A cause that is not in the table is a reader's own words: they come first, as 'no schema: 3 messages'.
    """
    known = TABLE.get(cause)
    unit = message if known is None or known.unit == "message" else known.unit
    counted = f"{count} {unit if count == 1 else _plural(unit)}"
    return f"{cause}: {counted}" if known is None else f"{counted} {known.words}"


def stream_fault(stream: str, cause: str, count: int) -> str:
    """Return one count of a stream in words, as 'arm: 3 ticks partial' or 'front: 2 messages malformed'."""
    return f"{stream}: {sentence(cause, count)}"


def faults(counters: Mapping[str, int], least: Severity = WARN) -> list[str]:
    """Return in words all that is counted and at least so grave: of the grid, then by stream; the gravest first.

    The beginning that every stream has is no restart.
    """
    plain = {name: count for name, count in counters.items() if not is_of_stream(name)}
    plain[RESTARTS] = max(0, plain.get(RESTARTS, 0) - 1)
    found = [("", name, count) for name, count in plain.items() if count] + list(by_stream(counters))
    order = {name: place for place, name in enumerate(TABLE)}
    found.sort(key=lambda one: (one[0] != "", order.get(one[1], len(order))))
    grave = [one for one in found if severity(one[1]) >= least]
    return [stream_fault(*one) if one[0] else sentence(*one[1:]) for one in grave]


def slow_clock(spec: StreamSpec, rate_hz: float) -> str:
    """Return the measured rate of the clock's messages and that of the ticks, and which one would do if it is less."""
    least_hz = spec.rate_hz / (spec.max_held_ticks + 1)
    expected = f"; expected {least_hz:.2g} Hz at least" if rate_hz < least_hz else ""
    return f"{spec.clock} comes at {rate_hz:.2g} Hz, the model's ticks at {spec.rate_hz:g} Hz{expected}"


def _plural(unit: str) -> str:
    return unit[:-1] + "ies" if unit.endswith("y") else unit + "s"
