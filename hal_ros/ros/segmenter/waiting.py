"""The action server ~/wait_for_action: any number of clients, judged in the executor's thread, without tasks that spin.

A goal is ended by executing it, which does nothing but set its result: an `await` would keep rclpy's executor busy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from hal_msgs.action import WaitForAction
from rclpy.action.server import ActionServer, CancelResponse
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode

from hal_ros.bags.messages import to_ns
from hal_ros.core.errors import ConfigError
from hal_ros.core.planning.known import LastKnown
from hal_ros.core.planning.waiting import WaitGoal, Waiting, WaitOutcome, begin, look, timeout_words
from hal_ros.core.segmenter import OpenSegment
from hal_ros.ros.segmenter.planner import PlannerHost, running, segment_message

MOST_WAITING = 256
"""So many goals may wait at once: clients that vanish leave theirs until the timeout."""
MOST_STEPS_EACH = 8
"""Of an executor that sends one result: it is executed and sent, and timers of the node come between."""
LOOK_S = 0.1
"""How often timeouts are looked at while goals wait, on the ROS clock."""


@dataclass
class _Goal:
    handle: Any  # rclpy's
    waiting: Waiting
    canceled: bool = False


class WaitServer:
    """Takes goals in every state of the node; they outlive resets, deactivation and activation."""

    def __init__(self, node: LifecycleNode, host: PlannerHost) -> None:
        self._node, self._host = node, host
        self._goals: list[_Goal] = []  # in the order in which they came
        self._server = ActionServer(
            node,
            WaitForAction,
            "~/wait_for_action",
            execute_callback=lambda _: WaitForAction.Result(),  # none is executed but to end it
            handle_accepted_callback=self._on_goal,
            cancel_callback=self._on_cancel,
        )
        self._timer = node.create_timer(LOOK_S, partial(self._judge, None))
        self._timer.cancel()

    def look(self) -> None:
        """Judge all goals by what was told since the last look, answer by answer."""
        news: list[LastKnown | None] = [*self._host.lifelong.bulletin.take()]
        for known in news or [None]:
            self._judge(known)

    def end_all(self, why: str) -> None:
        """End all goals, as the model goes."""
        segment = running(self._host)
        for goal in self._goals:
            self._end(goal.handle, WaitOutcome.ENDED, why, segment)
        self._keep([])

    def end_now(self, why: str) -> None:
        """End all goals and send their results at once, as nobody will spin the node any more."""
        if not self._goals or not self._node.context.ok():
            return
        executor = SingleThreadedExecutor(context=self._node.context)
        executor.add_node(self._node)
        steps = MOST_STEPS_EACH * (len(self._goals) + 1)
        self.end_all(why)
        for _ in range(steps):
            executor.spin_once(timeout_sec=0)
        executor.remove_node(self._node)
        executor.shutdown()

    def destroy(self) -> None:
        """Take the server back: rclpy's node does not know it."""
        self._server.destroy()

    # --- callbacks of rclpy -------------------------------------------------------------------------------------------

    def _on_goal(self, handle: Any) -> None:
        host, asked = self._host, handle.request
        after = asked.after_segment_id if asked.after_session in (0, host.lifelong.life) else 0
        durations = to_ns(asked.min_duration), to_ns(asked.timeout)
        try:
            if not host.vocabulary:
                raise ConfigError(f"the node is {host.state}; expected it configured: its model has the actions")
            if len(self._goals) >= MOST_WAITING:
                raise ConfigError(f"{MOST_WAITING} goals wait already, which is the most")
            waiting = begin(WaitGoal(tuple(asked.labels), asked.min_confidence, *durations, after), host.vocabulary)
        except ConfigError as error:
            self._node.get_logger().warning(f"~/wait_for_action refused: {error}")
            self._end(handle, WaitOutcome.REFUSED, str(error), running(host))
            return
        self.look()  # the others see what came before this one
        self._keep([*self._goals, _Goal(handle, waiting)])
        self._judge(host.lifelong.bulletin.newest)

    def _on_cancel(self, handle: Any) -> CancelResponse:
        for goal in self._goals:
            goal.canceled |= goal.handle == handle
        self._host.lifelong.bulletin.wake()  # the goal's state changes after this callback
        return CancelResponse.ACCEPT

    # --- goals --------------------------------------------------------------------------------------------------------

    def _judge(self, known: LastKnown | None) -> None:
        """Judge all goals by what is known, or by their timeouts alone."""
        now_ns = int(self._node.get_clock().now().nanoseconds)
        segment = running(self._host) if known is None else known.segment
        message: Any = None  # of the feedback, the same for all
        left = []
        for goal in self._goals:
            outcome, tells, goal.waiting = look(goal.waiting, segment, now_ns, known is not None)
            if goal.canceled and goal.handle.is_cancel_requested:
                outcome = WaitOutcome.CANCELED
            if outcome is not None:
                self._end(goal.handle, outcome, self._words(outcome, goal.waiting, segment), segment)
                continue
            left.append(goal)
            if tells:
                message = message or WaitForAction.Feedback(segment=segment_message(segment, self._host))
                goal.handle.publish_feedback(message)
        self._keep(left)

    def _keep(self, goals: list[_Goal]) -> None:
        """Wait with these; the timer and the worker's news are needed only while there are some."""
        if bool(goals) != bool(self._goals):
            self._host.lifelong.bulletin.awaited = bool(goals)
            self._timer.reset() if goals else self._timer.cancel()
        self._goals = goals

    def _words(self, outcome: WaitOutcome, waiting: Waiting, segment: OpenSegment | None) -> str:
        if outcome == WaitOutcome.TIMED_OUT:
            return timeout_words(waiting.wanted, segment, self._host.vocabulary)
        return "canceled by a client" if outcome == WaitOutcome.CANCELED else ""

    def _end(self, handle: Any, outcome: WaitOutcome, words: str, segment: OpenSegment | None) -> None:
        message = segment_message(segment, self._host)
        handle.execute(partial(_finish, WaitForAction.Result(outcome=outcome, message=words, segment=message)))


def _finish(result: Any, handle: Any) -> Any:
    """Called by rclpy, which sends the result then."""
    if handle.is_cancel_requested and result.outcome == WaitOutcome.CANCELED:
        handle.canceled()
    elif result.outcome == WaitOutcome.REACHED:
        handle.succeed()
    else:
        handle.abort()
    return result
