"""Clients that wait for an action: what they are told, and that nobody's waiting disturbs anybody else's."""

from __future__ import annotations

from typing import Any

import pytest
from builtin_interfaces.msg import Duration
from hal_msgs.action import WaitForAction
from rclpy.action.client import ActionClient
from rosgraph_msgs.msg import Clock
from std_srvs.srv import Trigger

from fakes import make_card
from hal_ros.bags.messages import to_ns
from ros_fakes import PERIOD_NS, START_NS, Rig, to_stamp

pytestmark = pytest.mark.ros
LAG = make_card().lag_ticks
RESULT = WaitForAction.Result
PATIENT_S = 3600
SUCCEEDED, CANCELED, ABORTED = 4, 5, 6  # of action_msgs/msg/GoalStatus


class Client:
    """One planner that waits for one thing."""

    def __init__(self, rig: Rig, *labels: str, timeout_s: int = PATIENT_S, **goal: Any) -> None:
        self.rig = rig
        self.feedback: list[str] = []
        self._client: Any = ActionClient(rig.robot, WaitForAction, "segmenter/wait_for_action")
        rig.until(self._client.server_is_ready)
        asked = WaitForAction.Goal(labels=list(labels), timeout=Duration(sec=timeout_s), **goal)
        sent = self._client.send_goal_async(
            asked, feedback_callback=lambda m: self.feedback.append(m.feedback.segment.label)
        )
        rig.until(sent.done)
        self.handle = sent.result()
        assert self.handle.accepted
        self._result = self.handle.get_result_async()

    @property
    def done(self) -> bool:
        return bool(self._result.done())

    def ended(self) -> tuple[int, Any]:
        """Status and result, as soon as there is one."""
        self.rig.until(lambda: self.done)
        answer = self._result.result()
        return answer.status, answer.result

    def outcome(self) -> tuple[int, int, str]:
        status, result = self.ended()
        return status, result.outcome, result.message

    def cancel(self) -> None:
        canceling = self.handle.cancel_goal_async()
        self.rig.until(canceling.done)
        assert len(canceling.result().goals_canceling) == 1

    def vanish(self) -> None:
        self._client.destroy()


def show(rig: Rig, colour: str, ticks: range) -> None:
    for tick in ticks:
        rig.show(colour, tick)


def test_several_clients_wait_each_for_its_own(rig: Rig) -> None:
    rig.active()
    red, blue, lasting, any_next = (
        Client(rig, "red"),
        Client(rig, "green", "blue"),
        Client(rig, "blue", min_duration=Duration(nanosec=3 * PERIOD_NS)),
        Client(rig, after_segment_id=1),
    )
    show(rig, "red", range(LAG + 2))
    status, result = red.ended()
    assert (status, result.outcome, result.message) == (SUCCEEDED, RESULT.REACHED, "")
    assert (result.segment.label, result.segment.segment_id) == ("red", 1)
    assert not (blue.done or lasting.done or any_next.done)
    show(rig, "blue", range(LAG + 2, 2 * LAG + 2 + 4))
    begun_ns = START_NS + (LAG + 2) * PERIOD_NS
    for client, age in ((blue, 0), (any_next, 0), (lasting, 3)):
        _, result = client.ended()
        assert (result.segment.label, to_ns(result.segment.start)) == ("blue", begun_ns)
        assert to_ns(result.segment.age) == age * PERIOD_NS
    assert blue.feedback[:2] == ["", "red"]
    assert set(lasting.feedback) == {"", "red", "blue"}


def test_what_runs_already_counts_at_once(rig: Rig) -> None:
    rig.active()
    show(rig, "red", range(LAG + 3))
    assert Client(rig, "red").outcome()[1] == RESULT.REACHED
    session = rig.labels[-1].session
    later = Client(rig, "red", after_segment_id=1, after_session=session)
    other_life = Client(rig, "red", after_segment_id=9, after_session=session + 1)
    assert other_life.outcome()[1] == RESULT.REACHED
    assert not later.done


def test_cancelling_ends_one_goal_alone(rig: Rig) -> None:
    rig.active()
    one, other = Client(rig, "blue"), Client(rig, "blue")
    one.cancel()
    assert one.outcome() == (CANCELED, RESULT.CANCELED, "canceled by a client")
    assert not other.done
    show(rig, "blue", range(LAG + 1))
    assert other.outcome()[1] == RESULT.REACHED


