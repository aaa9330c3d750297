"""What is counted is judged: a node that gives no answers, or useless ones, says so and why."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from fakes import make_streams
from hal_ros.core.streams import counts
from hal_ros.ros.segmenter.diagnostics import FAULTS, TOLD_OTHERWISE, NodeSnapshot, Silence, StreamSnapshot, report

pytestmark = pytest.mark.ros
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
SPEC = make_streams(rate_hz=10.0, max_held_ticks=5)
SEEN = {name: StreamSnapshot((f"/{name}",), age_s=0.1) for name in SPEC.names}


def judged(part: str, counters: dict[str, int], **changes: Any) -> DiagnosticStatus:
    fields: dict[str, Any] = {
        "period_s": 1.0,
        "active_s": 60.0,
        "earlier": Counter({counts.RESTARTS: 1}),
        "earlier_s": 10.0,
        "streams": SEEN,
    }
    snapshot = NodeSnapshot("active", counters=Counter(counters), **fields | changes)
    statuses = report("left/segmenter", snapshot, ("tabletop", SPEC), Silence(2.0, 2.0))
    return next(status for status in statuses if status.name == f"left/segmenter: {part}")


WELL = {"labels": 10, "due": 10, "restarts": 1, "camera/received": 300, "joints/received": 1000}


def test_a_node_that_is_well_says_so() -> None:
    assert [judged(part, WELL).level for part in ("model", "camera", "joints")] == [OK, OK, OK]


def test_a_camera_that_is_too_slow_is_named_with_both_rates() -> None:
    slow = WELL | {"restarts": 12, "camera/received": 12}
    status = judged("model", slow)
    assert status.level == WARN
    assert "began anew 11 times" in status.message
    assert "camera comes at 1.2 Hz, the model's ticks at 10 Hz; expected 1.7 Hz at least" in status.message


def test_the_first_grid_and_those_that_were_asked_for_are_no_fault() -> None:
    explained = WELL | {"restarts": 4, "resets": 2, "silences": 1}
    assert judged("model", explained).level == OK
    assert judged("model", WELL, earlier=Counter()).level == OK
    assert judged("model", explained | {"restarts": 5}).level == WARN  # negative control


def test_images_without_labels_are_a_fault() -> None:
    status = judged("model", WELL, unanswered_s=5.0)
    assert status.level == WARN and "no label for 5.0 s, though images of camera come" in status.message


def test_messages_that_find_no_partners_are_the_reason_and_nothing_runs_on_the_camera_alone() -> None:
    waiting = {"unpaired": 80, "camera/received": 0, "restarts": 1}
    seen = SEEN | {"joints": StreamSnapshot(("/joints",), age_s=30.0)}
    status = judged("model", waiting, unanswered_s=20.0, streams=seen)
    assert status.level == WARN and "message_filters has found no partners for 80 images" in status.message
    status = judged("joints", waiting, unanswered_s=20.0, streams=seen)
    assert "alone" not in status.message and "message_filters waits for it" in status.message


@pytest.mark.parametrize("cause", FAULTS)
def test_every_fault_of_the_table_is_said_in_its_words(cause: str) -> None:
    name = cause if cause in ("backwards", "outlier") else counts.key("joints", cause)
    part = "camera" if name == cause else "joints"
    status = judged(part, WELL | {name: 3})
    assert status.level == WARN and counts.TABLE[cause].words in status.message


def test_every_fault_is_judged_somewhere() -> None:
    grave = {name for name, one in counts.TABLE.items() if one.severity}
    assert grave == {*FAULTS, *TOLD_OTHERWISE, counts.OVERRUNS, counts.RESTARTS, counts.SKIPPED}


def test_the_hint_at_shared_memory_comes_with_images_that_are_lost() -> None:
    assert "fastdds.xml" in judged("camera", WELL | {"camera/lost": 5}).message
    assert "fastdds.xml" not in judged("joints", WELL | {"joints/lost": 5}).message


def test_two_robots_are_told_apart_and_a_namesake_is_told() -> None:
    assert judged("model", WELL).hardware_id == "tabletop"
    (status,) = report("left/segmenter", NodeSnapshot("unconfigured", 1.0, 0.0), None, Silence(2.0, 2.0))
    assert (status.name, status.hardware_id) == ("left/segmenter: model", "left/segmenter")
    assert "another node has this one's name" in judged("model", WELL, namesake=True).message
