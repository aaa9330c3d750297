"""What is said of a run: speed by the robot's own stamps, and why messages could not be read."""

from __future__ import annotations

from collections import Counter

from hal_ros.bags.answer_messages import BOUNDARY_TYPE, LABEL_TYPE
from hal_ros.bags.messages import header_message, serialise
from hal_ros.bags.reader import BagMessage
from hal_ros.offline.replay import BOUNDARY_TOPIC, LABEL_TOPIC
from hal_ros.offline.summary import AnswerTally, summary_lines


def tally(*stamps_ns: int) -> AnswerTally:
    found = AnswerTally()
    labels = [BagMessage(LABEL_TOPIC, LABEL_TYPE, 0, serialise(header_message(stamp, "cam"))) for stamp in stamps_ns]
    answers = [*labels, BagMessage(BOUNDARY_TOPIC, BOUNDARY_TYPE, 7, b"")]
    assert list(found.of(answers)) == answers
    return found


def test_speed_is_that_of_the_stamps_whatever_the_log_times() -> None:
    lines = list(summary_lines(tally(5_000_000_000, 6_000_000_000, 9_000_000_000), 2.0, Counter()))
    assert lines == ["3 labels, 1 boundaries", "4.0 s in 2.0 s: 2.0 times real time"]


def test_speed_is_unknown_where_stamps_go_back() -> None:
    (_, line) = summary_lines(tally(9_000_000_000, 5_000_000_000), 2.0, Counter())
    assert line == "done in 2.0 s; how long it took the robot is unknown, as its stamps go back"
    assert list(summary_lines(tally(5), 2.0, Counter())) == ["1 labels, 1 boundaries"]


def test_the_first_reason_stands_for_all() -> None:
    counters = Counter({"front/unreadable": 41})
    lines = list(summary_lines(tally(5), 1.0, counters, {"front/unreadable": "encoding 'rgb9' is not supported"}))
    assert lines[1:] == [
        "counted: front: 41 messages unreadable",
        "front: unreadable, the first one because: encoding 'rgb9' is not supported",
    ]
