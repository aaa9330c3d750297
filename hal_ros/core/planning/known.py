"""What is known at the newest label: for those who ask now and then, and for those who wait."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from hal_ros.core.segmenter import OpenSegment

MOST_LIVES = 2**53
"""Lives are numbered at random below this, so that tools that read all numbers as doubles keep them apart."""
MOST_NEWS = 256
"""So much is kept for those who wait while they can't look; half a minute at 10 Hz."""


class LastKnown(NamedTuple):
    """What is known at one label. Stamps are the sensor's."""

    segment: OpenSegment | None = None  # the confirmed segment that runs
    label_ns: int = 0  # stamp of the newest label, 0 before the first one; kept when its segment is closed
    frame_id: str = ""  # of that label


class Bulletin:
    """The newest that is known, and each step towards it while somebody waits.

    `tell` is for the thread that answers, the rest for the one that asks: between them lie single assignments and one
    deque, which need no lock. It outlives activations, and so do its stamps.
    """

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        """Take what wakes the thread that asks."""
        self.newest = LastKnown()
        self.awaited = False
        self._news = deque[LastKnown](maxlen=MOST_NEWS)
        self.wake = wake

    def tell(self, known: LastKnown) -> None:
        """Say what is known now."""
        self.newest = known
        if self.awaited:
            self._news.append(known)
            self.wake()

    def close(self) -> None:
        """Say that no segment runs any more, if one does."""
        if self.newest.segment is not None:
            self.tell(self.newest._replace(segment=None))

    def take(self) -> list[LastKnown]:
        """Return what was told since the last time, oldest first, and forget it."""
        taken = []
        while self._news:
            taken.append(self._news.popleft())
        return taken


@dataclass(frozen=True)
class Lifelong:
    """What a node has from its start to its end, so that nothing of it is ever used twice."""

    life: int  # ActionLabel.session
    bulletin: Bulletin  # what was known last, and is told to those who ask

    @classmethod
    def drawn(cls, wake: Callable[[], None]) -> Lifelong:
        """Begin a life, with a number that no other has; `wake` is called in the worker's thread."""
        return cls(1 + secrets.randbelow(MOST_LIVES - 1), Bulletin(wake))
