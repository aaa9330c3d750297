"""What is known at the newest label: for those who ask now and then, and for those who wait."""

from __future__ import annotations

from typing import NamedTuple

from hal_ros.core.segmenter import OpenSegment


class LastKnown(NamedTuple):
    """What is known at one label. Stamps are the sensor's."""

    segment: OpenSegment | None = None  # the confirmed segment that runs
    label_ns: int = 0  # stamp of the newest label, 0 before the first one; kept when its segment is closed
    frame_id: str = ""  # of that label
