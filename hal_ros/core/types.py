"""The values that cross borders between packages: frozen, without behaviour.

Dims: T ticks, K actions, D feature, J joints, L lag, S image side. Times are the sensor's, in integer nanoseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
ByteArray = NDArray[np.uint8]

NO_ACTION = 65535
"""The label id of 'no action': before the first segment and after the last one (uint16 maximum in the messages)."""


# --- what a bundle says of itself -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ImageSpec:
    """The picture that the encoder takes: the centre square of the camera image, resized to (S, S, 3) uint8 RGB.

    `dtype` is what the encoder's graph takes, "uint8" or "float32": TensorRT 8.6 has no uint8 input, so that the host
    casts. The values stay 0..255 either way, and callers of a back end always give uint8.
    """

    size_px: int
    dtype: str = "uint8"


@dataclass(frozen=True)
class JointSpec:
    """The joints that the model takes, in the order of its inputs; a sample older than max_age_s is not used."""

    names: tuple[str, ...]
    max_age_s: float


@dataclass(frozen=True)
class Priors:
    """What is known of a task before it is watched: how long actions last and which follows which. K actions.

    Durations are gamma distributions in ticks. `transitions[i][j]` is P(next is j | i ended); rows sum to 1, an action
    never follows itself, and nothing else is impossible: an order never seen has a small probability, never none.
    """

    initial: tuple[float, ...]  # (K,) of the first action
    transitions: tuple[tuple[float, ...], ...]  # (K, K)
    duration_mean_ticks: tuple[float, ...]  # (K,)
    duration_shape: tuple[float, ...]  # (K,) gamma shape: 1 / (squared coefficient of variation)
    max_age_ticks: int = 160  # A, ages that are told apart; an action may last longer
    min_age_ticks: int = 1  # no action ends sooner, but for a small probability


@dataclass(frozen=True)
class DecoderSpec:
    """How confirmed log-probabilities become one action per tick; see `core.decode`.

    The first group of fields is read by `hysteresis`, the second by `duration`; `argmax` reads none.
    """

    kind: str = "hysteresis"

    enter_probability: float = 0.5
    hold_ticks: int = 2
    smoothing: float = 0.5

    temper: float = (
        0.25  # exponent of each tick's probabilities: noise is correlated, ticks are no independent witnesses
    )
    commit_probability: float = 0.6  # the answer changes only to an action that is at least so probable
    boundary_gain: float = 0.0  # log-odds of a change per log-odds of the boundary head; 0 ignores it
    boundary_offset: float = 0.0  # log-odds of a change when the boundary head says 0.5
    boundary_delay_ticks: int = 0  # the boundary head speaks so many ticks after the change; at most the card's lag
    priors: Priors | None = None


@dataclass(frozen=True)
class ModelCard:
    """What is true of one bundle's weights. `files` maps each file's name to its SHA-256 in hexadecimal."""

    name: str
    vocabulary: tuple[str, ...]  # K actions in id order
    image: ImageSpec | None
    joints: JointSpec | None
    rate_hz: float  # ticks per second of the model's time grid
    lag_ticks: int  # the confirmed answer at tick t speaks of tick t - lag_ticks
    max_held_ticks: int  # missing ticks that are bridged by holding the last input; a larger gap starts afresh
    feature_dim: int  # D, the encoder's output
    window_ticks: int  # what attention sees at most
    decoder: DecoderSpec
    supervision: str  # "annotations" or "transcripts"
    caches: str = "shift"  # or "delta": how the step graph takes its caches; see docs/adr/0005-caches.md
    target: str = "10"  # the oldest TensorRT whose parser the graphs were checked for
    trained_from: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def period_ns(self) -> int:
        """Nanoseconds between two ticks."""
        return round(1e9 / self.rate_hz)


# --- what goes into a step --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class JointSample:
    """Joint values in the card's joint order, (J,) float32 each; NaN where a value is absent."""

    stamp_ns: int
    position: FloatArray
    velocity: FloatArray
    effort: FloatArray


@dataclass(frozen=True)
class Observation:
    """What the sensors say at one tick. A new origin_ns means that a fresh grid, and so a fresh state, begins."""

    stamp_ns: int
    tick: int
    origin_ns: int
    image: ByteArray | None  # (S, S, 3) RGB
    joints: JointSample | None


class StepInput(NamedTuple):
    """One tick's input to the step graph. Values under a zero flag are ignored by the graph."""

    feature: FloatArray  # (D,)
    image_valid: float  # 0 or 1
    joints: FloatArray  # (3J,) position, velocity, effort; finite
    joints_valid: FloatArray  # (3J,) 0 or 1


class StepOutput(NamedTuple):
    """One tick's output of the step graph."""

    log_probs: FloatArray  # (K,) of this tick
    lagged_log_probs: FloatArray  # (K,) of lag_ticks earlier
    boundary: float  # gate g_t in [0, 1]


class Backend(Protocol):
    """Runs a bundle's two graphs. The temporal state of a stream is a value that the caller holds."""

    name: str

    def encode(self, image: ByteArray) -> FloatArray:
        """Return the feature (D,) of one picture (S, S, 3) uint8."""
        ...

    def initial_state(self) -> Any:
        """Return the state of a stream that has seen nothing; each call begins a stream of its own."""
        ...

    def step(self, inputs: StepInput, state: Any) -> tuple[StepOutput, Any]:
        """Advance the stream by one tick; returns what the graph says and the state that follows.

        A step may use up the state it is given, since its buffers may become those of the state it returns: only the
        returned state may be stepped next. Raises BackendError for a state that was used up, where that is known.
        """
        ...


# --- what comes out ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """Which action runs at stamp_ns. segment_id is 0 in a provisional answer: only confirmed ones form segments."""

    stamp_ns: int
    action: int
    confidence: float  # probability of `action`, 0..1
    log_probs: FloatArray  # (K,)
    segment_id: int = 0


@dataclass(frozen=True)
class ActionEstimate:
    """The answers that one processed tick gives; as_of_ns is the newest sensor time that went into them."""

    tick: int
    stamp_ns: int
    as_of_ns: int
    held_ticks: int
    provisional: Answer
    confirmed: Answer | None  # speaks of lag_ticks earlier; None while warming up


@dataclass(frozen=True)
class BoundaryEstimate:
    """One change of the confirmed sequence. At its start from_action, at its end to_action is NO_ACTION."""

    stamp_ns: int  # first tick of to_action; when to_action is NO_ACTION, the end of the ended segment
    detected_ns: int
    from_action: int
    to_action: int
    confidence: float  # of to_action at its first tick; of from_action at its last one when there is no to_action
    segment_id: int  # of the new segment; 0 when to_action is NO_ACTION
    duration_ns: int  # of the ended segment; 0 when from_action is NO_ACTION


@dataclass(frozen=True)
class Segment:
    """One action over [start_ns, end_ns)."""

    action: str
    start_ns: int
    end_ns: int
