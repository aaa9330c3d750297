"""From stored answers to rows, tables, verdicts and pictures."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.card import DecoderSpec
from hal_ros.core.errors import DatasetError
from hal_ros.experiments import curves, latents
from hal_ros.experiments.markdown import (
    ALL_SPLITS,
    MODEL,
    Entry,
    markdown,
    rows_of,
    unfinished,
    verdict_lines,
    verdicts,
)
from hal_ros.metrics import answer_files
from hal_ros.metrics.answer_files import ClipAnswers
from hal_ros.metrics.decoded import ARGMAX, CONFIRMED_ARGMAX, OFFLINE, score_clips, streams
from hal_ros.metrics.predictions import CONFIRMED, PROVISIONAL
from hal_ros.metrics.scores import Row

PERIOD_NS, LAG, ACTIONS = 100_000_000, 4, 3
TRUTH = np.repeat([0, 1, 2, 1], 10)


def log_probs(labels):
    return np.log(np.full((len(labels), ACTIONS), 0.05) + 0.85 * np.eye(ACTIONS)[labels]).astype(np.float32)


def clip(now=TRUTH, about=TRUTH, name="one", offline=False) -> ClipAnswers:
    """Return answers that say `now` at once and `about` of the tick LAG ago."""
    lagged = log_probs(np.concatenate([np.zeros(LAG, int), about[: len(about) - LAG]]))
    boundary = np.full(len(now), 0.5, np.float32)
    return ClipAnswers(name, TRUTH, TRUTH, (0, 1, 2, 1), log_probs(now), lagged[:0] if offline else lagged, boundary)


def scores(*clips, decoders=None):
    decoders = {CONFIRMED: ARGMAX} if decoders is None else decoders
    said = [streams(one, decoders, LAG, PERIOD_NS) for one in clips]
    return score_clips(clips, said, PERIOD_NS)


# --- stored answers ---------------------------------------------------------------------------------------------------


def test_stored_answers_come_back_as_they_were(tmp_path):
    clips = [clip(), clip(name="two", offline=True)]
    answer_files.save(tmp_path / "test.npz", clips)
    for before, after in zip(clips, answer_files.load(tmp_path / "test.npz"), strict=True):
        for one, other in zip(before, after, strict=True):
            assert np.array_equal(one, other)
    assert [one.offline for one in answer_files.load(tmp_path / "test.npz")] == [False, True]


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "test.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(DatasetError, match=r"test\.npz: can't be read as stored answers"):
        answer_files.load(path)


# --- streams ----------------------------------------------------------------------------------------------------------


def test_a_confirmed_answer_is_about_its_tick_and_as_late_as_the_lag():
    said = streams(clip(now=np.roll(TRUTH, 2)), {CONFIRMED: ARGMAX}, LAG, PERIOD_NS)
    assert np.array_equal(said[CONFIRMED].labels, TRUTH)
    assert set((said[CONFIRMED].emitted_ns - said[PROVISIONAL].emitted_ns)[:-LAG]) == {LAG * PERIOD_NS}
    assert np.array_equal(said[PROVISIONAL].labels, np.roll(TRUTH, 2))
    found = scores(clip())
    assert found[CONFIRMED]["MoF"] == 100
    assert found[CONFIRMED]["latency median s"] == pytest.approx(0.4)
    assert found[PROVISIONAL]["latency median s"] == 0


def test_the_last_ticks_keep_the_action_in_force():
    truth = TRUTH.copy()
    truth[-2:] = 0  # too late to be confirmed
    said = streams(clip(about=truth), {CONFIRMED: ARGMAX}, LAG, PERIOD_NS)
    assert np.array_equal(said[CONFIRMED].labels, TRUTH)
    assert said[CONFIRMED].emitted_ns[-1] == (len(TRUTH) - 1) * PERIOD_NS


def test_a_clip_shorter_than_the_lag_is_answered_at_once():
    one = clip()
    short = ClipAnswers(*(value[:3] if isinstance(value, np.ndarray) else value for value in one))
    said = streams(short, {CONFIRMED: ARGMAX}, LAG, PERIOD_NS)
    assert np.array_equal(said[CONFIRMED].labels, TRUTH[:3])


def test_an_offline_system_has_one_output_and_no_latency():
    found = scores(clip(offline=True))
    assert list(found) == [OFFLINE]
    assert not any("latency" in metric for metric in found[OFFLINE])


def test_what_can_not_be_measured_is_none():
    quiet = clip()._replace(truth=np.full(len(TRUTH), NO_ACTION))
    assert scores(quiet)[PROVISIONAL]["MoF"] is None


def test_each_decoder_is_an_output_of_its_own():
    flicker = TRUTH.copy()
    flicker[[5, 15, 25]] = [2, 0, 0]
    calm = DecoderSpec("hysteresis", enter_probability=0.0, hold_ticks=2, smoothing=0.0)
    found = scores(clip(about=flicker), decoders={CONFIRMED: calm, CONFIRMED_ARGMAX: ARGMAX})
    assert found[CONFIRMED]["Edit"] == 100 > found[CONFIRMED_ARGMAX]["Edit"]


# --- rows and tables --------------------------------------------------------------------------------------------------


def run(mof=90.0, edit=90.0, latency=0.4, ratio=1.0, argmax_edit=50.0):
    metrics = {"MoF": mof, "Edit": edit, "F1@50": edit, "segment ratio": ratio}
    timed = {**metrics, "latency median s": latency, "latency p90 s": latency}
    model = {ALL_SPLITS: {MODEL: {"parameters": 12345.0, "ms per tick": 0.5}}}
    return {"unseen": {CONFIRMED: timed, CONFIRMED_ARGMAX: {**timed, "Edit": argmax_edit}}, **model}


def test_rows_tell_mean_and_std_over_the_finished_seeds():
    rows = rows_of(Entry("student", "transcripts", (run(80), None, run(90))))
    (row,) = [row for row in rows if (row.output, row.metric) == (CONFIRMED, "MoF")]
    assert (row.mean, row.seeds) == (85, 2)
    assert row.std == pytest.approx(np.std([80, 90], ddof=1))


def test_what_has_no_answers_on_a_split_is_no_line_of_its_table():
    aligned = Entry("realigned", "transcripts", ({"train": {"aligned": {"MoF": 90.0}}},))
    assert "realigned" not in markdown([aligned, Entry("student", "transcripts", (run(),))], "unseen", (CONFIRMED,))


def test_what_is_not_finished_stands_in_the_table_by_name():
    entries = [Entry("student", "transcripts", (run(), None)), Entry("GRU", "transcripts", (None, None))]
    text = markdown(entries, "unseen", (PROVISIONAL, CONFIRMED))
    assert "| student | transcripts | confirmed | 90.0 |" in text
    assert "| 12 345 | 0.50 | 1 of 2 |" in text
    assert "| GRU | transcripts | not finished | – |" in text
    assert len({line.count("|") for line in text.splitlines()}) == 1
    assert unfinished(entries) == [
        "student, transcripts: 1 of 2 seeds missing",
        "GRU, transcripts: 2 of 2 seeds missing",
    ]


def judged(student, baseline, annotated):
    entries = [
        Entry("student", "transcripts", student),
        Entry("GRU", "transcripts", baseline),
        Entry("student", "annotations", annotated),
    ]
    rows = [row for entry in entries for row in rows_of(entry)]
    return verdicts(rows, "student", "transcripts", ["GRU"], "unseen")


def test_aims_that_are_reached_hold():
    found = judged((run(90, 90), run(91, 91)), (run(80, 80), run(82, 82)), (run(95), run(96)))
    assert all(verdict.holds for verdict in found)
    assert len(found) == 7
    assert "**holds**" in verdict_lines(found)[0]


@pytest.mark.parametrize(
    ("student", "aim"),
    [
        ((run(edit=81), run(edit=83)), "Edit: ahead of GRU"),  # by less than the larger std
        ((run(latency=0.5), run(latency=0.5)), "latency p90 s: no worse than GRU"),
        ((run(mof=80), run(mof=80)), "MoF: within"),
        ((run(ratio=1.3), run(ratio=1.3)), "segment ratio"),
        ((run(argmax_edit=85), run(argmax_edit=85)), "the decoder removes"),
    ],
)
def test_an_aim_that_is_missed_is_said_to_be(student, aim):
    found = judged(student, (run(80, 80), run(82, 82)), (run(95), run(96)))
    (verdict,) = [verdict for verdict in found if verdict.aim.startswith(aim)]
    assert verdict.holds is False


def test_an_aim_without_figures_is_not_decided():
    found = judged((run(),), (None,), (None,))
    assert {verdict.holds for verdict in found} == {None, True}


def test_one_seed_alone_puts_nothing_ahead():
    found = judged((run(90, 90),), (run(80, 80),), (run(95),))
    ahead = [verdict for verdict in found if "ahead" in verdict.aim]
    assert {verdict.holds for verdict in ahead} == {None} and "a single seed" in ahead[0].figures


# --- pictures ---------------------------------------------------------------------------------------------------------

VOCABULARY = ("move", "pick", "place")


def latent_clip(seed: int) -> answer_files.Latents:
    random = np.random.default_rng(seed)
    centres = np.eye(ACTIONS, 8)[TRUTH]
    return answer_files.Latents(
        "one", TRUTH, random.normal(size=(40, 8)), 5 * centres + 0.01 * random.normal(size=(40, 8))
    )


def test_principal_axes_hold_most_of_the_variance():
    values = np.random.default_rng(0).normal(size=(100, 5)) * [10, 3, 0.1, 0.1, 0.1]
    places, shares = latents.principal(values)
    assert places.shape == (100, 2)
    assert shares.sum() == pytest.approx(1, abs=1e-2)
    assert abs(np.corrcoef(places[:, 0], values[:, 0])[0, 1]) > 0.99


def test_latents_change_where_the_action_does():
    found = latents.changes(latent_clip(0).context)
    assert set(np.argsort(found)[-3:]) == {10, 20, 30}
    assert found[0] == 0


def test_latents_come_back_from_their_file(tmp_path):
    answer_files.save_latents(tmp_path / "latents.npz", [latent_clip(0)])
    (after,) = answer_files.load_latents(tmp_path / "latents.npz")
    assert after.name == "one" and np.array_equal(after.actions, TRUTH)
    assert np.allclose(after.context, latent_clip(0).context, atol=1e-2)


def test_pictures_are_the_same_every_time(tmp_path):
    pytest.importorskip("matplotlib")
    row = dataclasses.replace(Row("s", "t", "unseen", CONFIRMED, "MoF", 80.0, 1.0, 3))
    points = [curves.Point(str(lag), dict.fromkeys((curves.LATENCY, *curves.SHOWN), row)) for lag in (0, 4)]
    for folder in ("a", "b"):
        curves.draw([curves.Curve("by lag", points), curves.Curve("GRU", points[:1])], "t", tmp_path / folder / "c.svg")
        latents.draw_scatter([latent_clip(0)], VOCABULARY, tmp_path / folder / "s.svg")
        latents.draw_changes(latent_clip(0), VOCABULARY, 0.1, tmp_path / folder / "d.svg")
    for name in ("c.svg", "s.svg", "d.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert "place" in (tmp_path / "a" / "s.svg").read_text()