@pytest.mark.parametrize(
    ("labels", "goal", "words"),
    [
        (["blu"], {}, "labels: action 'blu' is unknown; did you mean 'blue'?"),
        (["blue"], {"timeout_s": 0}, "timeout is 0 s; expected more than 0 s"),
        (["blue"], {"timeout_s": -3}, "timeout is -3 s; expected more than 0 s"),
        (["blue"], {"min_confidence": float("nan")}, "min_confidence is nan; expected 0 to 1"),
    ],
)
def test_a_goal_that_can_never_be_reached_is_told_why(
    rig: Rig, labels: list[str], goal: dict[str, Any], words: str
) -> None:
    rig.segmenter().trigger_configure()
    assert Client(rig, *labels, **goal).outcome() == (ABORTED, RESULT.REFUSED, words)


def test_timeouts_are_on_simulated_time_without_any_label(rig: Rig) -> None:
    clock = rig.robot.create_publisher(Clock, "/clock", 1)
    node: Any = rig.segmenter(use_sim_time=True)
    node.trigger_configure()  # inactive: no label comes
    rig.until(clock.get_subscription_count)

    def look_at(seconds: int) -> None:
        clock.publish(Clock(clock=to_stamp(seconds * 10**9)))
        rig.until(lambda: {goal.waiting.now_ns for goal in node._waits._goals} <= {seconds * 10**9})

    clock.publish(Clock(clock=to_stamp(1000 * 10**9)))
    rig.until(lambda: node.get_clock().now().nanoseconds)
    short, long = Client(rig, "red", timeout_s=5), Client(rig, "red", timeout_s=60)
    look_at(1004)
    assert not short.done  # however long that takes on the wall
    look_at(1006)
    words = "no 'red' within 5 s; no segment runs"
    assert short.outcome() == (ABORTED, RESULT.TIMED_OUT, words)
    clock.publish(Clock(clock=to_stamp(10 * 10**9)))  # a simulation that begins anew
    rig.until(lambda: node.get_clock().now().nanoseconds == 10 * 10**9)
    look_at(11)
    look_at(70)
    assert not long.done
    look_at(72)
    assert long.outcome()[1] == RESULT.TIMED_OUT


def test_goals_outlive_resets_and_activations_but_not_the_model(rig: Rig) -> None:
    node = rig.segmenter()
    unconfigured = Client(rig, "red").outcome()
    words = "the node is unconfigured; expected it configured: its model has the actions"
    assert unconfigured[1:] == (RESULT.REFUSED, words)
    node.trigger_configure()
    waits, reached = Client(rig, "green"), Client(rig, "blue")
    node.trigger_activate()
    rig.until(rig.matched)
    show(rig, "red", range(LAG + 2))
    reset = rig.robot.create_client(Trigger, "segmenter/reset")
    rig.until(reset.service_is_ready)
    done = reset.call_async(Trigger.Request())
    rig.until(done.done)
    node.trigger_deactivate()
    rig.until(lambda: not rig.images.get_subscription_count())
    node.trigger_activate()
    rig.until(rig.matched)
    show(rig, "blue", range(20, 21 + LAG))
    assert reached.outcome()[1] == RESULT.REACHED
    node.trigger_deactivate()
    node.trigger_cleanup()
    status, outcome, text = waits.outcome()
    assert (status, outcome) == (ABORTED, RESULT.ENDED)
    assert text == "the node let go of its model, whose actions were waited for"


def test_a_node_that_is_stopped_still_tells_those_who_wait(rig: Rig) -> None:
    node = rig.active()
    waits = [Client(rig, "green") for _ in range(3)]
    node.stop()
    assert [client.outcome()[1:] for client in waits] == [(RESULT.ENDED, "the node was shut down")] * 3


def test_clients_that_vanish_or_never_read_leave_the_others_alone(rig: Rig) -> None:
    node: Any = rig.active()
    gone = [Client(rig, "green") for _ in range(3)]
    short = Client(rig, "green", timeout_s=1)
    for client in (*gone, short):
        client.vanish()
    there = Client(rig, "blue")
    show(rig, "red", range(LAG + 2))
    show(rig, "blue", range(LAG + 2, 2 * LAG + 3))
    assert there.outcome()[1] == RESULT.REACHED
    rig.until(lambda: len(node._waits._goals) == 3)  # the timeout ends what nobody waits for


def test_so_many_goals_may_wait_and_no_more(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hal_ros.ros.segmenter.waiting.MOST_WAITING", 2)
    rig.segmenter().trigger_configure()
    first, second, third = Client(rig, "red"), Client(rig, "red"), Client(rig, "red")
    assert third.outcome()[1:] == (RESULT.REFUSED, "2 goals wait already, which is the most")
    assert not first.done and not second.done
