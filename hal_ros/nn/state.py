"""What a stream carries from tick to tick, and the same as the flat list of named tensors that the step graph takes.

Shapes: B streams, V state values, d width. All zeros are a stream that has seen nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class StateShape(NamedTuple):
    """What the architecture carries; see `nn.hal.HalConfig`."""

    width: int  # d
    lookback: tuple[int, ...]  # of each attention layer; none in a trunk that only recurs
    recurrent_layers: int  # each with one hidden vector
    past_ticks: int  # state values of so many ticks, for their differences
    joint_values: int  # V
    clock: int = 0  # n, where the context changes at every n-th tick; 0 where it does at each


class State(NamedTuple):
    """The tensors. Those that an architecture does not have are empty tuples."""

    keys: tuple[Tensor, ...]  # per attention layer (B, look-back - 1, d), oldest first
    values: tuple[Tensor, ...]  # likewise
    valid: Tensor  # (B, longest look-back - 1, at least 1): 1 where a tick was
    context: Tensor  # (B, d): c of the last tick
    hidden: tuple[Tensor, ...] = ()  # per recurrent layer (B, d)
    past: tuple[Tensor, ...] = ()  # at most one (B, n, 2V): state values, 0 where invalid, and their flags
    clock: tuple[Tensor, ...] = ()  # at most one (B, n): see `nn.recurrence.due_ticks`

    def detached(self) -> State:
        """Return the same numbers without their history of gradients."""
        return self._each(Tensor.detach)

    def where_kept(self, kept: Tensor) -> State:
        """Return the state with the streams whose `kept` (B,) is 0 reset to the initial one."""
        return self._each(lambda x: x * kept.reshape(-1, *(1 for _ in x.shape[1:])))

    def _each(self, change: Callable[[Tensor], Tensor]) -> State:
        keys, values, hidden, past, clock = (
            tuple(map(change, part)) for part in (self.keys, self.values, self.hidden, self.past, self.clock)
        )
        return State(keys, values, change(self.valid), change(self.context), hidden, past, clock)


def initial_state(shape: StateShape, batch: int = 1) -> State:
    """Return the state of `batch` streams that have seen nothing."""
    d = shape.width
    keys, values = (tuple(torch.zeros(batch, ticks - 1, d) for ticks in shape.lookback) for _ in range(2))
    valid = torch.zeros(batch, max((2, *shape.lookback)) - 1)
    hidden = tuple(torch.zeros(batch, d) for _ in range(shape.recurrent_layers))
    past = (torch.zeros(batch, shape.past_ticks, 2 * shape.joint_values),) if shape.past_ticks else ()
    clock = (torch.zeros(batch, shape.clock),) if shape.clock else ()
    return State(keys, values, valid, torch.zeros(batch, d), hidden, past, clock)


def state_names(shape: StateShape) -> list[str]:
    """Return the names of the state tensors in the order of `flatten_state`."""
    caches = [f"state_{kind}_{layer}" for layer in range(len(shape.lookback)) for kind in ("key", "value")]
    hidden = [f"state_hidden_{layer}" for layer in range(shape.recurrent_layers)]
    single = [name for name, count in (("state_past", shape.past_ticks), ("state_clock", shape.clock)) if count]
    return [*caches, *hidden, *single, "state_valid", "state_context"]


def flatten_state(state: State) -> list[Tensor]:
    """Return key and value per attention layer, each recurrent layer's vector, past values, clock, valid, context."""
    caches = [tensor for pair in zip(state.keys, state.values, strict=True) for tensor in pair]
    return [*caches, *state.hidden, *state.past, *state.clock, state.valid, state.context]


def unflatten_state(tensors: list[Tensor], shape: StateShape) -> State:
    """Undo `flatten_state`."""
    caches, hidden = 2 * len(shape.lookback), shape.recurrent_layers
    keys, values, rest = tensors[0:caches:2], tensors[1:caches:2], tensors[caches:-2]
    past = hidden + (1 if shape.past_ticks else 0)
    parts = tuple(rest[:hidden]), tuple(rest[hidden:past]), tuple(rest[past:])
    return State(tuple(keys), tuple(values), tensors[-2], tensors[-1], *parts)
