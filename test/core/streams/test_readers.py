"""What one message says of a state: by name, or at paths, and nothing that it does not say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_ros.core.errors import ConfigError
from hal_ros.core.streams import counts
from hal_ros.core.streams.paths import FieldType
from hal_ros.core.streams.readers import MOST_LAYOUTS, JointReader, Reading, make_reader
from hal_ros.core.streams.spec import JOINT_FIELDS, JOINT_STATE, StateSpec

NAN = float("nan")
SPEC = StateSpec(names=("shoulder", "elbow", "gripper"))
VALUES = {"shoulder": 1.0, "elbow": 2.0, "gripper": 3.0, "wheel": 9.0, "fan": 8.0}


def message(names: list[str], position: Any = (), velocity: Any = (), effort: Any = ()) -> SimpleNamespace:
    return SimpleNamespace(
        name=names, position=np.array(position, float), velocity=np.array(velocity, float), effort=np.array(effort)
    )


def read(names: list[str], *fields: Any, spec: StateSpec = SPEC) -> Reading:
    found = JointReader(spec).read(message(names, *fields))
    assert isinstance(found, Reading)
    return found


def said(found: Reading) -> list[bool]:
    return [True] * len(found.values) if found.present is None else found.present.tolist()


@given(st.permutations([*SPEC.names, "wheel"]))
def test_the_order_in_the_message_does_not_matter(names: list[str]) -> None:
    found = read(names, [VALUES[n] for n in names], [-VALUES[n] for n in names], [])
    np.testing.assert_array_equal(found.values[:6], [1, 2, 3, -1, -2, -3])
    assert np.isnan(found.values[6:]).all()
    assert said(found) == [True] * 6 + [False] * 3


@given(
    st.lists(st.sampled_from(list(VALUES)), min_size=1, unique=True),
    st.lists(st.integers(0, 6), min_size=3, max_size=3),
    st.permutations(JOINT_FIELDS),
)
def test_a_message_speaks_of_the_names_and_fields_that_it_fills(
    names: list[str], lengths: list[int], fields: list[str]
) -> None:
    """Also where a field is shorter or longer than the names."""
    spec = StateSpec(names=SPEC.names, fields=tuple(fields))
    given_fields = {f: [10 * i + k for k in range(lengths[i])] for i, f in enumerate(JOINT_FIELDS)}
    found = JointReader(spec).read(message(names, *given_fields.values()))
    if not set(names) & set(SPEC.names):
        assert found == counts.UNNAMED
        return
    assert isinstance(found, Reading)
    expected = [
        given_fields[field][names.index(name)]
        if name in names and names.index(name) < len(given_fields[field])
        else None
        for field in fields
        for name in SPEC.names
    ]
    assert said(found) == [value is not None for value in expected]
    assert [None if np.isnan(value) else value for value in found.values.tolist()] == expected


def test_absent_joints_short_fields_and_nan_are_not_zero() -> None:
    found = read(["gripper", "shoulder"], [NAN, 5.0], [4.0], [])
    np.testing.assert_array_equal(found.values, [5, NAN, NAN, NAN, NAN, 4, NAN, NAN, NAN])
    assert said(found) == [True, False, True, False, False, True, False, False, False]  # NaN is a word, too


def test_infinite_numbers_and_those_too_large_are_told_as_such() -> None:
    found = read(["elbow"], [float("inf")], [-1e300], [1e-300])
    np.testing.assert_array_equal(found.values[1::3], [np.inf, -np.inf, 0])


def test_a_message_that_names_nothing_known_is_refused() -> None:
    assert JointReader(SPEC).read(message(["wheel_left", "wheel_right"], [0, 0])) == counts.UNNAMED
    assert JointReader(SPEC).read(message([], [1, 2, 3])) == counts.UNNAMED


def test_a_message_that_names_a_joint_twice_is_refused() -> None:
    reader = JointReader(SPEC)
    assert reader.read(message(["elbow", "shoulder", "elbow"], [1, 2, 3])) == counts.REFUSED
    assert isinstance(reader.read(message(["wheel", "shoulder", "wheel"], [1, 2, 3])), Reading)  # not ours to judge


def test_a_message_with_all_is_told_from_one_with_some() -> None:
    names = list(SPEC.names)
    assert read(names, [1, 2, 3], [1, 2, 3], [1, 2, 3]).present is None
    assert read(names, [1, 2, 3], spec=StateSpec(names=SPEC.names, fields=("position",))).present is None
    assert read(names, [1, 2, 3]).present is not None


def test_one_reader_reads_messages_of_all_forms_in_turn() -> None:
    reader = JointReader(SPEC)
    forms = [
        (["shoulder"], [1]),
        (["elbow", "gripper"], [2, 3]),
        (["elbow", "gripper"], [2]),
        (list(SPEC.names), [1, 2, 3]),
    ]
    for names, position in forms * 3:
        again = reader.read(message(names, position))
        assert isinstance(again, Reading)
        fresh = read(names, position)
        np.testing.assert_array_equal(again.values, fresh.values)
        assert said(again) == said(fresh)


def test_what_is_remembered_of_forms_is_bounded() -> None:
    reader = JointReader(SPEC)
    for i in range(5 * MOST_LAYOUTS):
        reader.read(message(["elbow", *(f"other_{k}" for k in range(i))], np.ones(i % 90)))
        reader.read(message([*(f"other_{k}" for k in range(200)), "elbow"], np.ones(i)))
    assert len(reader._layouts) <= MOST_LAYOUTS
    assert all(len(one._present) <= MOST_LAYOUTS for one in reader._layouts.values() if not isinstance(one, str))


def test_what_was_read_does_not_change_with_the_next_message() -> None:
    reader = JointReader(SPEC)
    names, one = list(SPEC.names), message(list(SPEC.names), [1, 2, 3], [4, 5, 6], [7, 8, 9])
    first = reader.read(one)
    one.position[:] = 0  # a library may read into the same memory again
    reader.read(message(names, [0, 0, 0], [0, 0, 0], [0, 0, 0]))
    assert isinstance(first, Reading) and first.values.tolist() == list(range(1, 10))


def describe(type_name: str) -> dict[str, FieldType]:
    assert type_name == "x/msg/Gauge"
    return {"value": FieldType("float64"), "rows": FieldType("int32", -1)}


def test_paths_read_every_number_of_a_message() -> None:
    reader = make_reader(StateSpec(fields=("rows[1]", "value")), "x/msg/Gauge", describe)
    found = reader.read(SimpleNamespace(value=2.5, rows=[3]))
    assert isinstance(found, Reading) and found.present is None
    np.testing.assert_array_equal(found.values, [NAN, 2.5])


@pytest.mark.parametrize(
    ("spec", "type_name", "says"),
    [
        (SPEC, "geometry_msgs/msg/Wrench", f"carries geometry_msgs/msg/Wrench; expected {JOINT_STATE}"),
        (StateSpec(type="x/msg/Gauge", fields=("value",)), "x/msg/Other", "carries x/msg/Other; expected x/msg/Gauge"),
        (StateSpec(fields=("level",)), "x/msg/Gauge", "x/msg/Gauge has no field 'level'; expected one of value, rows"),
    ],
)
def test_a_topic_of_another_type_is_refused_in_one_line(spec: StateSpec, type_name: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        make_reader(spec, type_name, describe)
    assert says in str(refused.value) and "\n" not in str(refused.value)
