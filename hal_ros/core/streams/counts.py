"""What is counted of each stream, the same in node, replay, ingest and label.

The counters of one run are one `Counter`: those of the tick grid by their plain names, those of a stream as
`<stream>/<cause>`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

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
"""Messages that were not: without a stamp, or with one that ROS can't write; the same stamp again; none of the stream's
names; contradictory, or of another type than the card's; bytes that are not of their type; pictures that can't be
converted."""
LATE, OVERFLOWED = "late", "overflowed"
"""Messages that came after a due tick that is not older than they are; that had to be set aside unmerged."""
MISSING, STALE, PARTIAL = "missing", "stale", "partial"
"""Due ticks without any valid value; those of them for which there was one that is too old; those that lack a name, or
a value that was known before: a field that a driver never sends is no fault."""

CAUSES = {
    ZERO: "without a stamp",
    REPEATED: "repeated",
    UNNAMED: "that name nothing the model knows",
    REFUSED: "refused",
    MALFORMED: "malformed",
    UNREADABLE: "unreadable",
    LATE: "late",
    OVERFLOWED: "set aside",
    MISSING: "missing",
    STALE: "stale",
    PARTIAL: "partial",
}
"""What each cause is called; `received` is no cause."""
OF_TICKS = (MISSING, STALE, PARTIAL)
HARMLESS = (RECEIVED, LATE)
"""What a healthy recording has too: a message that came late in it was still aligned, see `sensors.in_clock_order`."""


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


def stream_fault(stream: str, cause: str, count: int) -> str:
    """Return one count in words, as 'arm: 3 ticks partial' or 'front: 2 messages malformed'."""
    what = "tick" if cause in OF_TICKS else "message"
    return f"{stream}: {count} {what}{'' if count == 1 else 's'} {CAUSES.get(cause, cause)}"
