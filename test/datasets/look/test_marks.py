"""Marks: what a line means on ticks, and that whatever is wrong with them is one line that names it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.datasets.episodes import ANNOTATION, Episode
from hal_ros.datasets.look.marks import MARKS, on_ticks, read_marks
from hal_ros.datasets.look.told import read_told

N = NO_ACTION
TICKS, ORIGIN = 10, 5_000_000_000
STAMPS = ORIGIN + 100_000_000 * np.arange(TICKS)
WORDS = ("grasp", "lift", "reach")
EPISODE = Episode(
    name="demo",
    stamp_ns=STAMPS,
    fresh=np.eye(1, TICKS, dtype=bool)[0],
    held=np.zeros(TICKS, bool),
    image_valid=np.zeros((TICKS, 0), np.float32),
    images={},
    joints=np.zeros((TICKS, 1), np.float32),
    joints_valid=np.ones((TICKS, 1), np.float32),
    actions=None,
    transcript=("reach", "grasp", "lift"),
    counters={},
)


def told(folder: Path, *lines: str, episode: Episode = EPISODE) -> list[int]:
    (folder / MARKS).write_text("\n".join(lines))
    return read_told(folder, episode, WORDS).actions.tolist()


HEAD = "start_s,end_s,action"


@pytest.mark.parametrize(
    ("line", "known"),
    [
        ("0.1,0.3,reach", {1: 2, 2: 2}),  # its end is not in it
        ("0.42,,grasp", {4: 0}),  # a moment is the nearest tick's
        ("0.41,0.44,grasp", {4: 0}),  # so is a stretch between two
        ("0.35,,reach->grasp", {3: 2, 4: 0}),  # a boundary tells both sides
        ("0.4,,reach -> grasp", {3: 2, 4: 0}),
    ],
)
def test_a_line_tells_these_ticks(tmp_path: Path, line: str, known: dict[int, int]) -> None:
    expected = [known.get(tick, N) for tick in range(TICKS)]
    assert told(tmp_path, HEAD, line) == expected
    start, end, action = line.split(",")
    stamps = [str(ORIGIN + round(float(cell) * 1e9)) if cell else "" for cell in (start, end)]
    assert told(tmp_path, "start_ns,end_ns,action", ",".join([*stamps, action])) == expected


@pytest.mark.parametrize("end", ["", "\r"])
def test_a_spreadsheets_semicolons_and_decimal_commas_are_read(tmp_path: Path, end: str) -> None:
    lines = [HEAD.replace(",", ";"), "0,1;0,3;reach", '"0,42";;"grasp"', "0.8;;grasp -> lift"]
    assert told(tmp_path, *(line + end for line in lines)) == [N, 2, 2, N, 0, N, N, 0, 1, N]
    with pytest.raises(DatasetError, match=r"marks\.csv:2: time '1\.000\.5'; expected seconds"):
        told(tmp_path, lines[0], "1.000,5;;reach")


def test_marks_fill_what_an_annotation_leaves_and_tools_are_kept_apart(tmp_path: Path) -> None:
    annotated = np.full(TICKS, N)
    annotated[:4] = 2
    lines = (HEAD + ",source", "0.5,0.6,grasp", "0,1,lift,vlm", "0.4,0.6,reach,rules")
    assert told(tmp_path, *lines, episode=replace(EPISODE, actions=annotated)) == [2] * 4 + [N, 0] + [N] * 4
    marks = read_marks(tmp_path / MARKS)
    assert marks is not None
    claims = on_ticks(marks, STAMPS, WORDS).claims
    assert claims["vlm"].tolist() == [1] * TICKS and claims["rules"].tolist() == [N] * 4 + [2, 2] + [N] * 4


WRONG = {
    "is empty": ((), "is empty; expected a first line start_s"),
    "has no mark": ((HEAD,), "holds no mark"),
    "has another head": (("from,to,what", "0,1,reach"), "begins with 'from,to,what'"),
    "has too few columns": ((HEAD, "0.1,reach"), ":2: has 2 columns"),
    "has no number": ((HEAD, "0:10,,reach"), ":2: time '0:10'; expected seconds"),
    "has not a number": ((HEAD, "nan,,reach"), "time 'nan'"),
    "has no number that is so large": ((HEAD, "1e308,,reach"), "time '1e308'; expected seconds"),
    "has parts of nanoseconds": (("start_ns,end_ns,action", "5e9,,reach"), "a whole number"),
    "has no action": ((HEAD, "0.1,0.2,"), "expected a start and an action"),
    "ends before it starts": ((HEAD, "0.3,0.2,reach"), "expected an end after its start"),
    "has a long boundary": ((HEAD, "0.3,0.4,reach->grasp"), "expected no end"),
    "changes nothing": ((HEAD, "0.3,,reach->reach"), "changes nothing"),
    "names no action": ((HEAD, "0.3,,graps"), "action 'graps' is in no transcript .* did you mean grasp?"),
    "lies behind the end": ((HEAD, "7.5,,reach"), ":2: lies outside the episode, which lasts 0.90 s"),
    "holds stamps as seconds": ((HEAD, "1700000000,,reach"), "stamps belong under start_ns,end_ns"),
    "begins with a boundary": ((HEAD, "0,,reach->grasp"), "has no tick on either side"),
    "contradicts itself": ((HEAD, "0.1,0.5,reach", "0.4,,grasp"), ":3: says grasp of 0.40 s, line 2 says reach"),
    "contradicts the transcript": ((HEAD, "0.2,,grasp", "0.4,,reach"), "reach at 0.40 s; expected the order of"),
    "leaves no room": ((HEAD, "0.1,0.9,reach", "0.9,,grasp"), "leave no room for the end of transcript.txt"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_one_line(tmp_path: Path, what: str) -> None:
    lines, message = WRONG[what]
    with pytest.raises(DatasetError, match=message) as caught:
        told(tmp_path, *lines)
    assert "\n" not in str(caught.value) and MARKS in str(caught.value)


def test_marks_and_transcript_that_contradict_an_annotation_are_refused(tmp_path: Path) -> None:
    annotated = replace(EPISODE, actions=np.array([2] * 4 + [0] * 3 + [1] * 3))
    with pytest.raises(DatasetError, match=r"says grasp of tick 2; expected reach, as annotation\.json has it"):
        told(tmp_path, HEAD, "0.2,,grasp", episode=annotated)
    for actions in (("reach", "lift", "grasp"), ("push",)):
        _annotate(tmp_path, actions)
        with pytest.raises(DatasetError, match=f"'{actions[-1]}', action {len(actions)}, is not in the order of"):
            told(tmp_path, HEAD, "0.2,,reach", episode=annotated)


@pytest.mark.parametrize(("actions", "whole"), [(("reach", "grasp", "lift"), True), (("reach", "lift"), False)])
def test_an_annotation_of_some_of_the_actions_is_no_more_than_marks(
    tmp_path: Path, actions: tuple[str, ...], whole: bool
) -> None:
    _annotate(tmp_path, actions)
    assert read_told(tmp_path, EPISODE, WORDS).whole is whole
    assert read_told(tmp_path, replace(EPISODE, transcript=()), WORDS).whole


def _annotate(folder: Path, actions: tuple[str, ...]) -> None:
    segments = [{"action": action, "start_ns": k, "end_ns": k + 1} for k, action in enumerate(actions)]
    (folder / ANNOTATION).write_text(json.dumps({"segments": segments}))


def test_a_link_that_leads_nowhere_is_no_missing_file(tmp_path: Path) -> None:
    for link in (tmp_path / MARKS, tmp_path / "loop.csv"):
        link.symlink_to(link.name if link.name == "loop.csv" else "gone.csv")
        with pytest.raises(DatasetError, match="can't be read"):
            read_marks(link)
