"""Online decoding: from the log-probabilities of a tick to one action, with a state that the caller holds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hal_ros.core.errors import ConfigError
from hal_ros.core.types import NO_ACTION, DecoderSpec, FloatArray


class DecoderState(NamedTuple):
    """The action in force, the smoothed probabilities (K,), and how long a challenger has been ahead."""

    action: int
    probabilities: FloatArray | None
    challenger: int
    challenger_ticks: int


INITIAL = DecoderState(NO_ACTION, None, NO_ACTION, 0)
"""The state of a decoder that has seen nothing."""

KINDS = ("argmax", "hysteresis")


def step(log_probs: FloatArray, state: DecoderState, spec: DecoderSpec) -> tuple[int, float, DecoderState]:
    """Return (action, its probability, next state) for log_probs (K,).

    `argmax` takes the most probable action of this tick. `hysteresis` smooths the probabilities exponentially and
    changes the action only once another one has been the most probable, with at least `enter_probability`, for
    `hold_ticks` ticks in a row. Raises ConfigError for another kind.
    """
    probabilities = np.exp(log_probs)
    if spec.kind == "argmax":
        action = int(probabilities.argmax())
        return action, float(probabilities[action]), state
    if spec.kind != "hysteresis":
        raise ConfigError(f"decoder {spec.kind!r} is unknown; expected one of {', '.join(KINDS)}")
    return _hysteresis(probabilities, state, spec)


def _hysteresis(probabilities: FloatArray, state: DecoderState, spec: DecoderSpec) -> tuple[int, float, DecoderState]:
    if state.probabilities is not None:
        kept = np.float32(spec.smoothing)
        probabilities = kept * state.probabilities + (1 - kept) * probabilities
    top = int(probabilities.argmax())
    action, challenger, ticks = state.action, NO_ACTION, 0
    if action == NO_ACTION:
        action = top
    elif top != action and probabilities[top] >= spec.enter_probability:
        challenger, ticks = top, 1 + (state.challenger_ticks if top == state.challenger else 0)
        if ticks >= spec.hold_ticks:
            action, challenger, ticks = top, NO_ACTION, 0
    confidence = float(probabilities[action])
    return action, confidence, DecoderState(action, probabilities, challenger, ticks)
