"""What was aimed at: reached, missed, or not decided."""

from __future__ import annotations

from typing import Any

import pytest

from hal_ros.experiments.documents.aims import Aim, verdict_lines, verdicts
from hal_ros.experiments.documents.markdown import SystemScores, rows_of
from run_scores import run


def judged(student: Any, baseline: Any, annotated: Any) -> Any:
    entries = [
        SystemScores("student", "transcripts", student),
        SystemScores("GRU", "transcripts", baseline),
        SystemScores("student", "annotations", annotated),
    ]
    rows = [row for entry in entries for row in rows_of(entry)]
    return verdicts(rows, Aim("student", "transcripts", ("GRU",), "unseen"))


def test_aims_that_are_reached_hold() -> None:
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
def test_an_aim_that_is_missed_is_said_to_be(student: tuple[Any, ...], aim: str) -> None:
    found = judged(student, (run(80, 80), run(82, 82)), (run(95), run(96)))
    (verdict,) = [verdict for verdict in found if verdict.aim.startswith(aim)]
    assert verdict.holds is False


def test_an_aim_without_figures_is_not_decided() -> None:
    found = judged((run(),), (None,), (None,))
    assert {verdict.holds for verdict in found} == {None, True}


def test_one_seed_alone_puts_nothing_ahead() -> None:
    found = judged((run(90, 90),), (run(80, 80),), (run(95),))
    ahead = [verdict for verdict in found if "ahead" in verdict.aim]
    assert {verdict.holds for verdict in ahead} == {None} and "a single seed" in ahead[0].figures
