"""What every runtime needs to know of a stream: the inputs and states of a step graph, ring order, whose turn it is.

The step graph's contract. It takes what the card names: without cameras neither feature nor image_valid, without
states neither joints nor joints_valid, since graphs have no empty tensors. A state `state_X` goes in and comes out as
`next_X`. In a graph of caches "delta" the keys and values are rings instead: `state_key_i` is only read, the graph
gives the one new row `new_key_i`, and the host writes it into slot tick mod n of the n slots; `order_i` tells the graph
which column each slot stands for.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.card import ModelCard
from hal_ros.core.errors import BackendError
from hal_ros.core.step import StepInput

OUTPUTS = ("log_probs", "lagged_log_probs", "boundary")
STATE, NEXT, NEW, ORDER = "state_", "next_", "new_", "order_"
RINGS = ("state_key_", "state_value_")

Shape = tuple[int, ...]
Buffers = TypeVar("Buffers")


@dataclass(frozen=True)
class Carried:
    """A state that the step replaces as a whole."""

    name: str  # state_X
    output: str  # next_X
    shape: Shape


@dataclass(frozen=True)
class Ring:
    """A state whose oldest slot the host overwrites with the step's one new row."""

    name: str  # state_key_i or state_value_i
    output: str  # new_key_i or new_value_i
    shape: Shape  # (1, n, d)
    order: str  # order_i

    @property
    def slots(self) -> int:
        """How many ticks the ring holds."""
        return self.shape[1]


