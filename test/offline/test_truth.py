"""Truth from an annotation: where it is found, what it says at each label, and that the recorded one goes first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hal_ros.core.errors import DatasetError
from hal_ros.offline.recording import read_recording
from hal_ros.offline.truth import annotated_truth, place_of_annotation
from recordings import Story, write_story

WORDS = ("reach", "grasp", "pour")

SEGMENTS = [{"action": "grasp", "start_ns": 100, "end_ns": 200}, {"action": "reach", "start_ns": 300, "end_ns": 400}]
A_B = "A" * 10 + "B" * 10


def annotate(path: Path, segments: object = SEGMENTS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"segments": segments}))
    return path


def test_each_stamp_has_the_action_of_its_segment(tmp_path: Path) -> None:
    marks = annotated_truth(annotate(tmp_path / "mine.json"), [99, 100, 199, 200, 300, 400])
    assert [mark.action for mark in marks] == ["", "grasp", "grasp", "", "reach", ""]


@pytest.mark.parametrize(
    "segments",
    [
        SEGMENTS[::-1],
        [{"action": "grasp", "start_ns": 5, "end_ns": 5}],
        {"a": 1},
        [{"action": "grasp", "start_ns": 5, "end_ns": 9}],  # seconds, or another recording's: no tick lies there
    ],
)
def test_a_broken_annotation_is_one_line_that_names_it(tmp_path: Path, segments: object) -> None:
    with pytest.raises(DatasetError, match=r"mine\.json"):
        annotated_truth(annotate(tmp_path / "mine.json", segments), [100])


def test_an_annotation_is_found_beside_a_recording_and_beside_what_it_was_labelled_from(tmp_path: Path) -> None:
    ours = annotate(tmp_path / "run" / "annotation.json")
    (tmp_path / "run-labelled").mkdir()
    (tmp_path / "run" / "run_0.mcap").touch()
    assert place_of_annotation(tmp_path / "run") == place_of_annotation(tmp_path / "run-labelled") == ours
    assert place_of_annotation(tmp_path / "run" / "run_0.mcap") == ours
    assert place_of_annotation(tmp_path / "other-labelled") is None


def test_the_recorded_truth_goes_before_an_annotation(tmp_path: Path) -> None:
    story = Story(WORDS, truth=A_B, provisional=A_B, confirmed=A_B)
    for name, truth, expected in (("with", A_B, {"reach", "grasp"}), ("without", "", {"pour"})):
        path = write_story(tmp_path / name, story._replace(truth=truth))
        labels = read_recording(path).labels
        span = {"start_ns": labels[0].stamp_ns, "end_ns": labels[-1].stamp_ns + 1}
        annotation = annotate(tmp_path / f"{name}.json", [{"action": "pour", **span}])
        assert {mark.action for mark in read_recording(path, annotation=annotation).truth} == expected
