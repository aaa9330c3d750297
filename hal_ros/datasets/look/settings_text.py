"""The settings of a new dataset, as a person reads and edits them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from hal_ros.core.streams.spec import CameraSpec, StateSpec
from hal_ros.datasets.config import DataConfig
from hal_ros.datasets.look.candidates import Candidate

HEAD = """# Settings of `hal train` for this dataset, written by `hal ingest`. What is left out keeps the
# defaults of hal_ros/train/config.py.
"""
ABOUT_STREAMS = """\
    # What the model takes from the robot. Remove a stream, or change a line, and call `hal ingest` again:
    # what has changed is ingested anew.
    # clock        the stream whose stamps make the ticks
    # topic        one, or a list: a camera comes from the first that a bag has, raw or compressed; a state from all
    # size_px      side of the picture that the model sees; all cameras have the same
    # crop         centre (the largest square), full (all of it, with black bars), or [x, y, width, height] in pixels
    # type         of a state's messages
    # names        joints, in the model's order
    # fields       of joints position, velocity, effort; else paths to numbers, as wrench.force.x or 'data[3]'
    # max_age_s    an older picture or value is not used
"""


def settings_text(name: str, data: DataConfig, candidates: Mapping[str, Candidate]) -> str:
    """Return the YAML of a dataset's settings, with a comment on each key of the streams."""
    top = yaml.safe_dump({"name": name, "supervision": "mixed"}, sort_keys=False, allow_unicode=True)
    lines = [
        "data:",
        f"  folder: {_flow(data.folder)}",
        f"  cache: {_flow(data.cache)}",
        *([f"  groups: {_flow(data.groups)}  # who is seen in which bag"] if data.groups else []),
        f"  rate_hz: {_flow(data.rate_hz)}  # ticks of the model per second",
        "  streams:",
    ]
    return f"{HEAD}{top}" + "\n".join(lines) + f"\n{ABOUT_STREAMS}" + "\n".join(_streams(data, candidates)) + "\n"


def _streams(data: DataConfig, candidates: Mapping[str, Candidate]) -> Iterator[str]:
    streams = data.streams
    yield f"    clock: {_flow(streams.clock)}"
    for kind, parts in (("cameras", streams.cameras), ("states", streams.states)):
        if parts:
            yield f"    {kind}:"
        for name, part in parts.items():
            yield f"      {_flow(name)}:{_seen(part.topic, candidates)}"
            for key, value in _entries(part):
                yield f"        {key}: {_flow(value)}"


def _entries(part: CameraSpec | StateSpec) -> Iterator[tuple[str, Any]]:
    yield "topic", part.topic[0] if len(part.topic) == 1 else list(part.topic)
    if isinstance(part, CameraSpec):
        yield "size_px", part.size_px
        yield "crop", part.crop if isinstance(part.crop, str) else list(part.crop)
    else:
        if part.type:
            yield "type", part.type
        if part.names:
            yield "names", list(part.names)
        yield "fields", list(part.fields)
    yield "max_age_s", part.max_age_s


def _seen(topics: tuple[str, ...], candidates: Mapping[str, Candidate]) -> str:
    found = [candidates[topic] for topic in topics if topic in candidates]
    rates = [f"{one.rate_hz:.3g} Hz" for one in found if one.rate_hz]
    kinds = sorted({one.type_name for one in found})
    sizes = [f"{width}x{height}" for width, height in (one.size_px for one in found) if width]
    return f"  # {', '.join([*kinds, *sizes, *rates])}" if found else ""


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=float("inf"))
    return text.removesuffix("...\n").strip()
