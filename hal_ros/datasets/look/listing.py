"""The table of all topics that a dataset could take, and what became of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hal_ros.bags.inputs import transport_base
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.datasets.look.candidates import Candidate
from hal_ros.datasets.look.fit import Contents

HEAD = ("topic", "type", "Hz", "skew ms", "bags", "stream")
LONG_S = 100.0  # the stamps of a simulation are decades away from the time of receipt
TO_THE_RIGHT = ("Hz", "skew ms", "bags")


def listing(
    candidates: Sequence[Candidate], contents: Mapping[str, Contents], spec: StreamSpec, reasons: Mapping[str, str]
) -> Iterator[str]:
    """Yield a line for each topic: what it is, how far its stamps lie behind receipt, its stream or why it has none."""
    streams = streams_by_topic(contents, spec)
    order = {name: place for place, name in enumerate(spec.names)}

    def place(candidate: Candidate) -> tuple[int, str]:
        taken = streams.get(transport_base(candidate.topic), [])
        return min((order[name] for name in taken), default=len(order)), candidate.topic

    rows: list[tuple[str, ...]] = [HEAD]
    for one in sorted(candidates, key=place):
        taken = streams.get(transport_base(one.topic), [])
        names = ", ".join(f"{name} (clock)" if name == spec.clock else name for name in taken)
        rows.append(
            _row(one, len(contents), names or f"- {reasons.get(one.topic) or one.fault or 'not in the settings'}")
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    for row in rows:
        cells = [
            cell.rjust(width) if head in TO_THE_RIGHT else cell.ljust(width)
            for cell, width, head in zip(row, widths, HEAD, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def streams_by_topic(contents: Mapping[str, Contents], spec: StreamSpec) -> dict[str, list[str]]:
    """Return the streams that each topic serves in any bag; of pictures by the topic without its transport."""
    found: dict[str, list[str]] = {}
    for stream in spec.names:
        for topic in sorted({t for each in contents.values() for t in each.inputs.topics[stream]}):
            names = found.setdefault(transport_base(topic), [])
            names += [stream] * (stream not in names)
    return found


def _row(one: Candidate, bags: int, verdict: str) -> tuple[str, ...]:
    rate = f"{one.rate_hz:.1f}" if one.rate_hz else "?"
    skew = "?" if one.skew_s is None else f"{1000 * one.skew_s:.0f}" if abs(one.skew_s) < LONG_S else "far off"
    return one.topic, one.type_name.replace("/msg/", "/"), rate, skew, f"{len(one.bags)}/{bags}", verdict
