"""THE step: one observation in, estimates and boundaries out. Node, replay, evaluation and benchmark all call it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hal_ros.core.answers import NO_ACTION, ActionEstimate, Answer, BoundaryEstimate
from hal_ros.core.arrays import ByteArray, FloatArray
from hal_ros.core.card import ModelCard
from hal_ros.core.decoding import decode
from hal_ros.core.errors import BackendError
from hal_ros.core.observations import Observation
from hal_ros.core.step import Backend, StepInput, StepOutput

NO_GRID = -1


class OpenSegment(NamedTuple):
    """The confirmed segment that is still running, from its first to its newest confirmed tick."""

    action: int
    segment_id: int
    start_ns: int
    newest_ns: int
    confidence: float  # at newest_ns


class PendingTick(NamedTuple):
    """A tick that waits for its confirmed answer, and what the boundary head said at it."""

    stamp_ns: int
    boundary: float


@dataclass(frozen=True)
class EncodedPicture:
    """A camera's newest picture and its feature (D,): one that serves two ticks is encoded once."""

    picture: ByteArray
    feature: FloatArray


class SegmenterState(NamedTuple):
    """All that a stream remembers. `segments` counts for ever, so that an id is never used twice."""

    origin_ns: int  # NO_GRID before the first observation
    tick: int
    backend: Any  # the backend's own temporal state
    decoder: decode.DecoderState
    last_input: StepInput | None
    encoded: Mapping[str, EncodedPicture]  # by camera
    pending: tuple[PendingTick, ...]  # at most lag_ticks
    segment: OpenSegment | None
    segments: int


