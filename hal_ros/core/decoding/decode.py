"""Online decoding: from the log-probabilities of a tick to one action, with a state that the caller holds.

`Decoder` makes its tables once; its state is a value. Three kinds:

- `argmax` takes the most probable action of each tick; nothing is remembered.
- `hysteresis` smooths the probabilities exponentially and changes the action only once another one has been the most
  probable, with at least `enter_probability`, for `hold_ticks` ticks in a row.
- `duration` filters over (action, age) with learned durations and order (`duration_filter` beside), and changes the
  action only to one whose filtered probability is at least `commit_probability`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.arrays import FloatArray
from hal_ros.core.card import DecoderSpec
from hal_ros.core.decoding.duration_filter import DurationFilter, marginals
from hal_ros.core.errors import ConfigError

KINDS = ("argmax", "hysteresis", "duration")
NO_EVIDENCE = float("nan")
"""The boundary value of a system that has no boundary head."""


@dataclass(frozen=True)
class DecoderState:
    """The action in force; what else is remembered depends on the kind."""

    action: int
    memory: NDArray[Any] | None  # hysteresis: smoothed probabilities (K,); duration: belief (K, A)
    challenger: int = NO_ACTION  # hysteresis: who is ahead of the action in force, and for how long
    challenger_ticks: int = 0


INITIAL = DecoderState(NO_ACTION, None)
"""The state of any decoder that has seen nothing."""


class Decision(NamedTuple):
    """One tick's action, and its probability under the decoder.

    That is the tick's own for argmax, the smoothed one for hysteresis, the filtered one for duration. It may lie below
    one half: an action stays in force until another one has earned its place.
    """

    action: int
    confidence: float


class Decoder:
    """One spec, ready to step."""

    def __init__(self, spec: DecoderSpec) -> None:
        """Make the tables. Raises ConfigError for an unknown kind, or for `duration` without priors."""
        if spec.kind not in KINDS:
            raise ConfigError(f"decoder {spec.kind!r} is unknown; expected one of {', '.join(KINDS)}")
        if spec.kind == "duration" and spec.priors is None:
            raise ConfigError("decoder 'duration' has no priors; expected those that training fitted")
        self.spec = spec
        self._filter = DurationFilter(spec, spec.priors) if spec.kind == "duration" and spec.priors else None

    def step(
        self, log_probs: FloatArray, state: DecoderState, boundary: float = NO_EVIDENCE
    ) -> tuple[Decision, DecoderState]:
        """Return the decision and the next state for log_probs (K,) of one tick.

        `boundary` in [0, 1] is what the boundary head says of a change at this same tick; see `aligned`.
        """
        if self._filter is not None:
            return self._duration(self._filter, log_probs, boundary, state)
        probabilities = np.exp(log_probs)
        if self.spec.kind == "argmax":
            action = int(probabilities.argmax())
            return Decision(action, float(probabilities[action])), state
        return self._hysteresis(probabilities, state)

    def _duration(
        self, filter_: DurationFilter, log_probs: FloatArray, boundary: float, state: DecoderState
    ) -> tuple[Decision, DecoderState]:
        belief = filter_.step(log_probs, boundary, state.memory)
        decision = commit(marginals(belief), state.action, self.spec.commit_probability)
        return decision, DecoderState(decision.action, belief)

    def _hysteresis(self, probabilities: FloatArray, state: DecoderState) -> tuple[Decision, DecoderState]:
        spec = self.spec
        if state.memory is not None:
            kept = np.float32(spec.smoothing)
            probabilities = kept * state.memory + (1 - kept) * probabilities
        top = int(probabilities.argmax())
        action, challenger, ticks = state.action, NO_ACTION, 0
        if action == NO_ACTION:
            action = top
        elif top != action and probabilities[top] >= spec.enter_probability:
            challenger, ticks = top, 1 + (state.challenger_ticks if top == state.challenger else 0)
            if ticks >= spec.hold_ticks:
                action, challenger, ticks = top, NO_ACTION, 0
        decision = Decision(action, float(probabilities[action]))
        return decision, DecoderState(action, probabilities, challenger, ticks)


def commit(probabilities: NDArray[np.floating], action: int, threshold: float) -> Decision:
    """Return the action after looking at probabilities (K,): another one only if it is the most probable and earns it.

    The first decision needs no threshold.
    """
    top = int(probabilities.argmax())
    if action == NO_ACTION or probabilities[top] >= threshold:
        action = top
    return Decision(action, float(probabilities[action]))


def decode(decoder: Decoder, log_probs: FloatArray, boundary: Iterable[float] | None = None) -> NDArray[np.int64]:
    """Return the actions (T,) of log-probabilities (T, K), stepped from the initial state.

    `boundary` (T,) speaks of the same ticks; None where there is no boundary head.
    """
    state, actions = INITIAL, np.empty(len(log_probs), np.int64)
    values = boundary if boundary is not None else np.full(len(log_probs), NO_EVIDENCE)
    for tick, (row, value) in enumerate(zip(log_probs, values, strict=True)):
        decision, state = decoder.step(row, state, float(value))
        actions[tick] = decision.action
    return actions


def aligned(
    spec: DecoderSpec, lagged_log_probs: FloatArray, boundary: FloatArray, lag_ticks: int
) -> tuple[FloatArray, FloatArray]:
    """Return the log-probabilities (T - lag, K) and boundary values (T - lag,) that speak of ticks 0..T - lag - 1.

    Row t of the lagged log-probabilities speaks of tick t - lag. The boundary head, which has no lag, tells of a change
    at tick s in row s + boundary_delay_ticks; at most lag_ticks, so that nothing newer than the confirmed answer's own
    row is looked at.
    """
    delay = spec.boundary_delay_ticks
    return lagged_log_probs[lag_ticks:], boundary[delay : max(len(boundary) - lag_ticks + delay, delay)]
