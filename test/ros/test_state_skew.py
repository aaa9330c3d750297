"""One message gives the same numbers whichever library read its bytes, and one type has the same fields (law 3)."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest

from hal_ros.bags.definitions import BagTypes
from hal_ros.bags.messages import serialise
from hal_ros.core.streams.paths import NUMBERS
from hal_ros.core.streams.readers import Reading, make_reader
from hal_ros.core.streams.spec import JOINT_STATE, StateSpec
from hal_ros.ros.message_types import describe, has_header, message_class

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from rclpy.serialization import deserialize_message, serialize_message

pytestmark = pytest.mark.ros
TYPES = BagTypes()
NAN = float("nan")


def fill(message: Any, **values: Any) -> Any:
    """Set fields by their paths, written with two underscores."""
    for path, value in values.items():
        *owners, name = path.split("__")
        owner = message
        for each in owners:
            owner = getattr(owner, each)
        setattr(owner, name, value)
    return message


def new(type_name: str, **values: Any) -> Any:
    return fill(message_class(type_name)(), **values)


def pose(w: float) -> Any:
    components = dict(zip("xyz", (0.1, -0.2, 0.3), strict=True))
    values = {f"orientation__{axis}": value for axis, value in components.items()}
    return new("geometry_msgs/msg/Pose", position__y=-7.25, orientation__w=w, **values)


CASES: list[tuple[str, Any, tuple[str, ...]]] = [
    (
        "geometry_msgs/msg/WrenchStamped",
        new("geometry_msgs/msg/WrenchStamped", wrench__force__x=0.1, wrench__torque__z=-1e30, wrench__force__y=1e300),
        ("wrench.force.x", "wrench.torque.z", "wrench.force.y", "header.stamp.nanosec"),
    ),
    ("geometry_msgs/msg/Pose", pose(-0.5), ("position.y", *(f"orientation.{axis}" for axis in "xyzw"))),
    ("geometry_msgs/msg/Pose", pose(0.5), ("position.y", *(f"orientation.{axis}" for axis in "xyzw"))),
    (
        "geometry_msgs/msg/PoseArray",
        new("geometry_msgs/msg/PoseArray", poses=[pose(0.5), pose(-0.5)]),
        ("poses[0].orientation.x", "poses[1].orientation.x", "poses[2].orientation.x", "poses[1].position.y"),
    ),
    (
        "sensor_msgs/msg/Imu",
        new("sensor_msgs/msg/Imu", orientation__w=-1.0, orientation_covariance=np.arange(9.0), angular_velocity__x=NAN),
        ("orientation.w", "orientation_covariance[8]", "angular_velocity.x", "linear_acceleration.z"),
    ),
    ("std_msgs/msg/Float64MultiArray", new("std_msgs/msg/Float64MultiArray", data=[0.1, 2.5]), ("data[0]", "data[2]")),
    ("std_msgs/msg/UInt8MultiArray", new("std_msgs/msg/UInt8MultiArray", data=[200, 3]), ("data[0]", "data[1]")),
    ("std_msgs/msg/Int16MultiArray", new("std_msgs/msg/Int16MultiArray", data=[-200, 3]), ("data[0]", "data[5]")),
    ("std_msgs/msg/ByteMultiArray", new("std_msgs/msg/ByteMultiArray", data=[b"\xc8", b"1"]), ("data[0]", "data[1]")),
    ("std_msgs/msg/Byte", new("std_msgs/msg/Byte", data=b"\xc8"), ("data",)),
    ("std_msgs/msg/Char", new("std_msgs/msg/Char", data=200), ("data",)),
    ("std_msgs/msg/Bool", new("std_msgs/msg/Bool", data=True), ("data",)),
    ("std_msgs/msg/UInt64", new("std_msgs/msg/UInt64", data=2**63 + 12345), ("data",)),
    ("std_msgs/msg/Int64", new("std_msgs/msg/Int64", data=-(2**53) - 1), ("data",)),
    (
        "sensor_msgs/msg/JointState",
        new("sensor_msgs/msg/JointState", name=["b", "a"], position=[0.1, 0.2], effort=[NAN]),
        ("position[1]", "velocity[0]", "effort[0]"),
    ),
]


def both(type_name: str, message: Any, spec: StateSpec) -> tuple[Reading, Reading]:
    """What is read of one message's bytes live and offline."""
    data = serialize_message(message)
    live = make_reader(spec, type_name, describe).read(deserialize_message(data, type(message)))
    offline = make_reader(spec, type_name, partial(TYPES.describe, of=type_name)).read(
        TYPES.deserialise(type_name, data)
    )
    assert isinstance(live, Reading) and isinstance(offline, Reading)
    return live, offline


