"""Laws of THE step, on a back end whose answers can be read off its pictures."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import COLOURS, FakeBackend, make_card, picture
from hal_ros.core.answers import NO_ACTION, ActionEstimate, BoundaryEstimate
from hal_ros.core.arrays import ByteArray
from hal_ros.core.card import DecoderSpec, ModelCard, Priors
from hal_ros.core.decoding import decode
from hal_ros.core.errors import BackendError
from hal_ros.core.observations import Observation
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.step import StepInput, StepOutput
from hal_ros.core.streams.intake import Intake
from hal_ros.core.streams.merge import StateSample
from hal_ros.core.streams.pictures import TimedPicture
from hal_ros.core.streams.spec import CameraSpec, StateSpec, StreamSpec
from hal_ros.runtime.step_state import Turn

PERIOD = 100_000_000
START = 5_000_000_000

# A stream: per image the ticks since the last one (0 = not due, more than 4 = a gap), and its colour.
streams = st.lists(st.tuples(st.sampled_from([0, 1, 1, 1, 1, 2, 3, 6]), st.sampled_from(COLOURS)), max_size=60)


def seen(stamp_ns: int, tick: int, origin_ns: int, image: ByteArray | None) -> Observation:
    """What a camera shows while nothing is known of two joints."""
    return Observation(stamp_ns, tick, origin_ns, {"camera": image}, np.zeros(6, np.float32), np.zeros(6, np.float32))


def observations(card: ModelCard, stream: list[tuple[int, str]]) -> list[Observation]:
    intake, found, stamp = Intake(card.streams), [], START
    for steps, colour in stream:
        stamp += steps * PERIOD or 1
        due = intake.picture("camera", TimedPicture(stamp, "/camera", None))
        found += [seen(one.stamp_ns, one.tick, one.origin_ns, picture(colour)) for one in (due.in_order if due else ())]
    return found


def run(
    segmenter: Segmenter, sequence: list[Observation], finish: bool = True
) -> tuple[list[ActionEstimate], list[BoundaryEstimate]]:
    state, estimates, boundaries = segmenter.start(), [], []
    for observation in sequence:
        estimate, changes, state = segmenter.step(observation, state)
        estimates.append(estimate)
        boundaries += changes
    if finish and sequence:
        boundaries += segmenter.finish(state)[0]
    return estimates, boundaries


def new(**changes: Any) -> Segmenter:
    card = make_card(**changes)
    return Segmenter(card, FakeBackend(card))


@given(streams)
def test_boundaries_are_the_run_length_changes_of_the_confirmed_actions(stream: list[tuple[int, str]]) -> None:
    segmenter = new(max_held_ticks=0)  # without held ticks every confirmed tick is in an estimate
    estimates, boundaries = run(segmenter, observations(segmenter.card, stream))
    confirmed = [(e.confirmed.segment_id, e.confirmed.action) for e in estimates if e.confirmed]
    opened = [(b.segment_id, b.to_action) for b in boundaries if b.to_action != NO_ACTION]
    assert [key for key, _ in groupby(confirmed)] == opened
    assert [b.segment_id for b in boundaries if b.segment_id] == list(range(1, len(opened) + 1))


@given(streams)
def test_boundaries_chain_and_their_durations_add_up(stream: list[tuple[int, str]]) -> None:
    segmenter = new()
    sequence = observations(segmenter.card, stream)
    _, boundaries = run(segmenter, sequence)
    open_action, since = NO_ACTION, 0
    for boundary in boundaries:
        assert boundary.from_action == open_action != boundary.to_action
        assert boundary.duration_ns == (boundary.stamp_ns - since if open_action != NO_ACTION else 0)
        assert boundary.duration_ns >= 0
        open_action, since = boundary.to_action, boundary.stamp_ns
    assert open_action == NO_ACTION  # finish closed the last one


@given(streams)
def test_one_estimate_per_observation_and_held_ticks_fill_the_grid(stream: list[tuple[int, str]]) -> None:
    segmenter = new()
    sequence = observations(segmenter.card, stream)
    estimates, _ = run(segmenter, sequence)
    assert [e.stamp_ns for e in estimates] == [o.stamp_ns for o in sequence]
    stepped = sum(1 + e.held_ticks for e in estimates)
    assert isinstance(segmenter.backend, FakeBackend) and len(segmenter.backend.inputs) == stepped
    for (a, before), (b, after) in pairwise(zip(sequence, estimates, strict=True)):
        if a.origin_ns == b.origin_ns:
            assert after.tick - before.tick == 1 + after.held_ticks


@given(streams, st.integers(0, 59))
def test_the_future_changes_nothing_at_or_before_now(stream: list[tuple[int, str]], cut: int) -> None:
    segmenter = new()
    whole, _ = run(segmenter, observations(segmenter.card, stream), finish=False)
    part, _ = run(segmenter, observations(segmenter.card, stream[:cut]), finish=False)
    assert [str(e) for e in part] == [str(e) for e in whole[: len(part)]]


def test_the_present_does_change_the_answer() -> None:  # negative control of causality
    segmenter = new()
    for colour in COLOURS:
        estimates, _ = run(segmenter, observations(segmenter.card, [(1, "red"), (1, colour)]))
        assert COLOURS[estimates[-1].provisional.action] == colour


def test_the_confirmed_answer_speaks_of_lag_ticks_earlier() -> None:
    segmenter = new(lag_ticks=2)
    colours = ["red", "red", "green", "green", "blue", "blue", "blue"]
    estimates, boundaries = run(segmenter, observations(segmenter.card, [(1, c) for c in colours]), finish=False)
    assert [e.confirmed for e in estimates[:2]] == [None, None]
    answers = [e.confirmed for e in estimates[2:]]
    assert [COLOURS[a.action] for a in answers if a] == colours[:5]
    assert [a.stamp_ns for a in answers if a] == [START + PERIOD * (i + 1) for i in range(5)]
    assert [(b.stamp_ns, b.detected_ns) for b in boundaries] == [
        (START + PERIOD * (i + 1), START + PERIOD * (i + 3)) for i in (0, 2, 4)
    ]


def test_held_ticks_repeat_the_last_input_and_count_for_events() -> None:
    segmenter = new(lag_ticks=0)
    estimates, boundaries = run(segmenter, observations(segmenter.card, [(1, "red"), (3, "blue")]), finish=False)
    assert [e.held_ticks for e in estimates] == [0, 2]
    assert isinstance(segmenter.backend, FakeBackend)
    features = [i.feature.argmax() for i in segmenter.backend.inputs]
    assert features == [0, 0, 0, 2] and segmenter.backend.encoded == 2
    assert boundaries[-1].duration_ns == 3 * PERIOD


def test_a_held_tick_can_open_a_segment_at_its_grid_time() -> None:
    segmenter = new(lag_ticks=2)
    stream = [(1, "red"), (1, "red"), (1, "blue"), (4, "blue")]
    estimates, boundaries = run(segmenter, observations(segmenter.card, stream), finish=False)
    assert estimates[-1].held_ticks == 3
    assert [(COLOURS[b.to_action], b.stamp_ns) for b in boundaries] == [
        ("red", START + PERIOD),
        ("blue", START + 3 * PERIOD),
    ]
    assert boundaries[-1].detected_ns == estimates[-1].as_of_ns


@pytest.mark.parametrize("gap_ticks", [5, 50])
def test_a_larger_gap_closes_the_segment_and_starts_afresh(gap_ticks: int) -> None:
    segmenter = new(max_held_ticks=3, lag_ticks=1)
    stream = [(1, "red"), (1, "red"), (1, "red"), (gap_ticks, "red"), (1, "red")]
    estimates, boundaries = run(segmenter, observations(segmenter.card, stream), finish=False)
    first, closing, again = boundaries
    assert (closing.to_action, closing.segment_id, closing.stamp_ns) == (NO_ACTION, 0, START + 3 * PERIOD)
    assert (first.segment_id, again.segment_id, again.from_action) == (1, 2, NO_ACTION)
    assert estimates[3].tick == 0 and estimates[3].confirmed is None


def test_closing_is_finishing_without_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = new(lag_ticks=1)
    state = segmenter.start()
    for observation in observations(segmenter.card, [(1, "red")] * 4):
        _, _, state = segmenter.step(observation, state)
    finished, _ = segmenter.finish(state)
    monkeypatch.setattr(segmenter.backend, "initial_state", lambda: 1 / 0)
    assert segmenter.close(state) == finished and len(finished) == 1
    with pytest.raises(ZeroDivisionError):
        segmenter.finish(state)


class SingleUse(FakeBackend):
    """Its states can be stepped once, as those whose buffers are overwritten."""

    def initial_state(self) -> Any:
        return Turn(self, super().initial_state())

    def step(self, inputs: StepInput, state: Any) -> tuple[StepOutput, Any]:
        output, following = super().step(inputs, state.take(self))
        return output, state.following(following)


@given(streams)
def test_no_state_is_stepped_twice(stream: list[tuple[int, str]]) -> None:
    card = make_card(max_held_ticks=3, lag_ticks=2)
    estimates, boundaries = run(Segmenter(card, SingleUse(card)), observations(card, stream))
    expected, changes = run(Segmenter(card, FakeBackend(card)), observations(card, stream))
    assert boundaries == changes and [e.tick for e in estimates] == [e.tick for e in expected]


@given(streams)
def test_a_closing_is_detected_where_it_stands(stream: list[tuple[int, str]]) -> None:
    segmenter = new()
    estimates, boundaries = run(segmenter, observations(segmenter.card, stream))
    closings = [b for b in boundaries if b.to_action == NO_ACTION]
    assert all(b.detected_ns == b.stamp_ns for b in closings)  # whatever ended the stream: a gap, silence, a reset
    confirmed = {e.confirmed.stamp_ns for e in estimates if e.confirmed}
    assert all(
        b.stamp_ns - PERIOD in confirmed for b in closings if b.stamp_ns - PERIOD in {e.stamp_ns for e in estimates}
    )


def test_nothing_is_detected_before_it_happened() -> None:
    segmenter = new(lag_ticks=1)
    forwards = observations(segmenter.card, [(1, "red")] * 4)
    again = [replace(o, stamp_ns=o.stamp_ns - 4 * 10**9, origin_ns=o.origin_ns - 4 * 10**9) for o in forwards]
    _, boundaries = run(segmenter, [*forwards, *again])
    assert len(boundaries) == 4 and all(b.detected_ns >= b.stamp_ns for b in boundaries)


def test_observations_lost_in_the_mailbox_reset_the_state_too() -> None:
    segmenter = new(max_held_ticks=3)
    sequence = observations(segmenter.card, [(1, "red")] * 12)
    estimates, boundaries = run(segmenter, [*sequence[:4], *sequence[9:]], finish=False)
    assert estimates[4].held_ticks == 0 and estimates[4].confirmed is None and estimates[4].tick == 9
    assert [b.to_action for b in boundaries][:2] == [0, NO_ACTION]


def test_segment_ids_survive_a_reset() -> None:
    segmenter = new(lag_ticks=0)
    (first, *_) = observations(segmenter.card, [(1, "red")])
    _, opened, state = segmenter.step(first, segmenter.start())
    closed, state = segmenter.finish(state)
    _, reopened, _ = segmenter.step(first, state)
    assert [b.segment_id for b in (*opened, *closed, *reopened)] == [1, 0, 2]
    assert segmenter.finish(segmenter.start())[0] == ()  # nothing open, nothing closed


def test_states_and_a_missing_picture_reach_the_graph_with_their_flags() -> None:
    segmenter = new()
    values, valid = np.array([1, 0] * 3, np.float32), np.array([1, 0] * 3, np.float32)
    for pictures in ({"camera": None}, {}):
        segmenter.step(Observation(START, 0, START, pictures, values, valid), segmenter.start())
    assert isinstance(segmenter.backend, FakeBackend)
    for inputs in segmenter.backend.inputs:
        assert inputs.image_valid.tolist() == [0] and inputs.feature.tolist() == [0, 0, 0]
        np.testing.assert_array_equal(inputs.joints, values)
        np.testing.assert_array_equal(inputs.joints_valid, valid)


TWO_CAMERAS = StreamSpec("front", {"front": CameraSpec(size_px=16), "wrist": CameraSpec(size_px=16)})


class FirstCamera(FakeBackend):
    """Answers by the first camera's colour."""

    def step(self, inputs: StepInput, state: Any) -> tuple[StepOutput, Any]:
        output, state = super().step(inputs._replace(feature=inputs.feature[:3]), state)
        self.inputs[-1] = inputs
        return output, state


