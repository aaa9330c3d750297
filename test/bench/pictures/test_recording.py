"""Pictures that are not in the file are lost; where the disk itself is too slow, that is said and nothing judged."""

from __future__ import annotations

from pathlib import Path

from hal_ros.bags.writer import BagWriter
from hal_ros.bench.pictures.recording import EXPECTED, TOPICS, RecorderRun, loss_rows, plain_write_s, recorded_counts

SENT = dict.fromkeys(TOPICS, 240)


def test_each_picture_that_is_not_in_the_file_is_lost() -> None:
    whole = loss_rows(RecorderRun(SENT, SENT, 720, 8.0, 2.0))
    assert [(row.name, row.unit, row.target) for row in whole[:1]] == EXPECTED
    assert (whole[0].value, whole[0].holds) == (0, True)
    lossy = loss_rows(RecorderRun(SENT, {**SENT, TOPICS[1]: 200}, 720, 8.0, 2.0))
    assert (lossy[0].value, lossy[0].holds) == (40, False) and f"40 of 240 of {TOPICS[1]}" in lossy[0].note
    assert loss_rows(RecorderRun(SENT, {}, 720, 8.0, 2.0))[0].value == 720


def test_a_disk_that_is_too_slow_is_no_fault_of_the_recorder() -> None:
    rows = loss_rows(RecorderRun(SENT, {}, 720, 8.0, 9.0))
    assert rows[0].value is None and "a plain write of the same bytes takes 9.0 s for 8 s; lost: 240" in rows[0].note
    assert {row.name: row.value for row in rows}["of those due, sent by the cameras"] == 100


def test_counts_are_those_of_the_file(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "run.mcap") as bag:
        for topic, count in zip(TOPICS, (3, 1), strict=False):
            for number in range(count):
                bag.write(topic, "std_msgs/msg/String", b"\0\1\0\0\1\0\0\0\0\0\0\0", number)
    assert recorded_counts(tmp_path / "run.mcap") == {TOPICS[0]: 3, TOPICS[1]: 1}


def test_a_plain_write_leaves_nothing(tmp_path: Path) -> None:
    assert plain_write_s(tmp_path / "plain", 2) > 0
    assert not list(tmp_path.iterdir())
