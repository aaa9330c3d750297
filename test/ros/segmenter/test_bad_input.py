"""Bad input is refused early or counted late, never silent, and the node goes on."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.context import Context
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from fakes import FakeBackend, make_card, make_streams
from ros_fakes import PERIOD_NS, START_NS, Rig, image_message, joint_message, to_stamp, values

pytestmark = pytest.mark.ros
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR

UNREADABLE: dict[str, tuple[dict[str, Any], str]] = {
    "unknown encoding": ({"encoding": "xyz12"}, "xyz12"),
    "too few bytes": ({"data": b"\0" * 700}, "700 bytes"),
    "too many bytes": ({"data": b"\0" * 800}, "800 bytes"),
    "empty image": ({"height": 0, "width": 0, "step": 0, "data": b""}, "empty"),
    "step shorter than a row": ({"step": 10}, "step 10"),
}


def damaged(tick: int, **changes: Any) -> Image:
    message = image_message("red", START_NS + tick * PERIOD_NS)
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize("case", UNREADABLE)
def test_an_unreadable_image_is_counted_and_an_error_until_a_good_one_comes(rig: Rig, case: str) -> None:
    changes, word = UNREADABLE[case]
    node = rig.active()
    rig.show("red", 0)
    rig.show_message(damaged(1, **changes), wait=False)
    status = rig.status("camera", ERROR, word)
    assert values(status)["dropped_unreadable"] == "1" and node.counters["labels"] == 1
    rig.show("red", 2)
    assert (rig.labels[-1].tick, rig.labels[-1].held_ticks) == (2, 1)
    rig.status("camera", OK)


def test_padded_rows_are_skipped(rig: Rig) -> None:
    rig.active()
    plain = bytes(image_message("blue", START_NS).data)
    rows = b"".join(plain[48 * row : 48 * (row + 1)] + b"\xff" * 16 for row in range(16))
    rig.show_message(damaged(0, step=64, data=rows))
    rig.show_message(damaged(1, data=plain))
    padded, expected = rig.labels
    assert padded.label == "blue" and list(padded.probabilities) == list(expected.probabilities)


def test_the_resolution_may_change_midstream(rig: Rig) -> None:
    rig.active()
    for tick, size_px in enumerate((16, 48, 7, 16)):
        rig.show_message(image_message("green", START_NS + tick * PERIOD_NS, size_px))
    assert [label.label for label in rig.labels] == ["green"] * 4


@pytest.mark.parametrize(
    ("offset_ns", "cause"), [(0, "repeated"), (-50_000_000, "backwards"), (-START_NS - 3 * PERIOD_NS, "zero")]
)
def test_a_bad_stamp_gives_no_label_and_a_warning(rig: Rig, offset_ns: int, cause: str) -> None:
    node = rig.active()
    for tick in range(4):
        rig.show("red", tick)
    rig.show_message(image_message("red", START_NS + 3 * PERIOD_NS + offset_ns), wait=False)
    status = rig.status("camera", WARN, "1 image with")
    assert values(status)[f"dropped_{cause}"] == "1"
    rig.show("red", 4)
    assert [label.tick for label in rig.labels] == [0, 1, 2, 3, 4]
    assert node.counters["restarts"] == 1


def test_a_stamp_that_no_label_can_bear_is_a_zero_one(rig: Rig) -> None:
    node = rig.active()
    rig.show("red", 0)
    odd = image_message("red", START_NS)
    odd.header.stamp.sec, odd.header.stamp.nanosec = 2**31 - 1, 2**32 - 1
    rig.show_message(odd, wait=False)
    rig.count(node, "zero", 1)
    rig.show("red", 1)
    assert [label.tick for label in rig.labels] == [0, 1] and node.counters["restarts"] == 1


def test_a_burst_of_100_hz_gives_one_label_a_tick(rig: Rig) -> None:
    node = rig.active()
    for i in range(50):
        rig.show_message(image_message("red", START_NS + i * 10_000_000), wait=False)
        rig.count(node, "camera/received", i + 1)
    rig.until(lambda: len(rig.labels) + node.counters["overwritten"] == 6)
    stamps = [label.header.stamp.nanosec for label in rig.labels]
    assert stamps == sorted(set(stamps)) and node.counters["not_due"] == 44


def test_a_camera_that_never_comes_is_a_warning(rig: Rig) -> None:
    node = rig.segmenter(image_timeout_s=0.1)
    node.trigger_configure()
    node.trigger_activate()
    rig.status("camera", WARN, "no image on /camera/color/image_raw since activation")
    assert node.state == "active" and not rig.labels


def test_a_matched_camera_without_images_points_at_the_profile_only_where_some_were_lost(rig: Rig) -> None:
    node = rig.active(image_timeout_s=0.1)
    assert "fastdds" not in rig.status("camera", WARN, "its publisher is still there").message
    assert node._session is not None
    node._session.inputs.counters["camera/lost"] += 1  # as the middleware tells
    rig.status("camera", WARN, "config/fastdds.xml")


def test_the_topic_that_images_are_on_is_named(rig: Rig) -> None:
    node = rig.segmenter(image_timeout_s=0.1, image_topic="camera/image")
    node.trigger_configure()
    node.trigger_activate()
    rig.status("camera", WARN, "images are on /camera/color/image_raw (sensor_msgs/msg/Image)")


def test_another_transport_on_the_topic_is_named(rig: Rig) -> None:
    node = rig.segmenter(image_timeout_s=0.1, image_topic="packed", image_transport="raw")
    other = Context()  # one topic has one type in each participant
    rclpy.init(args=[], context=other, domain_id=rig.context.get_domain_id())
    camera = rclpy.create_node("camera", context=other)
    camera.create_publisher(CompressedImage, "packed", 5)
    node.trigger_configure()
    node.trigger_activate()
    rig.status("camera", WARN, "sensor_msgs/msg/CompressedImage is published there, expected sensor_msgs/msg/Image")
    camera.destroy_node()
    rclpy.shutdown(context=other)


def test_a_camera_that_falls_silent_is_a_warning_until_it_speaks(rig: Rig) -> None:
    rig.active(image_timeout_s=0.1)
    rig.show("red", 0)
    rig.status("camera", WARN, "its publisher is still there")
    rig.diagnostics.clear()
    rig.show_after_gap("red", 50)  # five seconds later
    ticks = itertools.count(51)

    def is_well_again() -> bool:
        rig.show("red", next(ticks))
        statuses = (status for report in rig.diagnostics for status in report.status)
        return any(status.name.endswith("camera") and status.level == OK for status in statuses)

    rig.until(is_well_again)
    assert [label.tick for label in rig.labels][:2] == [0, 0]  # a fresh grid


def test_joints_that_never_come_leave_the_camera_alone(rig: Rig) -> None:
    rig.active(joint_timeout_s=0.1)
    rig.show("red", 0)
    rig.status(
        "joints",
        WARN,
        "no message on /joint_states since activation; its publisher is still there; running on camera alone",
    )
    assert isinstance(rig.backend, FakeBackend)
    assert not rig.backend.inputs[0].joints_valid.any() and rig.backend.inputs[0].image_valid.tolist() == [1]


def test_joints_of_another_robot_are_named(rig: Rig) -> None:
    node = rig.active()
    rig.joints.publish(joint_message(START_NS, ("x", "y")))
    rig.count(node, "joints/unnamed", 1)
    rig.status("joints", WARN, "/joint_states: joint states name x, y; the model expects a, b")


@pytest.mark.parametrize("change", [{"name": ["a", "c"]}, {"position": [1.0, float("nan")]}])
def test_absent_joint_values_go_in_as_invalid(rig: Rig, change: dict[str, Any]) -> None:
    node = rig.active()
    message = joint_message(START_NS)
    for name, value in change.items():
        setattr(message, name, value)
    rig.joints.publish(message)
    rig.count(node, "joints/received", 1)
    rig.show("red", 0)
    assert isinstance(rig.backend, FakeBackend)
    (inputs,) = rig.backend.inputs
    assert inputs.joints.tolist() == [1, 0, 0, 0, 0, 0] and inputs.joints_valid.tolist() == [1, 0, 0, 0, 0, 0]
    assert node.counters["joints/partial"] == 1


def test_an_old_joint_state_is_not_used(rig: Rig) -> None:
    node = rig.active()
    rig.joints.publish(joint_message(START_NS - 200_000_000))
    rig.count(node, "joints/received", 1)
    rig.show("red", 0)
    rig.status("joints", WARN, "1 ticks without messages of the last 0.1 s on /joint_states; running on camera alone")
    assert rig.labels[0].joints_stamp == to_stamp(0)


# rclpy warns on the publisher's side, too, by a method that it deprecated itself.
@pytest.mark.filterwarnings("ignore:Deprecated in favor:DeprecationWarning")
def test_a_qos_mismatch_is_said_with_the_override_that_ends_it(rig: Rig) -> None:
    override = "qos_overrides./camera/color/image_raw.subscription.reliability"
    overrides: dict[str, Any] = {override: "reliable"}
    node = rig.segmenter(card=make_card(streams=make_streams(joints=None)), **overrides)
    rig.robot.destroy_publisher(rig.images)
    best_effort = QoSProfile(depth=5, reliability=QoSReliabilityPolicy.BEST_EFFORT)
    unfit = rig.robot.create_publisher(Image, "camera/color/image_raw", best_effort)
    node.trigger_configure()
    node.trigger_activate()
    status = rig.status("camera", WARN, "incompatible RELIABILITY")
    assert override in status.message
    rig.robot.destroy_publisher(unfit)
    rig.images = rig.robot.create_publisher(Image, "camera/color/image_raw", 5)
    rig.until(rig.images.get_subscription_count)
    rig.show("red", 0)
    rig.status("camera", OK)


# --- bundles ----------------------------------------------------------------------------------------------------------


def test_a_tampered_file_is_named_and_nothing_activates(rig: Rig) -> None:
    rig.folder.mkdir()
    (rig.folder / "step.onnx").write_bytes(b"weights")
    node = rig.segmenter()
    (rig.folder / "step.onnx").write_bytes(b"Weights")
    node.trigger_configure()
    assert node.state == "unconfigured"
    rig.status("model", ERROR, "step.onnx: SHA-256")


def test_a_truncated_graph_is_named(rig: Rig) -> None:
    rig.folder.mkdir()
    for name in ("encoder.onnx", "step.onnx", "golden.npz"):
        (rig.folder / name).write_bytes(b"\x08\x07\x12")
    rig.segmenter().destroy_node()
    rig.nodes.pop()
    node = rig.bare_segmenter()
    node.trigger_configure()
    assert node.state == "unconfigured"
    rig.status("model", ERROR, "encoder.onnx: ONNX Runtime can't open it")


@pytest.mark.parametrize(
    ("model", "words"), [("", "parameter model is empty"), ("/nowhere/bundle", "/nowhere/bundle/card.json")]
)
def test_a_missing_bundle_is_named(rig: Rig, model: str, words: str) -> None:
    node = rig.segmenter(model=model)
    node.trigger_configure()
    assert node.state == "unconfigured"
    rig.status("model", ERROR, words)


def test_a_wrong_vocabulary_is_named(rig: Rig) -> None:
    node = rig.segmenter()
    card = rig.folder / "card.json"
    card.write_text(card.read_text().replace('"green"', '"red"'))
    node.trigger_configure()
    assert node.state == "unconfigured"
    rig.status("model", ERROR, "vocabulary")