@pytest.mark.parametrize(("type_name", "message", "paths"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)])
def test_paths_read_the_same_numbers_live_and_offline(type_name: str, message: Any, paths: tuple[str, ...]) -> None:
    live, offline = both(type_name, message, StateSpec(type=type_name, fields=paths))
    assert live.values.dtype == offline.values.dtype == np.float32
    assert live.values.tobytes() == offline.values.tobytes()
    direct = make_reader(StateSpec(fields=paths), type_name, describe).read(message)  # never serialised
    assert isinstance(direct, Reading) and direct.values.tobytes() == live.values.tobytes()


@pytest.mark.parametrize(
    ("names", "position", "velocity", "effort"),
    [
        (["a", "b", "c"], [1.0, 2.0, 3.0], [0.1, 0.2, 0.3], [1e300, NAN, float("inf")]),
        (["c", "x", "a"], [1.0, 2.0, 3.0], [], [0.1]),
        (["b"], [], [], []),
    ],
)
def test_joints_read_the_same_numbers_live_and_offline(
    names: list[str], position: Any, velocity: Any, effort: Any
) -> None:
    message = new(JOINT_STATE, name=names, position=position, velocity=velocity, effort=effort)
    live, offline = both(JOINT_STATE, message, StateSpec(names=("a", "b", "c")))
    assert live.values.tobytes() == offline.values.tobytes()
    for one, other in ((live.present, offline.present),):
        assert (one is None) == (other is None) and (one is None or other is None or (one == other).all())


def test_another_number_is_seen() -> None:  # negative control
    spec = StateSpec(names=("a",), fields=("position",))
    found = [both(JOINT_STATE, new(JOINT_STATE, name=["a"], position=[value]), spec)[0] for value in (0.1, 0.1000001)]
    assert found[0].values.tobytes() != found[1].values.tobytes()


def fields_of(found: Any) -> dict[str, tuple[str, int | None]]:
    """Fields with one name for each type of number: definitions and generated classes call them differently."""
    same = {"boolean": "bool", "octet": "byte", "double": "float64", "float": "float32", "char": "uint8"}
    return {name: (same.get(kind.base, kind.base), kind.length) for name, kind in found.items()}


@pytest.mark.parametrize(
    "type_name",
    [
        *sorted({case[0] for case in CASES}),
        "geometry_msgs/msg/TransformStamped",
        "sensor_msgs/msg/BatteryState",
        "sensor_msgs/msg/Joy",
        "std_msgs/msg/Header",
        "diagnostic_msgs/msg/DiagnosticArray",
    ],
)
def test_a_type_has_the_same_fields_live_and_offline(type_name: str) -> None:
    live, offline = describe(type_name), TYPES.describe(type_name)
    assert fields_of(live) == fields_of(offline) and list(live) == list(offline)
    assert has_header(type_name) == TYPES.has_header(type_name)
    for found in (live, offline):
        assert all("/" in kind.base or "string" in kind.base or kind.base in NUMBERS for kind in found.values())


def test_bytes_that_a_bag_holds_are_those_of_ros() -> None:
    message = new(JOINT_STATE, name=["a"], position=[0.5])
    again = TYPES.deserialise(JOINT_STATE, serialize_message(message))
    assert deserialize_message(serialise(again), type(message)) == message
