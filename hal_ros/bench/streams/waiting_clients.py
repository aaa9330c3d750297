"""Many planners in one process: each has a goal that waits and asks for the state now and then. For the benchmark."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

import rclpy
from builtin_interfaces.msg import Duration
from hal_msgs.action import WaitForAction
from hal_msgs.srv import GetState
from rclpy.action.client import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

ASK_PERIOD_S = 1.0
"""How often each asks for the state."""
TIMEOUT_S = 600
READY_S = 30.0


class WaitingClients:
    """A context manager; callbacks run inside spin(). Each has a node of its own.

    While they wait, a goal that is reached is followed by one for the next segment, as planners do.
    """

    def __init__(self, count: int) -> None:
        self.ended = 0  # goals, however they ended
        self.reached = 0
        self.answered = 0  # questions for the state
        self.feedback = 0
        self._count = count
        self._waiting = False

    def __enter__(self) -> WaitingClients:
        self._context = Context()
        rclpy.init(args=None, context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._executor = SingleThreadedExecutor(context=self._context)
        lean: dict[str, Any] = {"context": self._context, "start_parameter_services": False, "enable_rosout": False}
        self._nodes = [Node(f"planner_{number}", **lean) for number in range(self._count)]
        self._goals = [_Planner(self, node) for node in self._nodes]
        for node in self._nodes:
            self._executor.add_node(node)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._executor.shutdown()
        for node in self._nodes:
            node.destroy_node()
        self._context.try_shutdown()

    @property
    def waiting(self) -> bool:
        """Whether they wait and ask."""
        return self._waiting

    def begin(self) -> bool:
        """Let all of them wait; false where the segmenter is not there in time."""
        ready = all(planner.is_ready() for planner in self._goals)
        self._waiting = ready
        for planner in self._goals if ready else ():
            planner.wait(0)
        return ready

    def end(self) -> None:
        """Cancel what they wait for."""
        self._waiting = False
        for planner in self._goals:
            planner.cancel()

    def spin(self, duration_s: float) -> None:
        """Handle what comes for this long."""
        end = time.monotonic() + duration_s
        while (remaining_s := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=remaining_s)


class _Planner:
    """One of them."""

    def __init__(self, all_of_them: WaitingClients, node: Node) -> None:
        self._all = all_of_them
        self._client: Any = ActionClient(node, WaitForAction, "segmenter/wait_for_action")
        self._state: Any = node.create_client(GetState, "segmenter/get_action_state")
        self._handle: Any = None
        node.create_timer(ASK_PERIOD_S, self._ask)

    def is_ready(self) -> bool:
        """Whether the segmenter is there, after a while of waiting for it."""
        return bool(self._client.wait_for_server(READY_S) and self._state.wait_for_service(READY_S))

    def wait(self, segment_id: int) -> None:
        """Wait for any action that begins after this segment."""
        goal = WaitForAction.Goal(after_segment_id=segment_id, timeout=Duration(sec=TIMEOUT_S))
        self._client.send_goal_async(goal, feedback_callback=self._on_feedback).add_done_callback(self._on_goal)

    def cancel(self) -> None:
        """End the goal."""
        if self._handle is not None:
            self._handle.cancel_goal_async()

    def _ask(self) -> None:
        if self._all.waiting:
            self._state.call_async(GetState.Request()).add_done_callback(self._on_state)

    def _on_state(self, _: Any) -> None:
        self._all.answered += 1

    def _on_feedback(self, _: Any) -> None:
        self._all.feedback += 1

    def _on_goal(self, sent: Any) -> None:
        self._handle = sent.result()
        self._handle.get_result_async().add_done_callback(self._on_result)

    def _on_result(self, ended: Any) -> None:
        result = ended.result().result
        self._all.ended += 1
        if result.outcome == WaitForAction.Result.REACHED:
            self._all.reached += 1
            if self._all.waiting:
                self.wait(result.segment.segment_id)
