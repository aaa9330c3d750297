"""States of a step graph: whole ones, rings with their order, and states that can be stepped once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fakes import make_card, make_streams
from hal_ros.core.errors import BackendError
from hal_ros.runtime.step_state import Turn, input_names, input_shapes, layout, ring_order, ring_slot
from memory_bundle import streams_of

INPUTS = {"feature": (1, 3), "image_valid": (1, 1), "joints": (1, 6), "joints_valid": (1, 6)}
OUTPUTS = {"log_probs": (1, 3), "lagged_log_probs": (1, 3), "boundary": (1, 1)}
SHIFT_INPUTS = {**INPUTS, "state_key_0": (1, 4, 8), "state_value_0": (1, 4, 8), "state_valid": (1, 4)}
SHIFT_OUTPUTS = {**OUTPUTS, "next_key_0": (1, 4, 8), "next_value_0": (1, 4, 8), "next_valid": (1, 4)}
DELTA_INPUTS = {**SHIFT_INPUTS, "order_0": (4,)}
DELTA_OUTPUTS = {**OUTPUTS, "new_key_0": (1, 1, 8), "new_value_0": (1, 1, 8), "next_valid": (1, 4)}


def test_shifting_caches_are_all_carried() -> None:
    found = layout(SHIFT_INPUTS, SHIFT_OUTPUTS, make_card(), "step.onnx")
    assert [(s.name, s.output) for s in found.carried] == [
        ("state_key_0", "next_key_0"),
        ("state_value_0", "next_value_0"),
        ("state_valid", "next_valid"),
    ]
    assert found.rings == () and found.orders == {}
    assert set(found.outputs) == set(SHIFT_OUTPUTS)


def test_caches_of_deltas_are_rings_and_the_rest_is_carried() -> None:
    found = layout(DELTA_INPUTS, DELTA_OUTPUTS, make_card(caches="delta"), "step.onnx")
    assert [(r.name, r.output, r.slots, r.order) for r in found.rings] == [
        ("state_key_0", "new_key_0", 4, "order_0"),
        ("state_value_0", "new_value_0", 4, "order_0"),
    ]
    assert [s.name for s in found.carried] == ["state_valid"]
    assert set(found.outputs) == set(DELTA_OUTPUTS) and found.states == dict(list(SHIFT_INPUTS.items())[4:])


@pytest.mark.parametrize(
    ("inputs", "outputs", "caches", "says"),
    [
        (
            DELTA_INPUTS,
            DELTA_OUTPUTS,
            "shift",
            r"takes \['order_0'\], which the card's inputs and caches",
        ),
        (SHIFT_INPUTS, SHIFT_OUTPUTS, "delta", r"lacks the inputs \['order_0'\]"),
        ({**SHIFT_INPUTS, "mask": (1,)}, SHIFT_OUTPUTS, "shift", r"takes \['mask'\]"),
        (DELTA_INPUTS, SHIFT_OUTPUTS, "delta", r"lacks the outputs \['new_key_0', 'new_value_0'\]"),
        (SHIFT_INPUTS, {**SHIFT_OUTPUTS, "next_valid": (1, 5)}, "shift", r"next_valid is \[1, 5\]; expected \[1, 4\]"),
        (
            DELTA_INPUTS,
            {**DELTA_OUTPUTS, "new_key_0": (1, 2, 8)},
            "delta",
            r"new_key_0 is \[1, 2, 8\]; expected \[1, 1",
        ),
        ({**DELTA_INPUTS, "order_0": (5,)}, DELTA_OUTPUTS, "delta", r"order_0 is \[5\]; expected \[4\]"),
        ({**DELTA_INPUTS, "state_key_0": (1, 0, 8)}, DELTA_OUTPUTS, "delta", r"state_key_0 is \[1, 0, 8\]; expected"),
    ],
)
def test_a_graph_that_breaks_the_contract_is_refused(inputs: Any, outputs: Any, caches: str, says: str) -> None:
    with pytest.raises(BackendError, match=f"^step.onnx: {says}"):
        layout(inputs, outputs, make_card(caches=caches), "step.onnx")


@pytest.mark.parametrize(
    ("cameras", "values", "names"),
    [
        (1, 6, ("feature", "image_valid", "joints", "joints_valid")),
        (2, 9, ("feature", "image_valid", "joints", "joints_valid")),
        (2, 0, ("feature", "image_valid")),
        (0, 9, ("joints", "joints_valid")),
    ],
)
def test_a_graph_takes_what_is_there(cameras: int, values: int, names: tuple[str, ...]) -> None:
    assert input_names(cameras, values) == names


def test_the_shapes_are_the_cards() -> None:
    card = make_card(streams=streams_of(2))
    assert input_shapes(card) == {"feature": (1, 6), "image_valid": (1, 2), "joints": (1, 6), "joints_valid": (1, 6)}
    blind = make_card(streams=streams_of(0), encoder=None)
    assert input_shapes(blind) == {"joints": (1, 6), "joints_valid": (1, 6)}
    assert input_shapes(make_card(streams=make_streams(joints=None))) == {"feature": (1, 3), "image_valid": (1, 1)}


@pytest.mark.parametrize("slots", [1, 2, 7])
def test_a_ring_read_in_its_order_is_the_shifted_cache(slots: int) -> None:
    ring = np.full(slots, -1)
    shifted: np.ndarray = np.full(slots, -1)  # oldest first
    for tick in range(3 * slots + 1):
        columns = np.empty_like(ring)
        columns[ring_order(tick, slots)] = ring
        np.testing.assert_array_equal(columns, shifted)
        ring[ring_slot(tick, slots)] = tick
        shifted = np.append(shifted[1:], tick)


def test_an_order_of_another_tick_is_noticed() -> None:
    ring = np.arange(4)
    columns = np.empty_like(ring)
    columns[ring_order(5, 4)] = ring
    assert columns.tolist() != [0, 1, 2, 3]


class Owner:
    """What has states, and a name for errors."""

    name = "fake"


def test_a_turn_is_taken_once_and_passed_on() -> None:
    owner = Owner()
    first = Turn(owner, ["buffers"])
    second = first.following(first.take(owner))
    assert second.tick == 1
    with pytest.raises(BackendError, match=r"^fake: the state of tick 0 is used up; expected the one that the last"):
        first.take(owner)
    assert second.take(owner) == ["buffers"]


def test_a_turn_of_another_back_end_is_refused_and_keeps_its_buffers() -> None:
    owner = Owner()
    turn = Turn(owner, ["buffers"])
    with pytest.raises(BackendError, match="another back end's"):
        turn.take(Owner())
    assert turn.take(owner) == ["buffers"]
