"""Sends pictures to a bare node and to the segmenter in turns, and writes down when each was sent and answered.

Run as a process: the file to write, bundle, seconds, pictures per second of each of the two.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile

from hal_ros.bags.messages import header_message, serialise
from hal_ros.bags.sensors import IMAGE
from hal_ros.bench.pictures.bare_node import LABEL
from hal_ros.bench.pictures.latency import BARE, LABELS, PICTURES, REAL
from hal_ros.bench.streams import robot
from hal_ros.core.streams.spec import JOINT_STATE
from hal_ros.ros.player import read_stamp, with_stamp
from hal_ros.ros.recorder import message_class
from hal_ros.ros.subscribers import wait_for_subscribers
from hal_ros.runtime.bundle import load_bundle
from hal_ros.sim.messages import JOINTS_TOPIC, image

DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"
DIFFERENT = 4  # pictures
JOINTS_HZ = 100
LISTENERS_LIMIT_S, LAST_ANSWER_S = 30.0, 2.0


class Sending(NamedTuple):
    """One message and when it is due, in ns from the start."""

    due_ns: int
    whose: str  # of a picture; '' for joints


def schedule(seconds: int, hz: int) -> list[Sending]:
    """Return all sendings by time: pictures in turns, so that each of both has `hz`, and joints for the segmenter."""
    half_ns = 10**9 // (2 * hz)
    pictures = [Sending(n * half_ns, (BARE, REAL)[n % 2]) for n in range(2 * seconds * hz)]
    joints = [Sending(n * 10**9 // JOINTS_HZ, "") for n in range(seconds * JOINTS_HZ)]
    return sorted(pictures + joints)


class Pairs:
    """The player of both; `sent` and `answered` are in ns on the system's clock, by whose picture and its stamp."""

    def __init__(self, joints: tuple[str, ...]) -> None:
        self.sent: dict[str, dict[int, int]] = {BARE: {}, REAL: {}}
        self.answered: dict[str, dict[int, int]] = {BARE: {}, REAL: {}}
        self.stages: dict[str, str] = {}
        self.node = rclpy.create_node("pairs")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        make = self.node.create_publisher
        self._publishers = {who: make(message_class(IMAGE), topic, 5) for who, topic in PICTURES.items()}
        self._joints = make(message_class(JOINT_STATE), JOINTS_TOPIC, 200)
        pictures = [robot.picture(seed) for seed in range(DIFFERENT)]
        self._pictures = [serialise(image(pixels, header_message(1, "camera"))) for pixels in pictures]
        self._joint_message = serialise(robot.joint_message(1, joints))
        for who, topic in LABELS.items():
            take = self._taker(self.answered[who])
            self.node.create_subscription(message_class(LABEL), topic, take, QoSProfile(depth=50), raw=True)
        self.node.create_subscription(message_class(DIAGNOSTICS), "/diagnostics", self._on_report, 10)

    def run(self, seconds: int, hz: int) -> None:
        """Wait for both, send all that is due, and wait for the last answers."""
        publishers = (*self._publishers.values(), self._joints)
        wait_for_subscribers(publishers, (), LISTENERS_LIMIT_S, partial(self._spin_until, 0))
        start_ns = time.monotonic_ns()
        first_ns = time.time_ns()
        for number, (due_ns, whose) in enumerate(schedule(seconds, hz)):
            self._spin_until(start_ns + due_ns)
            if whose:
                data = with_stamp(self._pictures[number % DIFFERENT], first_ns + due_ns)
                self.sent[whose][first_ns + due_ns] = time.time_ns()
                self._publishers[whose].publish(data)
            else:
                self._joints.publish(with_stamp(self._joint_message, first_ns + due_ns))
        self._spin_until(time.monotonic_ns() + round(LAST_ANSWER_S * 1e9))

    def _spin_until(self, due_ns: int) -> bool:
        """Take answers until then, and at least once for a moment; never gives up."""
        while True:
            left_s = (due_ns - time.monotonic_ns()) * 1e-9
            self._executor.spin_once(timeout_sec=max(left_s, 0.0) if due_ns else 0.05)
            if due_ns <= time.monotonic_ns():
                return False

    @staticmethod
    def _taker(answered: dict[int, int]) -> Callable[[bytes, Mapping[str, Any]], None]:
        def take(data: bytes, info: Mapping[str, Any]) -> None:
            answered[read_stamp(data)] = info.get("received_timestamp") or time.time_ns()

        return take

    def _on_report(self, report: Any) -> None:
        for status in report.status:
            if status.name == f"{REAL}: model":
                self.stages = {pair.key: pair.value for pair in status.values if pair.key.endswith("_ms")}


def main(path: str, model: str, seconds: str, hz: str) -> None:
    """Send for so long and write what came of it as JSON."""
    card = load_bundle(Path(model)).card
    rclpy.init(args=[])
    pairs = Pairs(next((state.names for state in card.streams.states.values()), ()))
    try:
        pairs.run(int(seconds), int(hz))
    except (KeyboardInterrupt, ExternalShutdownException):
        return
    result = {"sent": pairs.sent, "answered": pairs.answered, "stages": pairs.stages}
    Path(path).write_text(json.dumps(result), encoding="utf-8")
    pairs.node.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:5])
