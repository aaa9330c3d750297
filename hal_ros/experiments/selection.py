"""Parts of what a robot's episodes hold: some cameras and states of those that were ingested together.

All streams are aligned to the clock each for itself, so that a part is what would have been ingested without the rest.
Pictures and features of several parts lie on disk once then.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.datasets.encoded_clips import EncodedClip


@dataclass(frozen=True)
class Selection:
    """Which cameras and which of the V state values are taken, in the part's order."""

    cameras: tuple[int, ...]
    values: tuple[int, ...]

    def of(self, encoded: EncodedClip) -> EncodedClip:
        """Return a clip with these alone."""
        cameras, values = list(self.cameras), list(self.values)
        return dataclasses.replace(
            encoded,
            features=tuple(encoded.features[camera] for camera in cameras),
            image_valid=np.ascontiguousarray(encoded.image_valid[:, cameras]),
            joints=np.ascontiguousarray(encoded.joints[:, values]),
            joints_valid=np.ascontiguousarray(encoded.joints_valid[:, values]),
        )


def selection(whole: StreamSpec, part: StreamSpec) -> Selection:
    """Return where the part's streams lie in clips of the whole.

    Raises ConfigError for a stream that the whole has not, or has otherwise, and for another clock: the ticks of the
    two are not the same then.
    """
    for key in ("clock", "rate_hz", "max_held_ticks"):
        if getattr(whole, key) != getattr(part, key):
            raise ConfigError(f"{key} is {getattr(part, key)!r}; expected {getattr(whole, key)!r}, as of all streams")
    for name in part.names:
        known = whole.streams.get(name)
        if known is None or known != part.streams[name]:
            raise ConfigError(f"stream {name!r} is not as it is among {', '.join(whole.names)}")
    cameras, columns = list(whole.cameras), list(whole.values)
    return Selection(
        tuple(cameras.index(name) for name in part.cameras), tuple(columns.index(value) for value in part.values)
    )


def part_of(streams: dict[str, Any], clock: str, cameras: list[str], states: list[str]) -> dict[str, Any]:
    """Return the settings of some of the streams that settings name. Raises ConfigError for one that they don't."""
    for kind, names in (("cameras", cameras), ("states", states)):
        if unknown := [name for name in names if name not in streams[kind]]:
            raise ConfigError(f"{unknown[0]!r} is none of the {kind}; expected some of {', '.join(streams[kind])}")
    return {
        "clock": clock,
        "cameras": {name: streams["cameras"][name] for name in cameras},
        "states": {name: streams["states"][name] for name in states},
    }
