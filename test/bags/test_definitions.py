"""A bag says how its bytes are to be read: types of its own, older forms of known ones, and ours where it is silent."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcap.writer import Writer
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

from hal_ros.bags.definitions import BagTypes
from hal_ros.bags.messages import deserialise, header_message, known_class, schema_text, serialise
from hal_ros.bags.reader import read_messages
from hal_ros.bags.writer import TopicForm
from hal_ros.core.errors import BagError
from hal_ros.core.streams.paths import FieldType, compile_path
from hal_ros.core.streams.spec import JOINT_STATE

LINE = "=" * 80
TIME = f"{LINE}\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
HEADER = f"{LINE}\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n{TIME}"
GAUGE = "acme_msgs/msg/Gauge"
GAUGE_TEXT = f"std_msgs/Header header\nfloat32[] values\nbool open\nacme_msgs/Part[2] parts\n{HEADER}"
GAUGE_TEXT += f"{LINE}\nMSG: acme_msgs/Part\nbyte code\nuint8[<=4] rest\n"
TOPIC = "/gauge"


def form(text: str, type_name: str = GAUGE, encoding: str = "ros2msg") -> TopicForm:
    return TopicForm(type_name, "cdr", encoding, text.encode(), {})


def types(*forms: TopicForm) -> BagTypes:
    return BagTypes({f"/topic_{index}": one for index, one in enumerate(forms)})


def gauge_bytes() -> tuple[bytes, object]:
    """A message of the type that nobody has, by a library that was told of it."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register({k: v for k, v in get_types_from_msg(GAUGE_TEXT, GAUGE).items() if k not in store.fielddefs})
    header = store.types["std_msgs/msg/Header"](store.types["builtin_interfaces/msg/Time"](7, 9), "gauge")
    part = store.types["acme_msgs/msg/Part"]
    parts = [part(-56, np.array([1, 2], np.uint8)), part(3, np.zeros(0, np.uint8))]
    message = store.types[GAUGE](header, np.array([1.5, 2.5], np.float32), True, parts)
    return bytes(store.serialize_cdr(message, GAUGE)), store


def check_gauge(known: BagTypes, data: bytes) -> None:
    message = known.deserialise(GAUGE, data)
    assert message.values.tolist() == [1.5, 2.5] and message.open is True
    assert message.parts[0].code == -56 and message.parts[0].rest.tolist() == [1, 2]
    assert known.has_header(GAUGE) and not known.has_header("acme_msgs/msg/Part")
    assert known.describe(GAUGE)["values"] == FieldType("float32", -1)
    assert known.describe(GAUGE)["parts"] == FieldType("acme_msgs/msg/Part", 2)
    assert known.describe("acme_msgs/msg/Part", of=GAUGE) == {
        "code": FieldType("byte"),
        "rest": FieldType("uint8", -1),
    }


def test_a_type_that_only_an_mcap_defines_is_read(tmp_path: Path) -> None:
    data, _ = gauge_bytes()
    with (tmp_path / "run.mcap").open("wb") as stream:
        writer = Writer(stream)
        writer.start("ros2", "another program")
        schema = writer.register_schema(GAUGE, "ros2msg", GAUGE_TEXT.encode())
        writer.add_message(writer.register_channel(TOPIC, "cdr", schema), 10, data, 10)
        writer.finish()
    (message,) = read_messages(tmp_path / "run.mcap")
    check_gauge(BagTypes.of(tmp_path / "run.mcap"), message.data)
    with pytest.raises(BagError, match="unknown"):
        BagTypes().deserialise(GAUGE, data)  # negative control


@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_a_type_that_rosbags_wrote_into_a_bag_is_read(tmp_path: Path, plugin: StoragePlugin) -> None:
    data, store = gauge_bytes()
    with RosbagsWriter(tmp_path / "run", version=9, storage_plugin=plugin) as writer:
        writer.write(writer.add_connection(TOPIC, GAUGE, typestore=store), 10, data)  # type: ignore[arg-type]
    (message,) = read_messages(tmp_path / "run")
    check_gauge(BagTypes.of(tmp_path / "run"), message.data)


def test_a_type_defined_as_idl_is_read() -> None:
    text = "module acme_msgs { module msg { struct Level { double value; boolean low; sequence<float> trace; }; }; };"
    assert get_types_from_idl(text)
    known = types(form(text, "acme_msgs/msg/Level", "ros2idl"))
    data = b"\0\1\0\0" + struct.pack("<d?xxxI", 2.5, True, 0)
    assert known.deserialise("acme_msgs/msg/Level", data).value == 2.5
    assert known.describe("acme_msgs/msg/Level")["low"].base in ("bool", "boolean")


def test_a_definition_that_leaves_out_ros_own_types_is_completed() -> None:
    data, _ = gauge_bytes()
    text = GAUGE_TEXT.replace(TIME, "").replace(HEADER.replace(TIME, ""), "")
    assert "MSG: std_msgs" not in text
    check_gauge(types(form(text)), data)


def test_an_older_form_of_a_known_type_is_read_as_the_bag_has_it() -> None:
    text = f"std_msgs/Header header\nstring[] name\nfloat64[] position\n{HEADER}"
    known = types(form(text, JOINT_STATE))
    whole = known_class(JOINT_STATE)(header_message(5, "arm"), ["a"], np.ones(1), np.ones(0), np.ones(0))
    older = serialise(whole)[:-8]
    message = known.deserialise(JOINT_STATE, older)
    assert message.name == ["a"] and message.position.tolist() == [1.0] and not hasattr(message, "effort")
    assert "effort" not in known.describe(JOINT_STATE) and "effort" in BagTypes().describe(JOINT_STATE)
    with pytest.raises(BagError):
        BagTypes().deserialise(JOINT_STATE, older)  # negative control