def watch(pictures: list[dict[str, ByteArray | None]]) -> FirstCamera:
    card = make_card(streams=TWO_CAMERAS)
    backend, nothing = FirstCamera(card), np.zeros(0, np.float32)
    run(
        Segmenter(card, backend),
        [Observation(START + i * PERIOD, i, START, p, nothing, nothing) for i, p in enumerate(pictures)],
    )
    return backend


def test_features_of_all_cameras_lie_behind_each_other_in_the_cards_order() -> None:
    red, blue = picture("red"), picture("blue")
    backend = watch([{"wrist": blue, "front": red}, {"front": blue}, {"front": blue, "wrist": None}])
    assert [i.feature.tolist() for i in backend.inputs] == [[1, 0, 0, 0, 0, 1], [0, 0, 1, 0, 0, 0], [0, 0, 1, 0, 0, 0]]
    assert [i.image_valid.tolist() for i in backend.inputs] == [[1, 1], [1, 0], [1, 0]]


def test_a_picture_that_serves_several_ticks_is_encoded_once() -> None:
    wrist = picture("blue")
    fronts = [picture("red") for _ in range(4)]
    shown: list[ByteArray | None] = [wrist, wrist, None, wrist]  # also when it was away in between
    backend = watch([{"front": front, "wrist": each} for front, each in zip(fronts, shown, strict=True)])
    assert backend.encoded == 5
    assert [i.image_valid.tolist() for i in backend.inputs] == [[1, 1], [1, 1], [1, 0], [1, 1]]
    assert watch([{"front": front, "wrist": wrist.copy()} for front in fronts]).encoded == 8  # negative control


