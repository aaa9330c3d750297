"""Supervisions as a declaration names them."""

from __future__ import annotations

from typing import Any

import pytest

from hal_ros.core.errors import ConfigError
from hal_ros.experiments.blocks import measured_under, read_blocks, that_fit

DECLARED = {"systems": ["student", "gru", "logistic"], "teachers": {"plain": {}}}


def declared(**blocks: Any) -> dict[str, Any]:
    return {**DECLARED, "blocks": blocks}


def test_blocks_tell_what_is_known_and_who_learns_from_it() -> None:
    found = read_blocks(
        declared(
            transcripts="plain",
            annotations=None,
            three={"teacher": "plain", "annotated": 3, "systems": ["gru"]},
            marks={"teacher": "plain", "marks": 5},
            mixed={"teacher": "plain", "mixed": True},
        )
    )
    assert [block.source for block in found.values()] == ["transcripts", "annotations", "three", "marks", "mixed"]
    assert [block.is_told for block in found.values()] == [False, False, True, True, True]
    assert found["three"].systems == ("gru",) and found["marks"].systems == ("student", "gru", "logistic")
    assert found["transcripts"].told(7) == {}
    assert found["three"].told(7) == {"told": {"annotated": 3, "marks": 0, "seed": 7}}
    assert found["mixed"].told(7) == {"told": {"mixed": True}}, "nothing is drawn"
    blocks = [*found.values()]
    assert measured_under(blocks).name == "annotations" and measured_under(blocks[2:]).name == "three"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"teacher": "plain", "anotated": 3}, "'x' has 'anotated'; expected a teacher's name, or some of teacher"),
        ([], r"'x' has \[\]; expected"),
        ("hal", "'x': teacher is 'hal'; expected one of plain"),
        ({"teacher": "plain", "annotated": 1.5}, r"annotated is 1\.5; expected a number of episodes"),
        ({"teacher": "plain", "systems": ["rule"]}, "'x': 'rule' is none of the systems; expected some of student"),
    ],
)
def test_a_block_that_can_not_be_is_named(said: Any, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        read_blocks(declared(x=said))


def test_blocks_that_annotate_more_than_there_is_are_left_out_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = {f"{count} annotated": {"teacher": "plain", "annotated": count} for count in (3, 10)}
    assert list(that_fit(declared(**blocks), 8, "panda")["blocks"]) == ["3 annotated"]
    assert capsys.readouterr().out == "panda: 10 annotated: left out, there are 8 training episodes\n"
