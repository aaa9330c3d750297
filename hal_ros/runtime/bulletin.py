"""What a running node knows last, from the thread that answers to the one that asks, and whose life it is of."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hal_ros.core.planning.known import LastKnown

MOST_LIVES = 2**53
"""Lives are numbered at random below this, so that tools that read all numbers as doubles keep them apart."""
MOST_NEWS = 256
"""So much is kept for those who wait while they can't look; half a minute at 10 Hz."""


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
