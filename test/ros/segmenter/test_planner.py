"""What a planner asks the node: its state, and another plan; in every state of the node, and of two robots at once."""

from __future__ import annotations

from typing import Any

import pytest
from hal_msgs.msg import Plan, PlanProgress
from hal_msgs.srv import GetState, SetPlan
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from std_srvs.srv import Trigger

from fakes import COLOURS, make_card
from hal_ros.bags.messages import to_ns
from hal_ros.core.decoding.known_plan import MOST_STEPS
from ros_fakes import PERIOD_NS, START_NS, Rig, to_stamp

pytestmark = pytest.mark.ros
LAG = make_card().lag_ticks
LATCHED = QoSProfile(depth=5, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


class Planner:
    """Calls the services of one segmenter, and hears its plans and its progress."""

    def __init__(self, rig: Rig, namespace: str = "") -> None:
        self.rig, base = rig, f"{namespace}/segmenter"
        self.clients: dict[Any, Any] = {
            kind: rig.robot.create_client(kind, f"{base}/{name}")
            for kind, name in ((GetState, "get_action_state"), (SetPlan, "set_plan"), (Trigger, "reset"))
        }
        self.plans: list[Plan] = []
        self.progress: list[PlanProgress] = []
        rig.robot.create_subscription(Plan, f"{base}/plan", self.plans.append, LATCHED)
        rig.robot.create_subscription(PlanProgress, f"{base}/plan_progress", self.progress.append, 200)

    def call(self, kind: Any, **request: Any) -> Any:
        client = self.clients[kind]
        self.rig.until(client.service_is_ready)
        future = client.call_async(kind.Request(**request))
        self.rig.until(future.done)
        return future.result()

    def state(self) -> Any:
        return self.call(GetState)

    def set_plan(self, *labels: str) -> Any:
        count = len(self.plans)
        response = self.call(SetPlan, labels=list(labels))
        self.rig.until(lambda: len(self.plans) > count or not response.success)
        return response

    def hears(self) -> None:
        """Wait until what is published is heard."""
        topics = ("plan", "plan_progress")
        self.rig.until(lambda: all(self.rig.robot.count_publishers(f"segmenter/{topic}") for topic in topics))
        self.rig.until(lambda: self.plans)


@pytest.fixture
def planner(rig: Rig) -> Planner:
    return Planner(rig)


def show(rig: Rig, colour: str, ticks: range) -> None:
    for tick in ticks:
        rig.show(colour, tick)


def test_the_state_is_that_of_the_labels_and_boundaries(rig: Rig, planner: Planner) -> None:
    rig.active()
    assert planner.state().stale
    show(rig, "red", range(6))
    show(rig, "blue", range(6, 12))
    rig.until(lambda: len(rig.boundaries) == 2)
    state, label, event = planner.state(), rig.labels[-1], rig.boundaries[-1]
    segment = state.segment
    assert (state.node_state, state.stale) == ("active", False)
    assert state.label_stamp == label.header.stamp
    assert (segment.label, segment.label_id) == (label.confirmed_label, label.confirmed_label_id) == ("blue", 2)
    assert (segment.segment_id, segment.confidence) == (label.segment_id, label.confirmed_confidence)
    assert (segment.start, segment.stamp) == (event.header.stamp, label.confirmed_stamp)
    assert to_ns(segment.age) == (5 - LAG) * PERIOD_NS
    sessions = {state.session, segment.session, *(m.session for m in [*rig.labels, *rig.boundaries])}
    assert len(sessions) == 1 and sessions != {0}


def test_no_segment_runs_after_a_reset_and_while_inactive(rig: Rig, planner: Planner) -> None:
    node = rig.segmenter()
    assert (planner.state().node_state, planner.state().stale) == ("unconfigured", True)
    node.trigger_configure()
    node.trigger_activate()
    rig.until(rig.matched)
    show(rig, "red", range(6))
    first = planner.state()
    assert first.segment.segment_id == 1
    planner.call(Trigger)
    reset = planner.state()
    assert (reset.segment.segment_id, reset.segment.label, reset.segment.label_id) == (0, "", 65535)
    assert reset.label_stamp == first.label_stamp
    show(rig, "red", range(6, 12))
    assert planner.state().segment.segment_id == 2
    node.trigger_deactivate()
    inactive = planner.state()
    assert (inactive.node_state, inactive.stale, inactive.segment.segment_id) == ("inactive", True, 0)
    assert to_ns(inactive.label_stamp) == START_NS + 11 * PERIOD_NS
    assert inactive.session == first.session


def test_the_age_of_a_label_is_on_simulated_time(rig: Rig, planner: Planner) -> None:
    clock = rig.robot.create_publisher(Clock, "/clock", 1)
    node = rig.segmenter(use_sim_time=True)
    node.trigger_configure()
    node.trigger_activate()
    rig.until(rig.matched)
    show(rig, "red", range(6))
    label_ns = START_NS + 5 * PERIOD_NS
    for late_ns in (250_000_000, 2_000_000_000, -100_000_000):
        clock.publish(Clock(clock=to_stamp(label_ns + late_ns)))
        rig.until(lambda: node.get_clock().now().nanoseconds == label_ns + late_ns)  # noqa: B023
        assert to_ns(planner.state().label_age) == late_ns


def test_a_plan_that_is_set_counts_from_the_next_confirmed_answer(rig: Rig, planner: Planner) -> None:
    rig.active()
    planner.hears()
    assert [list(plan.labels) for plan in planner.plans] == [[]]
    show(rig, "red", range(6))
    response = planner.set_plan("blue", "red", "blue")
    assert (response.success, response.message, response.stamp) == (True, "", rig.labels[-1].header.stamp)
    plan = planner.plans[-1]
    assert (list(plan.labels), list(plan.label_ids)) == (["blue", "red", "blue"], [2, 0, 2])
    assert (plan.header.stamp, plan.header.frame_id) == (response.stamp, "camera")
    assert plan.session == rig.labels[-1].session
    assert not planner.progress
    show(rig, "blue", range(6, 12))
    rig.until(lambda: len(planner.progress) == 6)
    assert planner.progress[0].header.stamp == rig.labels[6].confirmed_stamp
    assert {one.steps for one in planner.progress} == {3}
    assert planner.set_plan().success  # an empty one clears
    assert not planner.plans[-1].labels
    show(rig, "red", range(12, 15))
    planner.state()  # whatever was published before is heard before
    assert len(planner.progress) == 6


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["red", "blu"], "plan: action 'blu' is unknown; did you mean 'blue'?"),
        (["red", ""], f"plan: action '' is unknown; expected one of {', '.join(COLOURS)}"),
        (["red"] * (MOST_STEPS + 1), f"the plan has {MOST_STEPS + 1} actions; expected {MOST_STEPS} at most"),
    ],
)
def test_a_plan_that_is_refused_changes_nothing(rig: Rig, planner: Planner, labels: list[str], words: str) -> None:
    rig.active(plan="red, blue")
    planner.hears()
    show(rig, "red", range(2))
    response = planner.set_plan(*labels)
    assert (response.success, response.message, to_ns(response.stamp)) == (False, words, 0)
    show(rig, "red", range(2, LAG + 3))
    rig.until(lambda: len(planner.progress) == 3)
    assert planner.progress[-1].steps == 2
    assert len(planner.plans) == 1