def test_an_output_that_is_not_finite_is_an_error() -> None:
    class Broken(FakeBackend):
        def __init__(self, card: ModelCard, name: str) -> None:
            super().__init__(card)
            self.broken = name

        def step(self, inputs: StepInput, state: Any) -> tuple[StepOutput, Any]:
            output, state = super().step(inputs, state)
            return output._replace(**{self.broken: getattr(output, self.broken) * np.float32("nan")}), state

    card = make_card()
    for name in StepOutput._fields:
        segmenter = Segmenter(card, Broken(card, name))
        with pytest.raises(BackendError, match="not finite"):
            segmenter.step(seen(START, 0, START, picture("red")), segmenter.start())


class Scripted(FakeBackend):
    """Says what the test wrote down, tick by tick."""

    def __init__(self, card: ModelCard, lagged_log_probs: np.ndarray, boundary: np.ndarray) -> None:
        super().__init__(card)
        self.lagged_log_probs, self.boundary = lagged_log_probs, boundary

    def initial_state(self) -> Any:
        return 0

    def step(self, inputs: StepInput, state: Any) -> tuple[StepOutput, Any]:
        del inputs
        row = self.lagged_log_probs[state]
        return StepOutput(row, row, float(self.boundary[state])), state + 1


@pytest.mark.parametrize("delay", [0, 1, 2])
def test_step_by_step_is_the_whole_sequence_of_the_duration_filter(delay: int) -> None:
    order = ((0.0, 0.7, 0.3), (0.5, 0.0, 0.5), (0.9, 0.1, 0.0))
    priors = Priors((0.8, 0.1, 0.1), order, (6.0, 8.0, 7.0), (3.0,) * 3, 40)
    spec = DecoderSpec("duration", boundary_gain=1.5, boundary_delay_ticks=delay, priors=priors)
    card = make_card(decoder=spec)
    random = np.random.default_rng(delay)
    logits = random.normal(size=(60, 3)).cumsum(0)
    log_probs = (logits - np.logaddexp.reduce(logits, 1, keepdims=True)).astype(np.float32)
    boundary = random.random(60).astype(np.float32)
    segmenter = Segmenter(card, Scripted(card, log_probs, boundary))
    sequence = [seen(START + i * PERIOD, i, START, picture("red")) for i in range(60)]
    estimates, _ = run(segmenter, sequence, finish=False)
    stepped = [e.confirmed.action for e in estimates if e.confirmed]
    whole = decode.decode(decode.Decoder(spec), *decode.aligned(spec, log_probs, boundary, card.lag_ticks))
    assert stepped == whole.tolist()
    again, _ = run(segmenter, [replace(o, origin_ns=START + 1, stamp_ns=o.stamp_ns + 1) for o in sequence], False)
    assert [e.confirmed.action for e in again if e.confirmed] == stepped  # a fresh state remembers nothing
    if delay:  # negative control: with another tick's boundary values it is another answer
        other = replace(spec, boundary_delay_ticks=0)
        rows, values = decode.aligned(other, log_probs, boundary, card.lag_ticks)
        confidences = [e.confirmed.confidence for e in estimates if e.confirmed]
        decoder, state, others = decode.Decoder(spec), decode.INITIAL, []
        for row, value in zip(rows, values, strict=True):
            decision, state = decoder.step(row, state, float(value))
            others.append(decision.confidence)
        assert not np.allclose(confidences, others)


def test_a_bundle_without_camera_is_driven_by_a_state() -> None:
    spec = StateSpec(names=("a", "b"), fields=("position",))
    card = make_card(streams=StreamSpec("arm", {}, {"arm": spec}), encoder=None, lag_ticks=0)
    intake, values = Intake(card.streams), np.ones(2, np.float32)
    due = [intake.state("arm", StateSample(START + i * PERIOD // 10, "/arm", values)) for i in range(25)]
    ticks = [d for d in due if d]
    assert [d.tick for d in ticks] == [0, 1, 2]

    class StatesAlone(FakeBackend):
        def step(self, inputs: StepInput, state: Any) -> tuple[StepOutput, Any]:
            assert inputs.feature.shape == inputs.image_valid.shape == (0,)
            return super().step(inputs._replace(feature=np.array([0, *inputs.joints], np.float32)), state)

    sequence = [Observation(d.stamp_ns, d.tick, d.origin_ns, {}, d.values, d.valid) for d in ticks]
    backend = StatesAlone(card)
    estimates, _ = run(Segmenter(card, backend), sequence)
    assert len(estimates) == 3 and backend.encoded == 0
