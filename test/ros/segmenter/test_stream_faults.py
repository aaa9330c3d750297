"""A stream that can't be read, stops or comes late is one line, and the rest goes on."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.context import Context
from sensor_msgs.msg import Image

from hal_ros.core.streams.spec import StateSpec
from ros_fakes import (
    START_NS,
    Rig,
    at,
    given,
    image_message,
    inputs_of,
    joint_message,
    robot_card,
    to_stamp,
    values,
    with_stream,
    wrench_message,
)

pytestmark = pytest.mark.ros
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
MS = 1_000_000

# --- bad input --------------------------------------------------------------------------------------------------------

NOT_INSTALLED = StateSpec(("/x",), "robot_msgs/msg/Force", fields=("force",))
NO_FIELD = StateSpec(("/x",), "geometry_msgs/msg/WrenchStamped", fields=("wrench.force.q",))
OTHER_TYPE = StateSpec(("/x",), "geometry_msgs/msg/WrenchStamped", fields=("wrench.force.x",))
ANY_TYPE = StateSpec(("/x",), "", fields=("pose.position.x",))


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (NOT_INSTALLED, ("/x: message type robot_msgs/msg/Force can't be imported", "its package to be installed")),
        (NO_FIELD, ("/x carries geometry_msgs/msg/WrenchStamped: wrench.force.q",)),
        (OTHER_TYPE, ("PoseStamped is published there, expected geometry_msgs/msg/WrenchStamped",)),
    ],
)
def test_a_stream_that_can_not_be_read_is_one_line_and_the_rest_goes_on(
    rig: Rig, capfd: pytest.CaptureFixture[str], state: StateSpec, words: tuple[str, ...]
) -> None:
    other = Context()  # one topic has one type in each participant
    rclpy.init(args=[], context=other, domain_id=rig.context.get_domain_id())
    robot = rclpy.create_node("other", context=other)
    robot.create_publisher(PoseStamped, "/x", 5)
    rig.active(card=with_stream("extra", state, "front", "arm"), joint_timeout_s=0.1)
    rig.until(lambda: rig.robot.get_publishers_info_by_topic("/x"))
    rig.send("arm", rig.joints, joint_message(START_NS))
    rig.show("red", 0)
    for part in words:
        status = rig.status("extra", WARN, "running on front and arm alone")
        assert part in status.message and "\n" not in status.message
        assert "/x" in status.message and values(status)["topics"] == "/x"
    assert values(rig.status("model", OK))["standing_on"] == "front, arm"
    lines = [line for line in capfd.readouterr().err.splitlines() if "WARN" in line and "extra: " in line]
    assert len(lines) == 1 and "/x" in lines[0]
    rig.show("red", 1)
    robot.destroy_node()
    rclpy.shutdown(context=other)


def test_a_type_that_only_the_publisher_tells_is_found(rig: Rig) -> None:
    pose = rig.talk(PoseStamped, "/x")
    rig.awaited.remove(rig.joints)
    rig.active(card=with_stream("extra", ANY_TYPE, "front"))
    message = PoseStamped()
    message.header.stamp, message.pose.position.x = to_stamp(START_NS), 0.25
    rig.send("extra", pose, message)
    rig.show("red", 0)
    assert given(rig).joints.tolist() == [0.25]


def test_one_topic_of_two_streams_with_two_types_serves_one_of_them(rig: Rig) -> None:
    pose = rig.talk(WrenchStamped, "/x")
    rig.awaited.remove(rig.joints)
    card = with_stream("extra", OTHER_TYPE, "front")
    second = StateSpec(("/x",), "geometry_msgs/msg/PoseStamped", fields=("pose.position.x",))
    states = {**card.streams.states, "second": second}
    rig.active(card=replace(card, streams=replace(card.streams, states=states)))
    rig.send("extra", pose, wrench_message(START_NS))
    rig.show("red", 0)
    status = rig.status("second", WARN, "/x: carries geometry_msgs/msg/WrenchStamped; expected geometry_msgs/msg/Pose")
    assert "running on front and extra alone" in status.message


def test_a_topic_may_serve_two_streams(rig: Rig) -> None:
    state = StateSpec(("/joint_states",), names=("finger",), fields=("position",))
    rig.active(card=with_stream("extra", state, "front", "arm"))
    rig.joints.publish(joint_message(START_NS, ("a", "b", "finger"), value=4.0))
    rig.until(lambda: rig.nodes[0].counters["extra/received"])
    rig.show("red", 0)
    assert given(rig).joints.tolist() == [4, 4, 4]


def test_a_second_camera_that_stops_is_a_warning_and_answers_go_on(rig: Rig) -> None:
    wrist = rig.talk(Image, "/wrist/image_raw")
    rig.awaited.remove(rig.joints)
    rig.active(card=robot_card("front", "wrist"), image_timeout_s=0.3)
    rig.send("wrist", wrist, image_message("red", START_NS - MS))
    rig.show("red", 0)
    assert values(rig.status("model", OK))["standing_on"] == "front, wrist"
    ticks = itertools.count(1)

    def said() -> bool:
        rig.show("red", next(ticks))
        statuses = {s.name.rpartition(": ")[2]: s for report in rig.diagnostics for s in report.status}
        return "wrist" in statuses and statuses["wrist"].level == WARN and "for 0." in statuses["wrist"].message

    rig.until(said)
    status = rig.status("wrist", WARN, "no image on /wrist/image_raw for")
    assert "running on front alone" in status.message
    assert given(rig).image_valid.tolist() == [1, 0] and len(inputs_of(rig.labels[-1])) == 1
    assert len(rig.labels) == next(ticks)


def test_a_second_camera_that_comes_late_is_taken_from_then_on(rig: Rig) -> None:
    rig.awaited.remove(rig.joints)
    rig.active(card=robot_card("front", "wrist"))
    rig.show("red", 0)
    assert values(rig.status("model", OK))["standing_on"] == "front"
    wrist = rig.talk(Image, "/wrist/image_raw")
    rig.until(rig.matched)
    rig.send("wrist", wrist, image_message("red", at(1) - MS))
    rig.show("red", 1)
    assert [given(rig).image_valid.tolist(), len(inputs_of(rig.labels[1]))] == [[1, 1], 2]


def test_a_picture_of_a_second_camera_that_can_not_be_read_leaves_the_first_alone(rig: Rig) -> None:
    wrist = rig.talk(Image, "/wrist/image_raw")
    rig.awaited.remove(rig.joints)
    rig.active(card=robot_card("front", "wrist"))
    damaged = image_message("red", START_NS - MS)
    damaged.encoding = "xyz12"
    rig.send("wrist", wrist, damaged)
    rig.show("red", 0)
    rig.status("wrist", ERROR, "xyz12")
    assert given(rig).image_valid.tolist() == [1, 0]


def test_a_clock_that_can_not_be_read_gives_no_answers_and_says_so(rig: Rig) -> None:
    card = with_stream("extra", NOT_INSTALLED, "arm")
    card = replace(card, encoder=None, streams=replace(card.streams, clock="extra"))
    node = rig.segmenter(card=card)
    node.trigger_configure()
    node.trigger_activate()
    rig.status("extra", WARN, "no answers without it, as it makes the ticks")
    assert node.state == "active"


# --- floods -----------------------------------------------------------------------------------------------------------


def test_of_a_flood_the_newest_is_taken_and_the_rest_is_counted(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hal_ros.ros.segmenter.subscriptions.DRAIN_LIMIT_S", -1.0)  # there is never time for more
    node = rig.active()
    for number in range(20):
        rig.joints.publish(joint_message(START_NS - (20 - number) * MS, value=float(number)))
    rig.until(lambda: node.counters["joints/flooded"] + node.counters["joints/received"] == 20)
    assert node.counters["joints/flooded"] > 0
    rig.show("red", 0)
    assert given(rig).joints.tolist()[:2] == [19, 19]


def test_a_flood_of_names_starves_nobody(rig: Rig) -> None:
    node = rig.active()
    names = tuple(f"joint_{number}" for number in range(3000))
    for number in range(60):
        rig.joints.publish(joint_message(START_NS - (60 - number) * MS, ("a", *names), value=1.0))
    rig.show("red", 0)
    assert given(rig).joints.tolist()[0] == 1 and node.counters["joints/missing"] == 0
