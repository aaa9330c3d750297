"""Episodes that end early, for tests of what shows in their first seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

LENGTH_NS = 2_400_000_000


@contextmanager
def shortened() -> Iterator[None]:
    """End every script of this process early."""
    from hal_ros.sim import episode

    class Short(episode.Simulation):
        def step(self) -> bool:
            return self.time_ns < LENGTH_NS and super().step()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(episode, "Simulation", Short)
        yield
