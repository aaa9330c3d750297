"""Messages without ROS are the messages of ROS, byte for byte where ROS itself decides the byte."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcap.records import Schema
from mcap_ros2.decoder import DecoderFactory

from hal_ros.bags import messages
from hal_ros.bags.messages import deserialise, header_message, known_class, schema_text, serialise, time_message
from hal_ros.core.errors import BagError
from hal_ros.outside import shared_files

RECORDED_TYPES = (
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/CompressedImage",
    "sensor_msgs/msg/CameraInfo",
    "sensor_msgs/msg/JointState",
    "diagnostic_msgs/msg/DiagnosticArray",
    "rosgraph_msgs/msg/Clock",
    "hal_msgs/msg/ActionLabel",
    "hal_msgs/msg/ActionTruth",
    "hal_msgs/msg/BoundaryEvent",
    "hal_msgs/msg/Vocabulary",
)
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
floats = st.lists(st.floats(width=64), max_size=4)


def joint_state(frame_id: str, joints: list[str], position: list[float], effort: list[float]) -> Any:
    return known_class("sensor_msgs/msg/JointState")(
        header_message(1_000_000_007, frame_id), joints, np.array(position), np.array([]), np.array(effort)
    )


@given(names, st.lists(names, max_size=4), floats, floats)
def test_a_message_survives_serialising(frame_id: str, joints: list[str], position: list, effort: list) -> None:
    message = joint_state(frame_id, joints, position, effort)
    again = deserialise("sensor_msgs/msg/JointState", serialise(message))
    assert again.header == message.header
    assert again.name == joints
    np.testing.assert_array_equal(again.position, position)
    np.testing.assert_array_equal(again.effort, effort)


@given(names, st.lists(names, max_size=4), floats, floats)
def test_rclpy_reads_these_bytes_and_writes_the_same_up_to_padding(
    frame_id: str, joints: list[str], position: list, effort: list
) -> None:
    pytest.importorskip("rclpy")
    from rclpy.serialization import deserialize_message, serialize_message
    from sensor_msgs.msg import JointState

    message = joint_state(frame_id, joints, position, effort)
    data = serialise(message)
    read = deserialize_message(data, JointState)
    assert read.header.frame_id == frame_id
    assert list(read.name) == joints
    np.testing.assert_array_equal(read.position, position)
    # rclpy leaves padding uninitialised and may append bytes, so that its message is compared after it is read
    written = deserialize_message(serialize_message(read), JointState)
    assert serialise(joint_state(written.header.frame_id, list(written.name), position, effort)) == data
    assert len(serialize_message(read)) >= len(data)


@given(names, names, st.integers(0, 2**32 - 1))
def test_own_messages_are_those_of_the_built_package(frame_id: str, label: str, segment_id: int) -> None:
    pytest.importorskip("rclpy")
    built = pytest.importorskip("hal_msgs.msg")
    from rclpy.serialization import deserialize_message

    message = known_class("hal_msgs/msg/ActionTruth")(header_message(5, frame_id), label, segment_id)
    read = deserialize_message(serialise(message), built.ActionTruth)
    assert (read.header.frame_id, read.label, read.segment_id) == (frame_id, label, segment_id)
    for name in ("ActionLabel", "ActionTruth", "BoundaryEvent", "Vocabulary"):
        ours = [field for field, _ in messages.typestore().fielddefs[f"hal_msgs/msg/{name}"][1]]
        assert ours == list(getattr(built, name).get_fields_and_field_types())


def test_padding_is_zero() -> None:
    """The law that makes replayed labels equal to live ones: nothing of the process' memory is in the bytes."""
    message = known_class("sensor_msgs/msg/CompressedImage")(
        header_message(0, "x"), "jpeg", np.frombuffer(b"abcde", np.uint8)
    )
    body = struct.pack("<iI", 0, 0) + b"\2\0\0\0x\0" + b"\0\0" + b"\5\0\0\0jpeg\0" + b"\0\0\0" + b"\5\0\0\0abcde"
    assert serialise(message) == b"\0\1\0\0" + body


def test_big_endian_messages_are_read() -> None:
    time = time_message(3_000_000_004)
    data = bytes(messages.typestore().serialize_cdr(time, time.__msgtype__, little_endian=False))
    assert data != serialise(time)
    assert messages.to_ns(deserialise(time.__msgtype__, data)) == 3_000_000_004


@pytest.mark.parametrize("data", [b"", b"\0\1\0\0", b"\0\1\0\0\1", b"\7\7\7\7" + bytes(8), b"\0\1\0\0" + bytes(40)])
def test_bytes_of_another_type_are_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(BagError, match="builtin_interfaces/msg/Time") as caught:
        deserialise("builtin_interfaces/msg/Time", data)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_bag_error(data: bytes) -> None:
    for type_name in ("sensor_msgs/msg/JointState", "sensor_msgs/msg/CompressedImage", "hal_msgs/msg/ActionLabel"):
        with contextlib.suppress(BagError):
            deserialise(type_name, b"\0\1\0\0" + data)


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(BagError, match="no_msgs/msg/Nothing"):
        deserialise("no_msgs/msg/Nothing", b"\0\1\0\0")
    with pytest.raises(BagError, match="no_msgs/msg/Nothing"):
        schema_text("no_msgs/msg/Nothing")


@pytest.mark.parametrize("type_name", RECORDED_TYPES)
def test_schema_texts_hold_all_that_a_decoder_needs(type_name: str) -> None:
    text = schema_text(type_name)
    decoder = DecoderFactory().decoder_for("cdr", Schema(1, text.encode(), "ros2msg", type_name))
    assert decoder is not None
    parts = text.split(messages.SEPARATOR + "\nMSG: ")
    assert len(parts) == len(set(parts))
    needed = {part.split("\n")[0] for part in parts[1:]}
    assert needed == set(generated_parts(type_name))


def generated_parts(type_name: str) -> list[str]:
    text = messages.typestore().generate_msgdef(type_name, ros_version=2)[0]
    return [part.split("\n")[0] for part in text.split(messages.SEPARATOR + "\nMSG: ")[1:]]


def test_another_implementation_decodes_the_bytes_with_the_schema() -> None:
    type_name = "hal_msgs/msg/Vocabulary"
    message = known_class(type_name)("tabletop", "0" * 64, ["idle", "reach"], 10.0, 4, 5)
    schema = Schema(1, schema_text(type_name).encode(), "ros2msg", type_name)
    decoder = DecoderFactory().decoder_for("cdr", schema)
    assert decoder is not None
    decoded = decoder(serialise(message))
    assert (decoded.bundle, decoded.labels, decoded.rate_hz, decoded.lag_ticks) == (
        "tabletop",
        ["idle", "reach"],
        10.0,
        4,
    )


def test_a_missing_interface_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(messages, "definition_folder", lambda _: None)
    monkeypatch.setattr(shared_files, "REPOSITORY", tmp_path)
    monkeypatch.setattr(shared_files, "share_folders", lambda *_: iter(()))
    messages.typestore.cache_clear()
    try:
        with pytest.raises(BagError, match="install it") as caught:
            messages.typestore()
        assert "\n" not in str(caught.value)
    finally:
        messages.typestore.cache_clear()