class Segmenter:
    """A bundle's card and backend, joined. It holds no stream: the state goes in and comes out."""

    def __init__(self, card: ModelCard, backend: Backend) -> None:
        """Make the decoder's tables; raises ConfigError for a decoder that can't be."""
        self.card = card
        self.backend = backend
        self._decoder = decode.Decoder(card.decoder)

    def start(self, segments: int = 0) -> SegmenterState:
        """Return the state of a stream that has seen nothing, after `segments` segments of earlier streams."""
        fresh = self.backend.initial_state()
        return SegmenterState(NO_GRID, -1, fresh, decode.INITIAL, None, {}, (), None, segments)

    def finish(self, state: SegmenterState) -> tuple[tuple[BoundaryEstimate, ...], SegmenterState]:
        """Close the open segment, if there is one, and return a fresh state."""
        return self.close(state), self.start(state.segments)

    def close(self, state: SegmenterState) -> tuple[BoundaryEstimate, ...]:
        """Return the boundary that ends the open segment, if there is one, without the backend, which may be gone.

        It stands at the end of the last confirmed tick and counts as detected there, whatever ended the stream and
        whenever that was noticed; ticks that still waited for their confirmed answer get none.
        """
        last = state.segment
        if last is None:
            return ()
        end_ns = last.newest_ns + self.card.period_ns
        duration_ns = end_ns - last.start_ns
        return (BoundaryEstimate(end_ns, end_ns, last.action, NO_ACTION, last.confidence, 0, duration_ns),)

    def step(
        self, observation: Observation, state: SegmenterState
    ) -> tuple[ActionEstimate, tuple[BoundaryEstimate, ...], SegmenterState]:
        """Process one observation: first the ticks that were missed since the last one, then its own.

        Missed ticks, at most card.max_held_ticks, repeat the last input; a larger gap or a new origin starts a fresh
        state and closes the open segment. Raises BackendError when the backend's output is not finite.
        """
        boundaries: list[BoundaryEstimate] = []
        held = observation.tick - state.tick - 1
        # A looped bag brings the same origin again, but its ticks go back.
        if observation.origin_ns != state.origin_ns or not 0 <= held <= self.card.max_held_ticks:
            closing, state = self.finish(state)
            boundaries += closing
            state = state._replace(origin_ns=observation.origin_ns, tick=observation.tick - 1)
            held = 0
        for _ in range(held):
            assert state.last_input is not None  # a state with an origin has seen an input
            tick_ns = state.origin_ns + (state.tick + 1) * self.card.period_ns
            *_, change, state = self._advance(state.last_input, tick_ns, observation.stamp_ns, state)
            boundaries += change
        inputs, encoded = self._inputs(observation, state.encoded)
        state = state._replace(encoded={**state.encoded, **encoded})
        output, confirmed, change, state = self._advance(inputs, observation.stamp_ns, observation.stamp_ns, state)
        boundaries += change
        estimate = ActionEstimate(
            tick=observation.tick,
            stamp_ns=observation.stamp_ns,
            as_of_ns=observation.stamp_ns,
            held_ticks=held,
            provisional=_provisional(observation.stamp_ns, output.log_probs),
            confirmed=confirmed,
        )
        return estimate, tuple(boundaries), state

    def _inputs(
        self, observation: Observation, before: Mapping[str, EncodedPicture]
    ) -> tuple[StepInput, Mapping[str, EncodedPicture]]:
        """Return one tick's input to the step graph: features of all cameras behind each other, zeros where none."""
        encoded = {}
        for camera in self.card.streams.cameras:
            picture, known = observation.pictures.get(camera), before.get(camera)
            if picture is None:
                continue
            same = known is not None and known.picture is picture
            encoded[camera] = known if same and known else EncodedPicture(picture, self.backend.encode(picture))
        blank = np.zeros(self.card.feature_dim, np.float32)
        seen = [encoded.get(camera) for camera in self.card.streams.cameras]
        features = [blank if one is None else one.feature for one in seen]
        return StepInput(
            features[0] if len(features) == 1 else np.concatenate([blank[:0], *features]),
            np.array([one is not None for one in seen], np.float32),
            observation.values,
            observation.valid,
        ), encoded

    def _advance(
        self, inputs: StepInput, tick_ns: int, as_of_ns: int, state: SegmenterState
    ) -> tuple[StepOutput, Answer | None, tuple[BoundaryEstimate, ...], SegmenterState]:
        """Advance by one tick and confirm the one that lies lag_ticks back."""
        output, backend_state = self.backend.step(inputs, state.backend)
        if not all(np.isfinite(values).all() for values in output):
            raise BackendError(f"{self.backend.name} gave an output that is not finite at {tick_ns} ns")
        pending = (*state.pending, PendingTick(tick_ns, output.boundary))
        state = state._replace(tick=state.tick + 1, backend=backend_state, last_input=inputs, pending=pending)
        if len(pending) <= self.card.lag_ticks:
            return output, None, (), state
        # The lagged log-probabilities speak of the oldest pending tick, and the boundary head did so back then.
        boundary = pending[self.card.decoder.boundary_delay_ticks].boundary
        (action, confidence), decoder = self._decoder.step(output.lagged_log_probs, state.decoder, boundary)
        state = state._replace(decoder=decoder, pending=pending[1:])
        stamp_ns = pending[0].stamp_ns
        change, state = _confirm(stamp_ns, as_of_ns, action, confidence, state)
        assert state.segment is not None
        answer = Answer(stamp_ns, action, confidence, output.lagged_log_probs, state.segment.segment_id)
        return output, answer, change, state


def _provisional(stamp_ns: int, log_probs: FloatArray) -> Answer:
    """The bare maximum: the provisional answer is not decoded, so that it can be audited and is never late."""
    action = int(log_probs.argmax())
    return Answer(stamp_ns, action, float(np.exp(log_probs[action])), log_probs)


def _confirm(
    stamp_ns: int, as_of_ns: int, action: int, confidence: float, state: SegmenterState
) -> tuple[tuple[BoundaryEstimate, ...], SegmenterState]:
    """Append one confirmed action to the sequence: the open segment grows, or a boundary opens the next one."""
    last = state.segment
    if last is not None and last.action == action:
        return (), state._replace(segment=last._replace(newest_ns=stamp_ns, confidence=confidence))
    segment_id = state.segments + 1
    boundary = BoundaryEstimate(
        stamp_ns=stamp_ns,
        detected_ns=as_of_ns,
        from_action=NO_ACTION if last is None else last.action,
        to_action=action,
        confidence=confidence,
        segment_id=segment_id,
        duration_ns=0 if last is None else stamp_ns - last.start_ns,
    )
    opened = OpenSegment(action, segment_id, stamp_ns, stamp_ns, confidence)
    return (boundary,), state._replace(segment=opened, segments=segment_id)
