"""Any robot: several cameras, states by name on any topics, and what the node says of each of them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import WrenchStamped
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float64MultiArray

from fakes import FakeBackend, make_card, make_streams, picture
from hal_ros.bags.messages import to_ns
from hal_ros.core.streams.spec import CameraSpec
from ros_fakes import (
    ROBOT,
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
    wrench_message,
)

pytestmark = pytest.mark.ros
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
MS = 1_000_000


def packed(colour: str, stamp_ns: int) -> CompressedImage:
    data = cv2.imencode(".png", cv2.cvtColor(picture(colour), cv2.COLOR_RGB2BGR))[1].tobytes()
    message = CompressedImage(format="png", data=data)
    message.header.stamp = to_stamp(stamp_ns)
    return message


# --- what goes in -----------------------------------------------------------------------------------------------------


def test_a_label_names_every_message_that_went_in(rig: Rig) -> None:
    wrist, gripper, wrench = rig.robot_streams()
    rig.active(card=robot_card())
    for tick in range(3):
        rig.send("wrist", wrist, image_message("blue", at(tick) - 20 * MS))
        rig.send("arm", rig.joints, joint_message(at(tick) - 10 * MS, value=tick))
        rig.send("gripper", gripper, joint_message(at(tick) - 5 * MS, ("finger",), value=0.5))
        rig.send("wrench", wrench, wrench_message(at(tick) - 7 * MS, force_x=3.0))
        rig.show("blue", tick)
    assert inputs_of(rig.labels[2]) == [
        ("front", "/camera/color/image_raw", at(2)),
        ("wrist", "/wrist/image_raw", at(2) - 20 * MS),
        ("arm", "/joint_states", at(2) - 10 * MS),
        ("gripper", "/gripper/joint_states", at(2) - 5 * MS),
        ("wrench", "/ft_sensor/wrench", at(2) - 7 * MS),
    ]
    assert given(rig).joints.tolist() == [2, 2, 0.5, 3, 0] and given(rig).joints_valid.tolist() == [1] * 5
    assert given(rig).feature.tolist() == [0, 0, 1, 0, 0, 1] and given(rig).image_valid.tolist() == [1, 1]
    assert to_ns(rig.labels[2].joints_stamp) == at(2) - 5 * MS  # of states with names
    model = values(rig.status("model", OK))
    assert model["standing_on"] == "front, wrist, arm, gripper, wrench"


def test_drivers_that_take_turns_on_one_topic_are_one_state(rig: Rig) -> None:
    rig.active()
    for number in range(6):  # each names one of the joints
        name = "ab"[number % 2]
        rig.send("joints", rig.joints, joint_message(START_NS - (6 - number) * MS, (name,), value=float(number)))
    rig.show("red", 0)
    assert given(rig).joints.tolist() == [4, 5, 0, 0, 0, 0]
    assert inputs_of(rig.labels[0])[1:] == [
        ("joints", "/joint_states", START_NS - 2 * MS),
        ("joints", "/joint_states", START_NS - MS),
    ]


def test_a_message_without_header_is_taken_by_when_it_was_sent(rig: Rig) -> None:
    load = rig.load()
    rig.awaited.remove(rig.joints)
    node = rig.active(card=robot_card("front", "load"))
    before_ns = node.get_clock().now().nanoseconds
    rig.send("load", load, Float64MultiArray(data=[1.0, 2.5]))
    after_ns = node.get_clock().now().nanoseconds
    rig.show_message(image_message("red", after_ns + 1_000_000_000))
    ((_, topic, stamp_ns),) = inputs_of(rig.labels[0])[1:]
    assert topic == "/load" and before_ns <= stamp_ns <= after_ns
    assert given(rig).joints.tolist() == [2.5]


def test_a_bundle_of_states_alone_ticks_on_its_clock(rig: Rig) -> None:
    gripper = rig.talk(JointState, "/gripper/joint_states")
    rig.awaited.remove(rig.images)
    card = replace(robot_card("arm", "gripper"), encoder=None)
    rig.active(card=card)
    for tick in range(3):
        rig.send("gripper", gripper, joint_message(at(tick) - MS, ("finger",)))
        rig.joints.publish(joint_message(at(tick), value=2.0))
        rig.until(partial(lambda shown: len(rig.labels) > shown, tick))
    assert [label.label for label in rig.labels] == ["blue"] * 3  # the fake's third action
    assert [stream for stream, *_ in inputs_of(rig.labels[0])] == ["arm", "gripper"]
    assert {label.header.frame_id for label in rig.labels} == {""}
    assert given(rig).feature.size == 0 and given(rig).image_valid.size == 0
    status = rig.status("arm", OK)
    assert values(status)["messages"] == "3" and values(status)["dropped_not_due"] == "0"


def test_a_bundle_of_cameras_alone_listens_to_nothing_else(rig: Rig) -> None:
    wrist = rig.talk(Image, "/wrist/image_raw")
    rig.awaited.remove(rig.joints)
    rig.active(card=robot_card("front", "wrist"))
    rig.send("wrist", wrist, image_message("red", START_NS - MS))
    rig.show("red", 0)
    assert not rig.joints.get_subscription_count()
    assert given(rig).joints.size == 0 and rig.labels[0].joints_stamp == to_stamp(0)


def test_a_picture_that_serves_two_ticks_is_encoded_once(rig: Rig) -> None:
    wrist = rig.talk(Image, "/wrist/image_raw")
    rig.awaited.remove(rig.joints)
    rig.active(card=robot_card("front", "wrist"))
    rig.send("wrist", wrist, image_message("green", START_NS - MS))
    rig.show("red", 0)
    rig.show("red", 1)
    assert isinstance(rig.backend, FakeBackend) and rig.backend.encoded == 3
    assert [inputs_of(label)[1][2] for label in rig.labels] == [START_NS - MS] * 2
    assert np.array_equal(rig.backend.inputs[0].feature, rig.backend.inputs[1].feature)


def test_any_camera_may_be_the_clock(rig: Rig) -> None:
    wrist = rig.talk(Image, "/wrist/image_raw")
    rig.awaited.remove(rig.joints)
    rig.active(card=robot_card("front", "wrist", clock="wrist"))
    rig.send("front", rig.images, image_message("red", START_NS - MS))
    wrist.publish(image_message("red", START_NS))
    rig.until(lambda: rig.labels)
    assert [(stream, ns) for stream, _, ns in inputs_of(rig.labels[0])] == [("front", at(0) - MS), ("wrist", at(0))]


# --- topics -----------------------------------------------------------------------------------------------------------


def test_a_stream_may_come_on_topics_of_the_users_choice(rig: Rig) -> None:
    first, second = (rig.talk(JointState, topic) for topic in ("/left/joint_states", "/right/joint_states"))
    rig.awaited.remove(rig.joints)
    rig.active(**{"topics.joints": ["/left/joint_states", "right/joint_states"]})
    rig.send("joints", first, joint_message(START_NS - 2 * MS, ("a",), value=1.0))
    rig.send("joints", second, joint_message(START_NS - MS, ("b",), value=2.0))
    rig.show("red", 0)
    assert given(rig).joints.tolist()[:2] == [1, 2]
    assert [topic for _, topic, _ in inputs_of(rig.labels[0])[1:]] == ["/left/joint_states", "/right/joint_states"]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"topics.gripper": "/g"}, "unknown parameter 'topics.gripper': the model has no such stream; expected one of"),
        ({"topics.joints": "no topic"}, "stream joints: 'no topic' is no topic"),
        ({"topics.joints": 5}, "parameter topics.joints is 5; expected a topic, or a list of topics"),
        ({"topics.camera": "/a", "image_topic": "/b"}, "topics.camera and its older name are both set"),
    ],
)
def test_topics_that_can_not_be_followed_are_refused_in_one_line(
    rig: Rig, parameters: dict[str, Any], words: str
) -> None:
    node = rig.segmenter(**parameters)
    node.trigger_configure()
    assert node.state == "unconfigured"
    status = rig.status("model", ERROR, words)
    assert "\n" not in status.message


def test_the_older_names_mean_the_only_stream_of_their_kind(rig: Rig) -> None:
    streams = make_streams()
    (camera,), (joints,) = streams.cameras.values(), streams.states.values()
    card = make_card(streams=replace(streams, clock="eye", cameras={"eye": camera}, states={"arm": joints}))
    rig.images = rig.talk(Image, "/eye/image")
    rig.joints = rig.talk(JointState, "/arm/joints")
    rig.awaited = [rig.images, rig.joints]
    rig.active(card=card, image_topic="/eye/image", joint_topic="/arm/joints")
    rig.send("arm", rig.joints, joint_message(START_NS))
    rig.show("red", 0)
    assert [topic for _, topic, _ in inputs_of(rig.labels[0])] == ["/eye/image", "/arm/joints"]


def test_an_older_name_that_may_mean_two_streams_is_refused(rig: Rig) -> None:
    node = rig.segmenter(card=robot_card(), image_topic="/a")
    node.trigger_configure()
    rig.status("model", ERROR, "image_topic is '/a', but the model has 2 such streams; expected topics.front, topics.w")
    assert node.state == "unconfigured"


def test_an_older_name_of_a_kind_that_the_model_does_not_take_is_no_fault(rig: Rig) -> None:
    rig.awaited.remove(rig.joints)
    rig.active(card=robot_card("front"), joint_topic="joint_states")


def remapping(*rules: str) -> list[str]:
    return ["--ros-args", *itertools.chain.from_iterable(("-r", rule) for rule in rules)]


def test_remapping_works_also_where_two_cameras_are_swapped(rig: Rig) -> None:
    wrist = rig.talk(Image, "/wrist/image_raw")
    rig.awaited.remove(rig.joints)
    swap = "/wrist/image_raw:=/camera/color/image_raw", "/camera/color/image_raw:=/wrist/image_raw"
    rig.options["cli_args"] = remapping(*swap)
    rig.active(card=robot_card("front", "wrist"))
    rig.send("wrist", rig.images, image_message("blue", START_NS - MS))
    wrist.publish(image_message("red", START_NS))
    rig.until(lambda: rig.labels)
    assert inputs_of(rig.labels[0]) == [
        ("front", "/wrist/image_raw", START_NS),
        ("wrist", "/camera/color/image_raw", START_NS - MS),
    ]
    assert given(rig).feature.tolist() == [1, 0, 0, 0, 0, 1]


def test_a_remapped_camera_is_found_in_its_other_transport_too(rig: Rig) -> None:
    camera = rig.talk(CompressedImage, "/eye/image/compressed")
    rig.awaited = [camera]
    rig.options["cli_args"] = remapping("/camera/color/image_raw:=/eye/image")
    rig.active(card=robot_card("front"))
    camera.publish(packed("green", START_NS))
    rig.until(lambda: rig.labels)
    assert inputs_of(rig.labels[0]) == [("front", "/eye/image/compressed", START_NS)]


def test_a_namespace_moves_relative_names_alone(rig: Rig) -> None:
    rig.options["namespace"] = "left"
    node = rig.segmenter(card=robot_card("front", "arm"), image_topic="eye", image_transport="raw")
    node.trigger_configure()
    node.trigger_activate()
    assert {"/left/eye", "/joint_states"} <= {one.topic_name for one in node.subscriptions}


@pytest.mark.parametrize("late", [False, True])
def test_auto_takes_the_transport_that_is_there(rig: Rig, late: bool) -> None:
    rig.robot.destroy_publisher(rig.images)
    rig.awaited = [] if late else [rig.talk(CompressedImage, "/camera/color/image_raw/compressed")]
    node = rig.active(card=robot_card("front"))
    assert not rig.labels
    camera = rig.talk(CompressedImage, "/camera/color/image_raw/compressed") if late else rig.awaited[0]
    rig.until(camera.get_subscription_count)
    camera.publish(packed("green", START_NS))
    rig.until(lambda: rig.labels)
    assert rig.labels[0].label == "green"
    assert inputs_of(rig.labels[0]) == [("front", "/camera/color/image_raw/compressed", START_NS)]
    assert node.state == "active"


def test_auto_takes_the_raw_transport_of_a_card_that_was_made_from_the_other(rig: Rig) -> None:
    rig.awaited.remove(rig.joints)
    camera = CameraSpec(("/camera/color/image_raw/compressed",), 16)
    rig.active(card=make_card(streams=replace(make_streams(joints=None), cameras={"camera": camera})))
    rig.show("red", 0)
    assert inputs_of(rig.labels[0]) == [("camera", "/camera/color/image_raw", START_NS)]


def test_a_quality_of_service_is_overridden_topic_by_topic(rig: Rig) -> None:
    override: dict[str, Any] = {"qos_overrides./ft_sensor/wrench.subscription.reliability": "reliable"}
    rig.robot_streams()
    node = rig.active(card=robot_card(), **override)
    kinds = {one.topic_name: one.qos_profile.reliability.name for one in node.subscriptions}
    assert kinds["/ft_sensor/wrench"] == "RELIABLE" and kinds["/gripper/joint_states"] == "BEST_EFFORT"


@pytest.mark.filterwarnings("ignore:Deprecated in favor:DeprecationWarning")
def test_a_mismatch_on_any_stream_is_said_with_the_override_that_ends_it(rig: Rig) -> None:
    override: dict[str, Any] = {"qos_overrides./ft_sensor/wrench.subscription.reliability": "reliable"}
    best_effort = QoSProfile(depth=5, reliability=QoSReliabilityPolicy.BEST_EFFORT)
    rig.robot.create_publisher(WrenchStamped, "/ft_sensor/wrench", best_effort)
    rig.awaited.remove(rig.joints)
    rig.active(card=robot_card("front", "wrench"), **override)
    rig.show("red", 0)
    status = rig.status("wrench", WARN, "incompatible RELIABILITY")
    assert next(iter(override)) in status.message and "running on front alone" in status.message


# --- one node, several models -----------------------------------------------------------------------------------------


def test_models_of_different_streams_are_configured_one_after_the_other(rig: Rig) -> None:
    from hal_ros.runtime.bundle import save_card

    card = robot_card("front", "arm")
    node = rig.active(card=card)
    rig.send("arm", rig.joints, joint_message(START_NS))
    rig.show("red", 0)
    assert node.has_parameter("topics.front")
    node.trigger_deactivate()
    node.trigger_cleanup()
    second = make_card()
    save_card(second, rig.folder)
    node._open_backend = lambda *_: (FakeBackend(second), "by the test")
    node.trigger_configure()
    assert not node.has_parameter("topics.front") and node.has_parameter("topics.camera")
    assert node.get_parameter("topics.joints").type_ == Parameter.Type.STRING
    node.trigger_activate()
    rig.until(rig.matched)
    rig.send("joints", rig.joints, joint_message(at(50)))
    rig.show("red", 50)
    assert [stream for stream, *_ in inputs_of(rig.labels[-1])] == ["camera", "joints"]


def test_every_stream_has_a_status_of_its_own(rig: Rig) -> None:
    rig.robot_streams()
    rig.active(card=robot_card())
    rig.show("red", 0)
    rig.diagnostics.clear()
    rig.until(lambda: rig.diagnostics)
    names = [status.name for status in rig.diagnostics[-1].status]
    assert names == [f"segmenter: {part}" for part in ("model", *robot_card().streams.names)]
    assert {status.hardware_id for status in rig.diagnostics[-1].status} == {"colours"}
    assert set(ROBOT.names) > {"front"}
