"""What is fitted on validation answers, on arrays of a model that is known to the last number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.card import DecoderSpec
from hal_ros.core.decoding import decode
from hal_ros.core.errors import ConfigError, DatasetError
from hal_ros.train.answers import Answers
from hal_ros.train.decoding import (
    CLEARLY,
    best_decoder,
    best_of_each_kind,
    calibrated,
    chosen_kind,
    confirmed,
    fit_both_temperatures,
    fit_boundary,
    fit_temperature,
    score_decoder,
)
from hal_ros.train.priors import fit_priors

LAG, ACTIONS = 2, 4
TRANSCRIPTS = [[0, 1, 2, 3], [0, 2, 1, 3], [1, 0, 2, 3]]


def clip(seed: int, noise: float = 1.5) -> tuple[Answers, np.ndarray, list[int]]:
    """A clip of four actions with flickering answers; the boundary head speaks one tick late, and not always."""
    random = np.random.default_rng(seed)
    transcript = TRANSCRIPTS[seed % len(TRANSCRIPTS)]
    labels = np.repeat(transcript, random.integers(18, 30, len(transcript)))
    wander = np.zeros((len(labels), ACTIONS))
    for tick in range(1, len(labels)):
        wander[tick] = 0.8 * wander[tick - 1] + noise * random.normal(size=ACTIONS)
    log_probs = normalised(2.5 * np.eye(ACTIONS)[labels] + wander)
    lagged = np.concatenate([log_probs[:1].repeat(LAG, 0), log_probs[:-LAG]])
    boundary = random.uniform(0.02, 0.4, len(labels))
    late = np.flatnonzero(labels[1:] != labels[:-1]) + 2
    boundary[late[:-1]] += 0.5
    return Answers(log_probs, lagged, boundary.astype(np.float32)), labels, transcript


def normalised(logits: np.ndarray) -> np.ndarray:
    return (logits - np.logaddexp.reduce(logits, 1, keepdims=True)).astype(np.float32)


def clips(count: int, first: int = 0) -> tuple[list[Answers], list[np.ndarray], list[list[int]]]:
    answers, labels, transcripts = zip(*(clip(seed) for seed in range(first, first + count)), strict=True)
    return list(answers), list(labels), list(transcripts)


def test_the_temperature_that_was_put_on_is_found() -> None:
    random = np.random.default_rng(0)
    honest = normalised(2 * random.normal(size=(20_000, ACTIONS)))
    labels = np.array([random.choice(ACTIONS, p=row / row.sum()) for row in np.exp(honest.astype(np.float64))])
    assert fit_temperature([honest], [labels]) == pytest.approx(1, rel=0.08)
    assert fit_temperature([normalised(2.5 * honest)], [labels]) == pytest.approx(2.5, rel=0.08)
    half = np.where(np.arange(len(labels)) % 2, labels, NO_ACTION)
    assert fit_temperature([honest], [half]) == pytest.approx(1, rel=0.08)
    with pytest.raises(DatasetError, match="no labelled tick"):
        fit_temperature([honest], [np.full(len(honest), NO_ACTION)])


def test_calibrated_answers_need_no_further_temperature() -> None:
    answers, labels, _ = clips(12)
    loud = [replace(one, lagged_log_probs=normalised(2 * one.lagged_log_probs)) for one in answers]
    temperatures = fit_both_temperatures(loud, labels, LAG)
    assert temperatures[1] == pytest.approx(2 * temperatures[0], rel=0.1)
    after = [calibrated(one, temperatures) for one in loud]
    assert fit_both_temperatures(after, labels, LAG) == pytest.approx((1, 1), rel=0.08)
    np.testing.assert_allclose(np.exp(after[0].log_probs).sum(1), 1, rtol=1e-5)


def test_the_search_scores_what_the_segmenter_would_decode() -> None:
    answers, labels, transcripts = clips(4)
    found = best_of_each_kind(answers, labels, transcripts, LAG)
    assert list(found) == list(decode.KINDS)
    for kind, decoded in found.items():
        assert decoded.decoder.kind == kind
        assert decoded.decoder.priors == fit_priors(labels, transcripts, ACTIONS)
        assert score_decoder(decoded.decoder, answers, labels, LAG) == decoded


def test_durations_and_order_help_where_answers_flicker() -> None:
    training, (answers, labels, _) = clips(12, first=100), clips(6)
    priors = fit_priors(training[1], training[2], ACTIONS)
    found = best_of_each_kind(answers, labels, [()] * 6, LAG, priors=priors)
    assert found["duration"].score > found["hysteresis"].score > found["argmax"].score
    assert 0.8 < found["duration"].segment_ratio < 1.3 < found["argmax"].segment_ratio
    assert found["duration"].decoder.priors == priors


def test_validation_chooses_the_kind_and_the_simpler_one_where_they_are_alike() -> None:
    training, (answers, labels, _) = clips(12, first=100), clips(6)
    priors = fit_priors(training[1], training[2], ACTIONS)
    chosen = best_decoder("auto", answers, labels, [()] * 6, LAG, priors=priors)
    assert chosen == best_of_each_kind(answers, labels, [()] * 6, LAG, priors=priors)["duration"]
    assert best_decoder("argmax", answers, labels, [()] * 6, LAG, priors=priors).decoder.kind == "argmax"
    hysteresis = chosen._replace(mof=90.0, edit=90.0, f1_50=90.0)
    for lead, kind in ((0.0, "hysteresis"), (CLEARLY, "hysteresis"), (2 * CLEARLY, "duration")):
        led = chosen._replace(mof=90.0 + lead, edit=90.0 + lead, f1_50=90.0 + lead)
        assert chosen_kind({"hysteresis": hysteresis, "duration": led}) == kind


def test_a_system_without_lag_or_boundary_head_is_served_too() -> None:
    answers, labels, transcripts = clips(3)
    bare = [Answers(one.log_probs, one.log_probs, np.zeros(len(one.boundary), np.float32)) for one in answers]
    chosen = best_of_each_kind(bare, labels, transcripts, 0, ("duration",))["duration"]
    assert chosen.decoder.boundary_gain == 0.0
    assert [len(confirmed(chosen.decoder, one, 0)) for one in bare] == list(map(len, labels))


def test_clips_that_end_before_the_lag_are_named() -> None:
    answers, labels, transcripts = clips(3)
    short = [Answers(*(column[:LAG] for column in vars(one).values())) for one in answers]
    labels = [one[:LAG] for one in labels]
    with pytest.raises(DatasetError, match="none of 3 validation clips is longer than the lag of 2 ticks"):
        fit_both_temperatures(short, labels, LAG)
    with pytest.raises(DatasetError, match="none of 3 validation clips is longer than the lag of 2 ticks"):
        best_of_each_kind(short, labels, transcripts, LAG)


def test_the_last_lag_ticks_have_no_confirmed_label() -> None:
    answers, labels, _ = clips(1)
    said = confirmed(DecoderSpec("argmax"), answers[0], LAG)
    np.testing.assert_array_equal(said, answers[0].log_probs.argmax(1)[:-LAG])
    assert len(said) == len(labels[0]) - LAG


def test_an_unknown_kind_is_refused() -> None:
    answers, labels, transcripts = clips(1)
    with pytest.raises(ConfigError, match="'viterbi' is unknown"):
        best_of_each_kind(answers, labels, transcripts, LAG, ("viterbi",))


# --- the boundary head ------------------------------------------------------------------------------------------------


def test_a_late_boundary_head_is_understood() -> None:
    answers, labels, _ = clips(20)
    fit = fit_boundary([one.boundary for one in answers], labels, LAG)
    assert fit.delay_ticks == 1 and fit.gain > 0.5 and fit.gained_nats > 5


def test_evidence_is_the_likelihood_ratio() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(40_000) % 2, random.integers(2, 8, 40_000))
    changes = np.concatenate([[False], labels[1:] != labels[:-1]])
    # log-odds N(+1, 1) at a change and N(-1, 1) elsewhere: their log-likelihood ratio is 2 x
    values = 1 / (1 + np.exp(-random.normal(np.where(changes, 1.0, -1.0), 1.0)))
    fit = fit_boundary([values.astype(np.float32)], [labels], 0)
    assert fit.gain == pytest.approx(2, abs=0.05) and fit.offset == pytest.approx(0, abs=0.05)


def test_a_head_that_says_nothing_or_the_opposite_is_not_listened_to() -> None:
    _, labels, _ = clips(6)
    constant = [np.full(len(one), 0.3, np.float32) for one in labels]
    assert fit_boundary(constant, labels, LAG).gain == 0
    against = [(0.9 - 0.8 * (np.diff(one, prepend=one[0]) != 0)).astype(np.float32) for one in labels]
    assert fit_boundary(against, labels, 0).gain == 0
    assert fit_boundary(constant[:1], [np.full(len(labels[0]), NO_ACTION)], LAG).gain == 0


def test_the_boundary_head_is_used_only_where_it_helps() -> None:
    answers, labels, transcripts = clips(8)
    told = [replace(one, boundary=np.where(np.diff(clip, prepend=clip[0]) != 0, 0.9, 0.05).astype(np.float32))
            for one, clip in zip(answers, labels, strict=True)]  # fmt: skip
    with_head = best_of_each_kind(told, labels, transcripts, LAG, ("duration",))["duration"]
    assert with_head.decoder.boundary_gain > 0
    deaf = replace(with_head.decoder, boundary_gain=0.0, boundary_offset=0.0)
    assert with_head.score > score_decoder(deaf, told, labels, LAG).score
