"""The benchmark's planners: they wait, ask, and go again."""

from __future__ import annotations

from typing import Any

import pytest

from fakes import make_card

pytestmark = pytest.mark.ros


def test_they_are_told_of_each_segment_until_they_end(rig: Any) -> None:
    from hal_ros.bench.streams.waiting_clients import WaitingClients  # late: the other tests here need no ROS

    node: Any = rig.active()
    with WaitingClients(2) as clients:

        def until(holds: Any) -> None:
            rig.until(lambda: (clients.spin(0.001), holds())[1])

        assert clients.begin()
        until(lambda: len(node._waits._goals) == 2)
        for tick in range(make_card().lag_ticks + 2):
            rig.show("red", tick)
        until(lambda: clients.reached == 2 and len(node._waits._goals) == 2)  # they wait for the next segment
        until(lambda: clients.answered)
        clients.end()
        until(lambda: clients.ended == 4)
        assert not node._waits._goals
        assert not clients.waiting