def test_a_plan_may_repeat_actions_and_have_many(rig: Rig, planner: Planner) -> None:
    rig.active()
    planner.hears()
    assert planner.set_plan(*["red"] * MOST_STEPS).success
    show(rig, "red", range(LAG + 1))
    rig.until(lambda: planner.progress)
    assert planner.progress[0].steps == MOST_STEPS


def test_a_plan_is_set_only_while_the_node_is_active_and_is_kept(rig: Rig, planner: Planner) -> None:
    node = rig.segmenter()
    assert planner.set_plan("red").message == "the node is unconfigured; expected it active"
    node.trigger_configure()
    assert planner.set_plan("red").message == "the node is inactive; expected it active"
    node.trigger_activate()
    rig.until(rig.matched)
    planner.hears()
    assert planner.set_plan("red", "blue").success
    show(rig, "red", range(6))
    planner.call(Trigger)
    node.trigger_deactivate()
    rig.until(lambda: not rig.images.get_subscription_count())
    node.trigger_activate()
    rig.until(rig.matched)
    planner.progress.clear()
    show(rig, "red", range(6, 12))
    rig.until(lambda: len(planner.progress) == 6 - LAG)
    assert (planner.progress[-1].step, planner.progress[-1].steps) == (0, 2)
    assert len(planner.plans) == 2  # nothing was set anew
    node.trigger_deactivate()
    node.trigger_cleanup()
    planner.plans.clear()
    node.trigger_configure()
    planner.hears()
    assert not planner.plans[-1].labels  # the parameter says what is followed now
    assert to_ns(planner.plans[-1].header.stamp) == START_NS + 11 * PERIOD_NS


def test_a_model_that_gives_no_answer_keeps_its_plan(
    rig: Rig, planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    node: Any = rig.active(plan="red")
    monkeypatch.setattr(node._session._worker, "call", lambda *_: False)
    planner.hears()
    assert planner.set_plan("blue").message == "the model gives no answer; the plan before is kept"
    show(rig, "red", range(LAG + 1))
    rig.until(lambda: planner.progress)
    assert planner.progress[0].label == "red"


def test_two_robots_have_plans_and_lives_of_their_own(rig: Rig) -> None:
    rig.options = {"namespace": "left"}
    left = rig.segmenter()
    rig.options = {"namespace": "right"}
    right = rig.segmenter()
    planners = [Planner(rig, "left"), Planner(rig, "right")]
    for node in (left, right):
        node.trigger_configure()
        node.trigger_activate()
    rig.until(lambda: all(planner.plans for planner in planners))
    assert planners[0].set_plan("red").success
    assert planners[1].set_plan("blue", "green").success
    assert [list(planner.plans[-1].labels) for planner in planners] == [["red"], ["blue", "green"]]
    assert planners[0].state().session != planners[1].state().session
