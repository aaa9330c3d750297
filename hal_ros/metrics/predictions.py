"""What a system says of an episode, tick by tick: the labels of each output, and when each of them was there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.arrays import FloatArray
from hal_ros.core.card import DecoderSpec
from hal_ros.core.decoding import decode
from hal_ros.core.segments import Labels

PROVISIONAL = "provisional"
CONFIRMED = "confirmed"


@dataclass(frozen=True)
class OutputStream:
    """One output of a system over one episode. Tick t's answer left the system at emitted_ns[t], on the sensor's clock.

    Computing time is not in it: that is measured live, from image stamp to receipt.
    """

    labels: Labels  # (T,), NO_ACTION where nothing was answered
    emitted_ns: NDArray[np.int64]  # (T,)
    log_probs: FloatArray | None  # (T, K), nan where nothing was answered; None for systems without probabilities


@dataclass(frozen=True)
class Prediction:
    """All that one system says of one episode: its output's name, `provisional` or `confirmed`, to the stream."""

    system: str
    supervision: str  # "annotations" or "transcripts"
    streams: dict[str, OutputStream]


def from_labels(system: str, supervision: str, stamp_ns: NDArray[np.int64], labels: Labels) -> Prediction:
    """Wrap the labels (T,) of a causal system that answers each tick at once and never revises."""
    return Prediction(system, supervision, {PROVISIONAL: OutputStream(labels, np.asarray(stamp_ns, np.int64), None)})


def from_log_probs(
    system: str, supervision: str, stamp_ns: NDArray[np.int64], log_probs: FloatArray, decoder: DecoderSpec
) -> Prediction:
    """Wrap a causal system's log-probabilities (T, K): their maximum, and beside it what a decoder makes of them."""
    stamps = np.asarray(stamp_ns, np.int64)
    decoded = decode.decode(decode.Decoder(decoder), log_probs)
    streams = {
        PROVISIONAL: OutputStream(log_probs.argmax(axis=1), stamps, log_probs),
        CONFIRMED: OutputStream(decoded, stamps, log_probs),
    }
    return Prediction(system, supervision, streams)
