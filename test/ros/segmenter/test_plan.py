"""The node with a plan: what it publishes of the robot's place in it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from hal_msgs.msg import PlanProgress
from std_srvs.srv import Trigger

from fakes import COLOURS, FakeBackend, make_card, picture
from hal_ros.bags.frames import Frame
from hal_ros.bags.messages import deserialise, to_ns
from hal_ros.core.decoding.known_plan import PlanTracker
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.streams.intake import Due
from hal_ros.offline.followed_plans import FollowedPlans
from hal_ros.offline.replay import PLAN_TOPIC, replay
from ros_fakes import PERIOD_NS, START_NS, Rig

pytestmark = pytest.mark.ros
STORY = ["red"] * 8 + ["blue"] * 8 + ["green"] * 8
LAG = make_card().lag_ticks


@pytest.fixture
def heard(rig: Rig) -> Iterator[list[PlanProgress]]:
    messages: list[PlanProgress] = []
    subscription = rig.robot.create_subscription(PlanProgress, "segmenter/plan_progress", messages.append, 200)
    yield messages
    rig.robot.destroy_subscription(subscription)


def show_all(rig: Rig, heard: list[PlanProgress], story: list[str], first_tick: int = 0) -> None:
    expected = len(heard) + len(story) - LAG
    for tick, colour in enumerate(story, first_tick):
        rig.show(colour, tick)
    rig.until(lambda: len(heard) >= expected)


def active(rig: Rig, plan: str) -> None:
    rig.active(plan=plan)
    rig.until(lambda: rig.robot.count_publishers("segmenter/plan_progress"))


def test_each_confirmed_answer_is_placed_in_the_plan(rig: Rig, heard: list[PlanProgress]) -> None:
    active(rig, "red, blue,green")
    show_all(rig, heard, STORY)
    assert len(heard) == len(STORY) - LAG
    assert [to_ns(p.header.stamp) for p in heard] == [to_ns(m.confirmed_stamp) for m in rig.labels if m.confirmed_valid]
    steps = [p.step for p in heard]
    assert steps == sorted(steps) and set(steps) == {0, 1, 2}
    assert all(p.steps == 3 and p.label == ["red", "blue", "green"][p.step] for p in heard)
    assert [p.remaining_steps for p in heard] == [2 - step for step in steps]
    assert not any(p.deviates for p in heard)


def test_a_replay_says_the_same(rig: Rig, heard: list[PlanProgress]) -> None:
    active(rig, "red, green, blue")  # not what happens
    show_all(rig, heard, STORY)
    card = make_card()
    stamps = [START_NS + tick * PERIOD_NS for tick in range(len(STORY))]
    nothing = np.zeros(card.streams.value_count, np.float32)
    frames = [
        Frame(Due(stamp, tick, START_NS, {}, nothing, nothing, ()), {"camera": picture(colour)}, "camera", stamp)
        for tick, (stamp, colour) in enumerate(zip(stamps, STORY, strict=True))
    ]
    plan = [COLOURS.index(name) for name in ("red", "green", "blue")]
    messages = replay(frames, Segmenter(card, FakeBackend(card)), 0, FollowedPlans(PlanTracker(plan, card)))
    replayed = [deserialise(m.type_name, m.data) for m in messages if m.topic == PLAN_TOPIC]
    said = [(p.step, p.label, p.label_id, p.progress, p.confidence, p.deviation, p.deviates) for p in heard]
    again = [(p.step, p.label, p.label_id, p.progress, p.confidence, p.deviation, p.deviates) for p in replayed]
    np.testing.assert_array_equal(np.array(said, object), np.array(again, object))


def test_a_reset_starts_the_plan_afresh(rig: Rig, heard: list[PlanProgress]) -> None:
    active(rig, "red, blue, green")
    show_all(rig, heard, STORY)
    assert heard[-1].step == 2
    client = rig.robot.create_client(Trigger, "segmenter/reset")
    rig.until(client.service_is_ready)
    future = client.call_async(Trigger.Request())
    rig.until(future.done)
    rig.robot.destroy_client(client)
    show_all(rig, heard, ["red"] * 6, len(STORY))
    assert heard[-1].step == 0


def test_without_a_plan_nothing_is_said_of_it(rig: Rig, heard: list[PlanProgress]) -> None:
    active(rig, "")
    show_all(rig, heard, [])
    rig.show("red", 0)
    for tick in range(1, 2 * LAG):
        rig.show("blue", tick)
    assert not heard


def test_an_unknown_action_is_refused_at_configure(rig: Rig) -> None:
    node = rig.segmenter(plan="red, blu")
    node.trigger_configure()
    assert node.state == "unconfigured"
    rig.status("model", DiagnosticStatus.ERROR, "action 'blu' is unknown; did you mean 'blue'?")


@pytest.mark.parametrize("plan", [",", " , ", " "])
def test_a_plan_that_names_no_action_is_refused_at_configure(rig: Rig, plan: str) -> None:
    node = rig.segmenter(plan=plan)
    node.trigger_configure()
    assert node.state == "unconfigured"
    rig.status("model", DiagnosticStatus.ERROR, f"plan {plan!r} names no action; expected names separated by commas")
