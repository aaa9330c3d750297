"""From stored answers to streams and scores: what each decoder makes of them, tick by tick, lag included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.arrays import FloatArray
from hal_ros.core.card import DecoderSpec
from hal_ros.core.decoding import decode
from hal_ros.metrics.answer_files import ClipAnswers
from hal_ros.metrics.predictions import CONFIRMED, PROVISIONAL, OutputStream
from hal_ros.metrics.scores import ALL_SCORED, Truth, Unscored, score

OFFLINE = "offline"
"""The output of a system that sees a whole clip before it answers."""
ALIGNED = "aligned"
"""The targets that an alignment made of transcripts."""
CONFIRMED_ARGMAX = f"{CONFIRMED}, argmax"
"""The confirmed answers as the network gives them, not decoded."""


def truth_of(clip: ClipAnswers, period_ns: int) -> Truth:
    """Return what happened in a clip; its ticks are `period_ns` apart."""
    return Truth(clip.name, stamps(clip, period_ns), clip.truth)


def stamps(clip: ClipAnswers, period_ns: int) -> NDArray[np.int64]:
    """Return the ticks' times (T,) from the clip's begin."""
    return np.arange(len(clip.truth), dtype=np.int64) * period_ns


def streams(
    clip: ClipAnswers, decoders: Mapping[str, DecoderSpec], lag_ticks: int, period_ns: int
) -> dict[str, OutputStream]:
    """Return the outputs of one clip: `provisional`, and one for each of `decoders`, by its name; or `offline` alone.

    A confirmed answer leaves the system lag_ticks after the tick of which it speaks. The last lag_ticks ticks of a clip
    are never confirmed: the action in force stands for them, as it does live.
    """
    times = stamps(clip, period_ns)
    plain = OutputStream(clip.log_probs.argmax(1), times, clip.log_probs)
    if clip.offline:
        return {OFFLINE: plain}
    found = {PROVISIONAL: plain}
    for name, spec in decoders.items():
        found[name] = _confirmed(clip, spec, lag_ticks, period_ns)
    return found


def _confirmed(clip: ClipAnswers, spec: DecoderSpec, lag_ticks: int, period_ns: int) -> OutputStream:
    ticks = len(clip.truth)
    log_probs, boundary = decode.aligned(spec, clip.lagged_log_probs, clip.boundary, lag_ticks)
    decoded = decode.decode(decode.Decoder(spec), log_probs, boundary)
    answered = len(decoded)
    if not answered:  # a clip no longer than the lag
        decoded, answered = clip.log_probs.argmax(1), ticks
    labels = np.concatenate([decoded, np.full(ticks - answered, decoded[-1])])
    emitted = np.minimum(np.arange(ticks), answered - 1) + lag_ticks
    probabilities: FloatArray = np.full_like(clip.log_probs, np.nan)
    probabilities[: len(log_probs)] = log_probs
    return OutputStream(labels, emitted * period_ns, probabilities)


def score_clips(
    clips: Sequence[ClipAnswers],
    outputs: Sequence[Mapping[str, OutputStream]],
    period_ns: int,
    background: Unscored = ALL_SCORED,
) -> dict[str, dict[str, float | None]]:
    """Return every metric of every output over the clips of a split; None where there was nothing to measure.

    Offline outputs have no latency: nothing leaves such a system before the end.
    """
    truths = [truth_of(clip, period_ns) for clip in clips]
    found: dict[str, dict[str, float | None]] = {}
    for output in outputs[0]:
        metrics = score(truths, [of_clip[output] for of_clip in outputs], period_ns, background)
        found[output] = {
            name: float(value) if np.isfinite(value) else None
            for name, value in metrics.items()
            if output not in (OFFLINE, ALIGNED) or "latency" not in name
        }
    return found


def score_targets(
    clips: Sequence[ClipAnswers], period_ns: int, background: Unscored = ALL_SCORED
) -> dict[str, dict[str, float | None]]:
    """Return every metric of the clips' targets, as what was made of their transcripts, against the annotation."""
    outputs = [{ALIGNED: OutputStream(clip.targets, stamps(clip, period_ns), None)} for clip in clips]
    return score_clips(clips, outputs, period_ns, background)
