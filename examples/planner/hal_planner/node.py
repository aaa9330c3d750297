"""`ros2 run hal_planner planner`: hears the segmenter, asks the pure planner, tells the robot."""

from __future__ import annotations

import random
import sys
import time
from typing import Any

import rclpy
from hal_msgs.msg import ActionLabel, BoundaryEvent, PlanProgress
from hal_msgs.msg import Option as OptionMessage
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from hal_planner import tabletop
from hal_planner.options import PlanError
from hal_planner.planner import Boundary, Command, Label, Planner, State

PERIOD_S = 0.1
REPEAT_S = 4.0
"""From a plan's end to its new start, where it repeats: the robot tidies up meanwhile."""
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class PlannerNode(Node):
    """Follows one plan. All callbacks run in one thread, so that the state needs no lock."""

    def __init__(self) -> None:
        """Declare the parameters; raises PlanError for a plan that can't be followed."""
        super().__init__("planner")
        macros: list[str] = list(self.declare_parameter("macros", ["red_to_plate", "press", "blue_to_tray"]).value)
        self._repeats = bool(self.declare_parameter("repeat", False).value)
        self._planner = Planner(tabletop.options(tabletop.learnt()))
        self._plan = tabletop.plan_of(macros)
        self._state: State = self._planner.start(self._plan, tabletop.START)
        self._session = random.SystemRandom().randrange(1, 2**53)
        self._given = 0  # options so far, over all rounds
        self._newest: tuple[float, float] | None = None  # stamp of the newest label, and our clock when it came
        self._ended: float | None = None  # our clock when the plan ended
        self._publisher = self.create_publisher(OptionMessage, "option", LATCHED)
        self.create_subscription(ActionLabel, "action_label", self._on_label, 50)
        self.create_subscription(BoundaryEvent, "action_boundary", self._on_boundary, 50)
        self.create_subscription(PlanProgress, "segmenter/plan_progress", self._on_progress, 10)
        self.create_timer(PERIOD_S, self._on_time)

    def _on_label(self, message: ActionLabel) -> None:
        self._newest = seconds(message.header.stamp), time.monotonic()
        confidence = message.confirmed_confidence if message.confirmed_valid else 1.0
        seen = Label(self._newest[0], message.confirmed_label, confidence, message.segment_id, message.session)
        self._take(self._planner.on_label(self._state, seen))

    def _on_boundary(self, message: BoundaryEvent) -> None:
        event = Boundary(seconds(message.header.stamp), message.to_label, message.segment_id, message.session)
        self._take(self._planner.on_boundary(self._state, event))

    def _on_progress(self, message: PlanProgress) -> None:
        self._take(self._planner.on_deviation(self._state, message.deviates, seconds(message.header.stamp)))

    def _on_time(self) -> None:
        if self._newest is not None:
            stamp_s, heard = self._newest
            self._take(self._planner.on_time(self._state, stamp_s + time.monotonic() - heard))
        if self._repeats and self._ended is not None and time.monotonic() - self._ended > REPEAT_S:
            self._ended = None
            self._state = self._planner.start(self._plan, tabletop.START)

    def _take(self, answer: tuple[State, Command | None]) -> None:
        """Keep the state, and publish what the robot is to do, if that changes; between two rounds nothing is told."""
        if self._ended is not None:
            return
        self._state, command = answer
        if command is None:
            return
        self._given += 1
        message = OptionMessage(
            option=command.option,
            skill=command.skill,
            option_id=self._given,
            session=self._session,
            outcome=int(command.outcome),
            reason=command.reason,
        )
        message.header.stamp = stamp(command.stamp_s)
        self._publisher.publish(message)
        self.get_logger().info(f"{command.option or 'the plan is over'} ({command.outcome.name}: {command.reason})")
        if not command.option:
            self._ended = time.monotonic()


def seconds(stamp_message: Any) -> float:
    """Return a builtin_interfaces/msg/Time in seconds."""
    return float(stamp_message.sec + stamp_message.nanosec * 1e-9)


def stamp(stamp_s: float) -> Any:
    """Return seconds as builtin_interfaces/msg/Time."""
    from builtin_interfaces.msg import Time

    nanoseconds = round(stamp_s * 1e9)
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def main(args: list[str] | None = None) -> int:
    """Run the planner until a signal ends it; returns the exit code."""
    rclpy.init(args=args)
    try:
        rclpy.spin(PlannerNode())
    except PlanError as error:
        print(f"hal_planner: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
