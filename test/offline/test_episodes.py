"""An evaluated bundle says what the node would say, and cached features change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from fakes import COLOURS, SIZE_PX, FakeBackend, make_card, picture
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.card import DecoderSpec
from hal_ros.core.observations import Observation
from hal_ros.core.segmenter import Segmenter
from hal_ros.datasets.episodes import Episode
from hal_ros.metrics.predictions import CONFIRMED, PROVISIONAL, from_labels, from_log_probs
from hal_ros.offline.episodes import CachedEncoder, features_by_picture, run_segmenter

PERIOD_NS = 100_000_000
ORIGIN_NS = 1_000_000_000
RED, GREEN, BLUE = range(3)


def episode(
    colours: Any, held: tuple[Any, ...] = (), fresh: tuple[int, ...] = (0,), blind: tuple[Any, ...] = ()
) -> Episode:
    ticks = len(colours)
    return Episode(
        name="episode",
        stamp_ns=ORIGIN_NS + PERIOD_NS * np.arange(ticks, dtype=np.int64),
        fresh=np.isin(np.arange(ticks), fresh),
        held=np.isin(np.arange(ticks), held),
        image_valid=1 - np.isin(np.arange(ticks), blind).astype(np.float32)[:, None],
        images={"camera": np.stack([picture(COLOURS[colour]) for colour in colours])},
        joints=np.arange(ticks * 6, dtype=np.float32).reshape(ticks, 6),
        joints_valid=np.ones((ticks, 6), np.float32),
        actions=np.array(colours),
        transcript=(),
        counters={},
    )


def run(colours: Any, **changes: Any) -> Any:
    card = make_card()
    return run_segmenter(Segmenter(card, FakeBackend(card)), episode(colours, **changes)).streams


def test_provisional_answers_come_at_once_and_confirmed_ones_after_the_lag() -> None:
    colours = [RED] * 4 + [GREEN] * 4
    streams = run(colours)
    assert streams[PROVISIONAL].labels.tolist() == colours
    assert streams[CONFIRMED].labels.tolist() == colours
    waits = (streams[CONFIRMED].emitted_ns - streams[PROVISIONAL].emitted_ns) / PERIOD_NS
    assert waits[:6].tolist() == [2] * 6


def test_the_end_keeps_the_confirmed_action_in_force() -> None:
    streams = run([RED] * 4 + [GREEN] * 2)  # the two green ticks are never confirmed
    assert streams[CONFIRMED].labels.tolist() == [RED] * 6
    assert np.isnan(streams[CONFIRMED].log_probs[4:]).all()


def test_an_episode_shorter_than_the_lag_is_never_confirmed() -> None:
    assert run([RED, RED])[CONFIRMED].labels.tolist() == [NO_ACTION] * 2


def test_a_fresh_grid_starts_the_stream_afresh() -> None:
    streams = run([RED] * 5 + [BLUE] * 5, fresh=(0, 5))
    assert streams[CONFIRMED].labels.tolist() == [RED] * 5 + [BLUE] * 5


def test_a_held_tick_comes_out_with_the_next_image() -> None:
    streams = run([RED] * 8, held=(3, 4))
    assert streams[PROVISIONAL].emitted_ns[3:6].tolist() == [ORIGIN_NS + 5 * PERIOD_NS] * 3


def test_it_is_the_segmenter_that_speaks() -> None:
    """The same ticks as observations, by hand: same labels."""
    colours = [RED, RED, GREEN, BLUE, BLUE, BLUE, RED]
    card = make_card()
    segmenter, said = Segmenter(card, FakeBackend(card)), []
    state = segmenter.start()
    for tick, colour in enumerate(colours):
        stamp_ns = ORIGIN_NS + tick * PERIOD_NS
        pictures = {"camera": picture(COLOURS[colour])}
        observation = Observation(stamp_ns, tick, ORIGIN_NS, pictures, *np.zeros((2, 6), np.float32))
        estimate, _, state = segmenter.step(observation, state)
        said.append(estimate.provisional.action)
    assert run(colours)[PROVISIONAL].labels.tolist() == said


def test_joints_and_missing_pictures_reach_the_step() -> None:
    card = make_card()
    backend = FakeBackend(card)
    made = episode([RED] * 3, blind=(1,))
    made.joints_valid[2, 4] = 0
    run_segmenter(Segmenter(card, backend), made)
    assert [inputs.image_valid.tolist() for inputs in backend.inputs] == [[1], [0], [1]]
    assert np.array_equal(backend.inputs[1].joints, made.joints[1])
    assert backend.inputs[2].joints_valid.tolist() == [1, 1, 1, 1, 0, 1]


def test_cached_features_give_what_encoding_gives_and_save_it() -> None:
    card = make_card()
    made = episode([RED, GREEN, GREEN, BLUE] * 3)
    plain, cached_inside = FakeBackend(card), FakeBackend(card)
    features = np.stack([plain.encode(image) for image in made.images["camera"]])
    cached = CachedEncoder(cached_inside, features_by_picture(made.images["camera"], features))
    expected = run_segmenter(Segmenter(card, plain), made).streams
    found = run_segmenter(Segmenter(card, cached), made).streams
    for output in (PROVISIONAL, CONFIRMED):
        assert np.array_equal(found[output].labels, expected[output].labels)
        said, right = found[output].log_probs, expected[output].log_probs
        assert said is not None and right is not None
        assert np.array_equal(said, right, equal_nan=True)
    assert cached_inside.encoded == 0


def test_wrong_cached_features_would_show() -> None:
    card = make_card()
    made = episode([RED, GREEN])
    features = np.eye(3, dtype=np.float32)[[BLUE, BLUE]]
    cached = CachedEncoder(FakeBackend(card), features_by_picture(made.images["camera"], features))
    assert run_segmenter(Segmenter(card, cached), made).streams[PROVISIONAL].labels.tolist() == [BLUE, BLUE]


def test_a_picture_that_was_not_cached_is_encoded() -> None:
    backend = FakeBackend(make_card())
    assert CachedEncoder(backend, {}).encode(picture("green")).tolist() == [0, 1, 0]
    assert picture("green").shape == (SIZE_PX, SIZE_PX, 3)


def test_arrays_of_other_systems_become_streams() -> None:
    stamps = np.arange(4) * PERIOD_NS
    plain = from_labels("rule", "annotations", stamps, np.array([0, 0, 1, 1]))
    assert list(plain.streams) == [PROVISIONAL]
    log_probs = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.9, 0.1]], np.float32))
    decoder = DecoderSpec("hysteresis", enter_probability=0.5, hold_ticks=2, smoothing=0.0)
    both = from_log_probs("logistic", "annotations", stamps, log_probs, decoder)
    assert both.streams[PROVISIONAL].labels.tolist() == [0, 0, 1, 0]
    assert both.streams[CONFIRMED].labels.tolist() == [0, 0, 0, 0]
