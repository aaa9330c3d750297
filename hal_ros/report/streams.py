"""What a recording says of the streams that its answers stand on, and which pictures went into them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hal_ros.core.arrays import ByteArray
from hal_ros.core.streams.merge import Source
from hal_ros.offline.recording import Event, Recording, Status, read_pictures

ANY_TOPIC = ""
MOST_CAMERAS = 2
KEPT = ("dropped_not_due", "dropped_late")
"""What is between two ticks, or late, is no loss."""
COUNTED = ("images", "messages")
"""What diagnostics of a camera and of a state count."""


class StreamRow(NamedTuple):
    """One stream as the page shows it; '' where the recording does not tell."""

    name: str
    topics: str
    share: str  # of the answers that it went into
    messages: str
    rate: str  # messages per second of all labels
    missing: str  # ticks without it
    dropped: str


Pictures = Mapping[Source, ByteArray]
"""(H, W, 3) RGB by what names them in a label."""


def stream_table(recording: Recording) -> list[StreamRow]:
    """Return a line for each stream that went into an answer, or that diagnostics speak of."""
    named = dict.fromkeys(source.stream for label in recording.labels for source in label.inputs)
    statuses = {status.name.rpartition(": ")[2]: status for status in recording.statuses if _is_of_stream(status)}
    return [_row(name, recording, statuses.get(name)) for name in dict.fromkeys((*statuses, *named))]


def _is_of_stream(status: Status) -> bool:
    return "topics" in status.values and any(counted in status.values for counted in COUNTED)


def _row(name: str, recording: Recording, status: Status | None) -> StreamRow:
    with_it = [label for label in recording.labels if any(source.stream == name for source in label.inputs)]
    known = any(label.inputs for label in recording.labels)
    share = f"{100 * len(with_it) / len(recording.labels):.1f} %" if known else ""
    if status is None:
        topics = {source.topic for label in with_it for source in label.inputs if source.stream == name}
        return StreamRow(name, " ".join(sorted(topics)), share, "", "", "", "")
    values = status.values
    counted = next(one for one in COUNTED if one in values)
    dropped = sum(int(value) for key, value in values.items() if key.startswith("dropped_") and key not in KEPT)
    seconds = (recording.labels[-1].stamp_ns - recording.labels[0].stamp_ns) / 1e9
    return StreamRow(
        name,
        values["topics"],
        share,
        f"{values[counted]} {counted}",
        f"{int(values[counted]) / seconds:.1f} Hz" if seconds else "",
        values.get("missing", ""),
        str(dropped),
    )


def pictures_of(recording: Recording, event: Event) -> tuple[Source, ...]:
    """Return the pictures that show a boundary: of the camera that makes the ticks, then of the next one.

    They are those that its tick's answer names; without such names whatever picture bears its stamp.
    """
    label = next((label for label in recording.labels if label.stamp_ns == event.stamp_ns), None)
    inputs = () if label is None else label.inputs
    found = [source for source in inputs if source.topic in recording.cameras]
    found.sort(key=lambda source: source.stamp_ns != event.stamp_ns)  # stable: the clock's bears the tick's own stamp
    return tuple(found[:MOST_CAMERAS]) or (Source(ANY_TOPIC, ANY_TOPIC, event.stamp_ns),)


def read_all_pictures(path: Path, recording: Recording, events: list[Event]) -> Pictures:
    """Return the pictures that show boundaries; only these are decoded."""
    wanted = {source for event in events for source in pictures_of(recording, event)}
    found: dict[Source, ByteArray] = {}
    for topic in sorted({source.topic for source in wanted}):
        by_stamp = read_pictures(path, [source.stamp_ns for source in wanted if source.topic == topic], topic)
        found |= {s: by_stamp[s.stamp_ns] for s in wanted if s.topic == topic and s.stamp_ns in by_stamp}
    return found
