"""What a bundle says of itself: what it takes, in which rhythm, and how its answers are decoded.

Dims: K actions, D feature, S image side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hal_ros.core.streams.spec import StreamSpec


@dataclass(frozen=True)
class EncoderSpec:
    """The frozen encoder that all cameras share: a picture (S, S, 3) goes in, a feature (D,) comes out.

    `dtype` is what the encoder's graph takes, "uint8" or "float32": TensorRT 8.6 has no uint8 input, so that the host
    casts. The values stay 0..255 either way, and callers of a back end always give uint8.
    """

    feature_dim: int  # D
    dtype: str = "uint8"
    source: str = "efficientnet-lite0"  # or "onnx:" and the SHA-256 of the user's own graph
    channels: int = 0  # of one cell of its map; 0 where that is not known


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
    """How confirmed log-probabilities become one action per tick; see `core.decoding.decode`.

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
    streams: StreamSpec
    encoder: EncoderSpec | None  # None for a model without cameras
    lag_ticks: int  # the confirmed answer at tick t speaks of tick t - lag_ticks
    window_ticks: int  # what attention sees at most
    decoder: DecoderSpec
    supervision: str  # "annotations" or "transcripts"
    caches: str = "shift"  # or "delta": how the step graph takes its caches; see docs/adr/0005-caches.md
    target: str = "10"  # the oldest TensorRT whose parser the graphs were checked for
    trained_from: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def rate_hz(self) -> float:
        """Ticks per second of the model's time grid."""
        return self.streams.rate_hz

    @property
    def max_held_ticks(self) -> int:
        """Missing ticks that are bridged by holding the last input; a larger gap starts afresh."""
        return self.streams.max_held_ticks

    @property
    def period_ns(self) -> int:
        """Nanoseconds between two ticks."""
        return self.streams.period_ns

    @property
    def feature_dim(self) -> int:
        """D, what the encoder gives for one picture; 0 without one."""
        return 0 if self.encoder is None else self.encoder.feature_dim