@dataclass(frozen=True)
class StateLayout:
    """The states of one step graph, in the graph's own order."""

    carried: tuple[Carried, ...]
    rings: tuple[Ring, ...]

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of all outputs: OUTPUTS, then those of the carried states, then those of the rings."""
        return (*OUTPUTS, *(state.output for state in self.carried), *(ring.output for ring in self.rings))

    @property
    def orders(self) -> dict[str, int]:
        """How many slots each `order_i` input speaks of."""
        return {ring.order: ring.slots for ring in self.rings}

    @property
    def states(self) -> dict[str, Shape]:
        """Names and shapes of all state inputs; zeros in all of them are a stream that has seen nothing."""
        return {s.name: s.shape for s in self.carried} | {r.name: r.shape for r in self.rings}


def input_names(cameras: int, values: int) -> tuple[str, ...]:
    """Return what a step graph takes each tick beside its state, for so many cameras and values of all states."""
    seen, felt = ("feature", "image_valid"), ("joints", "joints_valid")
    return (*(seen if cameras else ()), *(felt if values else ()))


def input_shapes(card: ModelCard) -> dict[str, Shape]:
    """Return the shapes of these inputs, as a card says them."""
    cameras, values = len(card.streams.cameras), card.streams.value_count
    sizes = {"feature": cameras * card.feature_dim, "image_valid": cameras, "joints": values, "joints_valid": values}
    return {name: (1, sizes[name]) for name in input_names(cameras, values)}


def fill(arrays: Mapping[str, NDArray[Any]], names: Iterable[str], inputs: StepInput) -> None:
    """Write one tick's inputs into arrays (1, ...); raises BackendError for a length that is not the graph's."""
    for name in names:
        value, target = getattr(inputs, name), arrays[name]
        if np.shape(value) != target.shape[1:]:  # NumPy would spread a single value over all cameras
            raise BackendError(f"{name} is {list(np.shape(value))}; expected {list(target.shape[1:])}")
        target[0] = value


def layout(inputs: Mapping[str, Shape], outputs: Mapping[str, Shape], card: ModelCard, source: str) -> StateLayout:
    """Read the states off a step graph's input and output shapes.

    The card says what the graph takes and which caches it has; `source` names the graph in errors. Raises BackendError
    for a missing or surplus tensor, and for one whose shape does not fit the card or its partner.
    """
    caches = card.caches
    for name, shape in {**input_shapes(card), "log_probs": (1, len(card.vocabulary))}.items():
        actual = inputs.get(name, outputs.get(name))
        if actual is None or tuple(actual) != shape:
            shown = actual if actual is None else list(actual)
            raise BackendError(f"{source}: {name} is {shown}; the card says {list(shape)}")
    carried, rings = [], []
    for name, shape in inputs.items():
        if caches == "delta" and name.startswith(RINGS):
            rings.append(Ring(name, name.replace(STATE, NEW, 1), shape, ORDER + name.rpartition("_")[2]))
        elif name.startswith(STATE):
            carried.append(Carried(name, name.replace(STATE, NEXT, 1), shape))
    found = StateLayout(tuple(carried), tuple(rings))
    needed = {*input_shapes(card), *found.states, *found.orders}
    if surplus := sorted(set(inputs) - needed):
        raise BackendError(
            f"{source}: takes {surplus}, which the card's inputs and caches {caches!r} do not have; "
            f"expected {sorted(needed)}"
        )
    if missing := sorted(needed - set(inputs)):
        raise BackendError(f"{source}: lacks the inputs {missing}; expected those of caches {caches!r}")
    if missing := [name for name in found.outputs if name not in outputs]:
        raise BackendError(f"{source}: lacks the outputs {missing}; expected those of caches {caches!r}")
    _check_shapes(found, inputs, outputs, source)
    return found


def _check_shapes(found: StateLayout, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape], source: str) -> None:
    expected = {state.output: state.shape for state in found.carried}
    for ring in found.rings:
        if len(ring.shape) != 3 or ring.slots < 1:
            raise BackendError(f"{source}: {ring.name} is {list(ring.shape)}; expected (1, slots, width), slots >= 1")
        expected[ring.output] = (ring.shape[0], 1, ring.shape[2])
        expected[ring.order] = (ring.slots,)
    for name, shape in expected.items():
        actual = tuple(outputs[name] if name in outputs else inputs[name])
        if actual != shape:
            raise BackendError(f"{source}: {name} is {list(actual)}; expected {list(shape)}")


def ring_slot(tick: int, slots: int) -> int:
    """Return the slot that the row of tick `tick` (0 is the stream's first) goes into: that of the oldest row."""
    return tick % slots


def ring_order(tick: int, slots: int) -> NDArray[np.int32]:
    """Return (slots,): for each slot the column it stands for before tick `tick`, 0 oldest to slots - 1 newest.

    The array is read-only: it is a part of a table that all ticks share.
    """
    start = -tick % slots
    return _twice(slots)[start : start + slots]


@functools.cache
def _twice(slots: int) -> NDArray[np.int32]:
    table = np.tile(np.arange(slots, dtype=np.int32), 2)
    table.setflags(write=False)
    return table


class Turn(Generic[Buffers]):
    """A state that can be stepped once: `buffers` are the stream's own and change under the next step.

    `tick` is how many ticks the stream has seen. A step takes the turn and passes on the following one; when it fails
    between the two, the stream is lost, as its buffers may be half written.
    """

    def __init__(self, owner: object, buffers: Buffers, tick: int = 0) -> None:
        """Hand `buffers` to whoever steps next; only `owner` can take them back."""
        self.tick = tick
        self._owner = owner
        self._buffers: Buffers | None = buffers

    def take(self, owner: object) -> Buffers:
        """Return the buffers and use the turn up. Raises BackendError for a used-up or foreign state."""
        name = getattr(owner, "name", type(owner).__name__)
        if self._owner is not owner:
            raise BackendError(f"{name}: the state of tick {self.tick} is another back end's; expected an own one")
        if self._buffers is None:
            raise BackendError(
                f"{name}: the state of tick {self.tick} is used up; expected the one that the last step returned"
            )
        buffers, self._buffers = self._buffers, None
        return buffers

    def following(self, buffers: Buffers) -> Turn[Buffers]:
        """Return the turn of the next tick."""
        return Turn(self._owner, buffers, self.tick + 1)
