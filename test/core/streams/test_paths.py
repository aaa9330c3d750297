"""A path leads to one number of a message, or is refused in one line that says why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.paths import FieldType, compile_path, path_fault, read_all

QUATERNION = "geometry_msgs/msg/Quaternion"
TYPES: dict[str, dict[str, FieldType]] = {
    "x/msg/Top": {
        "name": FieldType("string"),
        "words": FieldType("string", -1),
        "on": FieldType("bool"),
        "data": FieldType("float64", -1),
        "matrix": FieldType("float32", 3),
        "octets": FieldType("byte", -1),
        "octet": FieldType("octet"),
        "level": FieldType("uint64"),
        "wrench": FieldType("x/msg/Wrench"),
        "poses": FieldType("x/msg/Pose", -1),
        "elsewhere": FieldType("y/msg/Unknown"),
        "empty": FieldType("x/msg/Empty"),
    },
    "x/msg/Wrench": {"force": FieldType("x/msg/Vector3")},
    "x/msg/Vector3": {axis: FieldType("float64") for axis in "xyz"},
    "x/msg/Pose": {"position": FieldType("x/msg/Vector3"), "orientation": FieldType(QUATERNION)},
    "x/msg/Empty": {},
    QUATERNION: {axis: FieldType("float64") for axis in "xyzw"},
}


def describe(type_name: str) -> Mapping[str, FieldType]:
    if type_name not in TYPES:
        raise ConfigError(f"message type {type_name!r} is unknown")
    return TYPES[type_name]


def pose(x: float, *quaternion: float) -> SimpleNamespace:
    orientation = SimpleNamespace(**dict(zip("xyzw", quaternion, strict=True)))
    return SimpleNamespace(position=SimpleNamespace(x=x, y=0.0, z=0.0), orientation=orientation)


def message(**changes: Any) -> SimpleNamespace:
    half = math.sqrt(0.5)
    fields: dict[str, Any] = {
        "on": True,
        "data": np.array([1.5, 2.5]),
        "matrix": [1.0, 2.0, 3.0],
        "octets": [b"\xc8", b"\x01"],
        "octet": b"\xc8",
        "level": 2**40,
        "wrench": SimpleNamespace(force=SimpleNamespace(x=1.0, y=-2.0, z=3.0)),
        "poses": [pose(4.0, half, 0.0, 0.0, -half), pose(5.0, half, 0.0, 0.0, half)],
    }
    return SimpleNamespace(**fields | changes)


def read(path: str, **changes: Any) -> float:
    return compile_path(path, "x/msg/Top", describe)(message(**changes))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("on", 1.0),
        ("data[1]", 2.5),
        ("matrix[2]", 3.0),
        ("level", 2.0**40),
        ("wrench.force.y", -2.0),
        ("poses[1].position.x", 5.0),
    ],
)
def test_numbers_and_booleans_are_read_where_the_path_leads(path: str, value: float) -> None:
    found = read(path)
    assert found == value and isinstance(found, float)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("wrench.force", "wrench.force of x/msg/Top is a x/msg/Vector3; expected a number or a boolean"),
        ("name", "name of x/msg/Top is a string; expected a number"),
        ("words[0]", "is a string; expected a number"),
        ("wrench.torque.x", "x/msg/Wrench has no field 'torque'; expected one of force"),
        ("empty.x", "x/msg/Empty has no field 'x'; expected one of none"),
        ("data", "data of x/msg/Top is an array; expected an index, as data[0]"),
        ("poses.position.x", "poses of x/msg/Top is an array; expected an index"),
        ("on[0]", "on of x/msg/Top is a single value; expected no index"),
        ("wrench[0].force.x", "wrench of x/msg/Top is a single value; expected no index"),
        ("matrix[3]", "matrix of x/msg/Top has 3 entries; expected an index below that"),
        ("level.high", "high is asked of a uint64; expected a path that ends there"),
        ("name.length", "length is asked of a string; expected a path that ends there"),
        ("elsewhere.x", "message type 'y/msg/Unknown' is unknown"),
        ("data[-1]", "is no path to a number; expected one as wrench.force.x"),
        ("data[1][2]", "is no path"),
        ("data[]", "is no path"),
        ("", "is no path"),
        ("wrench..x", "is no path"),
        ("wrench.force.x ", "is no path"),
        ("__import__('os')", "is no path"),
    ],
)
def test_a_path_that_leads_to_no_number_is_refused_in_one_line(path: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        compile_path(path, "x/msg/Top", describe)
    assert says in str(refused.value) and path in str(refused.value)
    assert "\n" not in str(refused.value)


def test_how_a_path_is_written_is_judged_without_a_type() -> None:
    assert path_fault("a.b[3].c_2") == ""
    assert path_fault("a.b[x]") and path_fault("2a") and path_fault("a b")


def test_what_lies_beyond_the_end_of_a_sequence_is_not_known() -> None:
    assert math.isnan(read("data[2]")) and math.isnan(read("data[0]", data=[]))
    assert math.isnan(read("poses[2].position.x")) and math.isnan(read("poses[7].orientation.x"))
    assert math.isnan(read("octets[2]"))


@pytest.mark.parametrize("held", [b"\xc8", 200, -56, np.int8(-56)])
def test_a_byte_is_a_number_without_a_sign_whichever_library_read_it(held: Any) -> None:
    assert read("octet", octet=held) == read("octets[0]", octets=[held]) == 200
    assert read("octets[1]", octets=bytes([1, 49])) == 49  # not the digit that it is the code of


@pytest.mark.parametrize("component", "xyzw")
def test_a_rotation_reads_the_same_whatever_its_sign(component: str) -> None:
    plain, negated = (0.5, -0.1, 0.2, 0.8), (-0.5, 0.1, -0.2, -0.8)
    paths = [f"poses[{index}].orientation.{component}" for index in (0, 1)]
    assert read(paths[0], poses=[pose(0, *plain)]) == read(paths[0], poses=[pose(0, *negated)])
    assert read(paths[0], poses=[pose(0, *plain)]) == dict(zip("xyzw", plain, strict=True))[component]
    assert read("poses[0].orientation.w", poses=[pose(0, *negated)]) > 0
    x = compile_path("position.x", "x/msg/Pose", describe)
    assert x(pose(-3.0, *negated)) == -3.0  # a place has a sign


def test_all_numbers_are_float32_and_one_that_is_too_large_is_infinite() -> None:
    readers = [compile_path(path, "x/msg/Top", describe) for path in ("data[0]", "data[1]", "on")]
    found = read_all(readers, message(data=[1e300, 0.1], on=False))
    assert found.dtype == np.float32 and found.tolist() == [float("inf"), float(np.float32(0.1)), 0.0]


@pytest.mark.parametrize("field", ["class", "from", "None", "lambda"])
def test_a_field_that_is_a_word_of_python_is_read_as_libraries_hold_it(field: str) -> None:
    described = {"x/msg/T": {"part": FieldType("x/msg/Part")}, "x/msg/Part": {field: FieldType("float64")}}
    message = SimpleNamespace(part=SimpleNamespace(**{f"{field}_": 2.5}))
    assert compile_path(f"part.{field}", "x/msg/T", described.__getitem__)(message) == 2.5