def test_where_both_agree_the_messages_are_of_our_classes() -> None:
    known = types(form(schema_text(JOINT_STATE), JOINT_STATE))
    data = serialise(known_class(JOINT_STATE)(header_message(5, ""), ["a"], np.ones(1), np.ones(1), np.ones(1)))
    assert type(known.deserialise(JOINT_STATE, data)) is type(deserialise(JOINT_STATE, data))


@pytest.mark.parametrize(
    "text", ["", "float64[ value", "nonsense", "float64 value\nacme_msgs/Nowhere where", "\xff\xfe", "== ==\nMSG:"]
)
def test_a_broken_definition_says_nothing(text: str) -> None:
    assert types(form(text, JOINT_STATE)).describe(JOINT_STATE) == BagTypes().describe(JOINT_STATE)
    with pytest.raises(BagError, match="'acme_msgs/msg/Gauge' is unknown") as refused:
        types(form(text)).describe(GAUGE)
    assert "\n" not in str(refused.value)


def refusal(known: BagTypes, type_name: str, data: bytes) -> str:
    try:
        known.deserialise(type_name, data)
    except BagError as error:
        return str(error)
    return ""


@given(st.binary(max_size=60))
def test_bytes_of_another_type_are_refused_in_one_line(data: bytes) -> None:
    known = types(form(GAUGE_TEXT))
    for type_name in (GAUGE, JOINT_STATE, "geometry_msgs/msg/WrenchStamped", "sensor_msgs/msg/CompressedImage"):
        assert "\n" not in refusal(known, type_name, data)
    assert refusal(known, GAUGE, data[:4])


def test_room_at_the_end_of_a_message_is_no_fault() -> None:
    """rclpy leaves four bytes behind each empty array of float64, with what was in memory."""
    data = serialise(known_class(JOINT_STATE)(header_message(5, ""), ["a"], np.ones(1), np.ones(0), np.ones(0)))
    for room in range(17):
        assert BagTypes().deserialise(JOINT_STATE, data + b"\xff" * room).position.tolist() == [1.0]
    with pytest.raises(BagError, match="size mismatch"):
        BagTypes().deserialise(JOINT_STATE, data + bytes(24))


def test_cut_bytes_are_refused() -> None:
    data, _ = gauge_bytes()
    known = types(form(GAUGE_TEXT))
    for end in range(len(data) - 4):
        with pytest.raises(BagError, match=f"^{end} bytes can't be read as {GAUGE}"):
            known.deserialise(GAUGE, data[:end])


@pytest.mark.parametrize(
    "text", ["float64 MOST=1e999\nfloat64 x\n", "geometry_msgs/Point[100000000] x\n", "string[9999] x\n"]
)
def test_a_definition_that_would_be_too_much_to_read_says_nothing(text: str) -> None:
    with pytest.raises(BagError, match="'acme_msgs/msg/Gauge' is unknown"):
        types(form(text)).describe(GAUGE)


def test_only_a_header_of_ros_2_at_the_beginning_stamps_a_message() -> None:
    text = f"std_msgs/Header header\nfloat64 x\n{HEADER}"
    assert types(form(text)).has_header(GAUGE)
    stamp = "builtin_interfaces/Time stamp"
    for other in (
        text.replace(stamp, f"uint32 seq\n{stamp}"),
        "string header\nfloat64 x\n",
        f"float64 x\nstd_msgs/Header header\n{HEADER}",
    ):
        assert not types(form(other)).has_header(GAUGE)


def test_fields_that_are_words_of_python_are_read() -> None:
    known = types(form("float64 class\nfloat64 from\n"))
    message = known.deserialise(GAUGE, b"\0\1\0\0" + struct.pack("<2d", 1.5, 2.5))
    assert [compile_path(path, GAUGE, known.describe)(message) for path in ("class", "from")] == [1.5, 2.5]


def test_a_type_that_is_defined_in_two_ways_is_not_read() -> None:
    twice = types(form("float64 x\n"), form("float32 y\nfloat32 x\n"))
    with pytest.raises(BagError, match="'acme_msgs/msg/Gauge' is defined in two ways in the bag; expected one"):
        twice.deserialise(GAUGE, bytes(12))
    assert not twice.has_header(GAUGE)
    for other in ("float64   x  # in metres\n", "", "broken ((("):
        assert types(form("float64 x\n"), form(other)).describe(GAUGE) == {"x": FieldType("float64")}
        assert types(form(other), form("float64 x\n")).describe(GAUGE) == {"x": FieldType("float64")}


def test_every_type_of_a_topic_is_known(tmp_path: Path) -> None:
    with (tmp_path / "run.mcap").open("wb") as stream:
        writer = Writer(stream)
        writer.start("ros2", "another program")
        for number, name in enumerate((GAUGE, "acme_msgs/msg/Other")):
            schema = writer.register_schema(name, "ros2msg", b"float64 x\n")
            writer.add_message(writer.register_channel(TOPIC, "cdr", schema), 10 + number, bytes(12), 10)
        writer.finish()
    known = BagTypes.of(tmp_path / "run.mcap")
    assert known.describe(GAUGE) == known.describe("acme_msgs/msg/Other") == {"x": FieldType("float64")}
