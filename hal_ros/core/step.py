"""The step graph's contract: what goes into one tick, what comes out, and who runs it.

Dims: C cameras, D feature of one picture, F = C * D, V values of all states, K actions, S image side.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from hal_ros.core.arrays import ByteArray, FloatArray


class StepInput(NamedTuple):
    """One tick's input to the step graph. Values under a zero flag are ignored by the graph.

    Without cameras the first two are empty, without states the last two.
    """

    feature: FloatArray  # (F,) D for each camera, in the card's order
    image_valid: FloatArray  # (C,) 0 or 1
    joints: FloatArray  # (V,) of all states, joints or not; finite
    joints_valid: FloatArray  # (V,) 0 or 1


class StepOutput(NamedTuple):
    """One tick's output of the step graph."""

    log_probs: FloatArray  # (K,) of this tick
    lagged_log_probs: FloatArray  # (K,) of lag_ticks earlier
    boundary: float  # gate g_t in [0, 1]


class Stepping(Protocol):
    """Runs a step graph. The temporal state of a stream is a value that the caller holds."""

    name: str

    def initial_state(self) -> Any:
        """Return the state of a stream that has seen nothing; each call begins a stream of its own."""
        ...

    def step(self, inputs: StepInput, state: Any) -> tuple[StepOutput, Any]:
        """Advance the stream by one tick; returns what the graph says and the state that follows.

        A step may use up the state it is given, since its buffers may become those of the state it returns: only the
        returned state may be stepped next. Raises BackendError for a state that was used up, where that is known.
        """
        ...


class Backend(Stepping, Protocol):
    """Runs a bundle's two graphs."""

    def encode(self, image: ByteArray) -> FloatArray:
        """Return the feature (D,) of one picture (S, S, 3) uint8, which stays as it is when the next one is encoded.

        All cameras share the encoder. Raises BackendError for a bundle without cameras.
        """
        ...
