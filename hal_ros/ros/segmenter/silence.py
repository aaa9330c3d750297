"""When the clock's stream has stopped: what was open is closed then, so that nobody waits for its end for ever."""

from __future__ import annotations

from hal_ros.core.streams.spec import StreamSpec

POLLS = 20
"""So often is looked within the time that silence lasts."""
LONGEST_POLL_S = 0.25


class SilenceWatch:
    """Tells once when ticks have ceased for `limit_s` of the ROS clock; paused simulated time never does.

    `stale` says that they still have not come again.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.stale = False
        self._answered = 0
        self._since_ns = 0  # 0: the ROS clock does not run yet

    def look(self, answered: int, now_ns: int) -> bool:
        """Return whether silence has just begun; `answered` is how many ticks were answered so far."""
        if answered != self._answered or now_ns < self._since_ns or not self._since_ns:
            self.stale = self.stale and answered == self._answered
            self._answered, self._since_ns = answered, now_ns
            return False
        if self.stale or now_ns - self._since_ns <= self.limit_s * 1e9:
            return False
        self.stale = True
        return True


def silence_s(spec: StreamSpec, image_timeout_s: float, joint_timeout_s: float) -> float:
    """Return after how many seconds without a tick the clock is silent: its timeout, but longer than ticks are held."""
    timeout_s = image_timeout_s if spec.clock in spec.cameras else joint_timeout_s
    return max(timeout_s, (spec.max_held_ticks + 1) / spec.rate_hz)


def poll_s(limit_s: float) -> float:
    """Return how often to look."""
    return min(limit_s / POLLS, LONGEST_POLL_S)
