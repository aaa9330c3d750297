"""Cameras beside the clock: the newest picture that is not newer than the clock's stamp, and young enough."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass
from typing import Any

from hal_ros.core.streams import counts
from hal_ros.core.streams.spec import CameraSpec
from hal_ros.core.ticks import BACKWARD_JUMP_NS, is_stamp

WAITING_NS = 2_000_000_000
"""How long the pictures of one camera wait for the clock, by their stamps."""
LEAST_WAITING = 8
"""So many wait, however far apart their stamps are: one that is far off says nothing of the others."""
MOST_WAITING = 256
"""Of more pictures the oldest go: memory stays bounded."""


@dataclass(frozen=True)
class TimedPicture:
    """A picture that nobody has decoded yet."""

    stamp_ns: int
    topic: str
    message: Any  # whatever its pixels are made from; core never looks into it


class PictureQueue:
    """The pictures of one camera, fed in receive order and asked at rising stamps. What is refused is counted."""

    def __init__(self, name: str, spec: CameraSpec, counters: Counter[str]) -> None:
        self._name, self._counters = name, counters
        self._max_age_ns = round(spec.max_age_s * 1e9)
        self._pictures: list[TimedPicture] = []  # by stamp; the first may have served a tick already
        self._asked_ns = 0

    def add(self, picture: TimedPicture) -> bool:
        """Take one picture; False where it is refused, and counted."""
        stamps = [one.stamp_ns for one in self._pictures]
        at = bisect_left(stamps, picture.stamp_ns)
        cause = counts.RECEIVED
        if not is_stamp(picture.stamp_ns):
            cause = counts.ZERO
        elif at < len(stamps) and stamps[at] == picture.stamp_ns:
            cause = counts.REPEATED
        self._counters[counts.key(self._name, cause)] += 1
        if cause != counts.RECEIVED:
            return False
        self._counters[counts.key(self._name, counts.LATE)] += (
            0 <= self._asked_ns - picture.stamp_ns <= BACKWARD_JUMP_NS
        )
        self._pictures.insert(at, picture)
        if gone := self._outlived():
            self._counters[counts.key(self._name, counts.OVERFLOWED)] += gone
            del self._pictures[:gone]
        return True

    def _outlived(self) -> int:
        """Return how many of the oldest waited long enough, by the middle one's stamp, which no single one moves."""
        pictures = self._pictures
        if len(pictures) <= LEAST_WAITING:
            return 0
        limit_ns = pictures[len(pictures) // 2].stamp_ns - WAITING_NS // 2
        old = sum(one.stamp_ns < limit_ns for one in pictures)
        return max(old, len(pictures) - MOST_WAITING)

    def at(self, stamp_ns: int) -> TimedPicture | None:
        """Return the picture of a tick; it stays, as it may serve the next one too."""
        if self._asked_ns - stamp_ns > BACKWARD_JUMP_NS:
            self._pictures = [one for one in self._pictures if one.stamp_ns < stamp_ns + BACKWARD_JUMP_NS]
        self._asked_ns = stamp_ns
        at = bisect_right([one.stamp_ns for one in self._pictures], stamp_ns)
        if at == 0:
            self._counters[counts.key(self._name, counts.MISSING)] += 1
            return None
        newest = self._pictures[at - 1]
        del self._pictures[: at - 1]
        if stamp_ns - newest.stamp_ns <= self._max_age_ns:
            return newest
        self._counters[counts.key(self._name, counts.MISSING)] += 1
        self._counters[counts.key(self._name, counts.STALE)] += 1
        return None
