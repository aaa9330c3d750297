"""What is counted of a stream is told by stream and cause, in words."""

from __future__ import annotations

from collections import Counter

from hal_ros.core.streams import counts

NAMES = {value for name, value in vars(counts).items() if name.isupper() and isinstance(value, str)}


def test_every_counter_has_a_severity_and_words() -> None:
    assert set(counts.TABLE) == NAMES
    assert set(counts.CAUSES) < NAMES and set(counts.OF_TICKS) < NAMES and set(counts.HARMLESS) < NAMES
    assert list(counts.TABLE.values()) == sorted(counts.TABLE.values(), key=lambda one: -one.severity)


def test_faults_are_told_the_gravest_first_and_what_is_healthy_is_not() -> None:
    counters = Counter({"due": 90, "not_due": 50, "restarts": 1, "joints/late": 3, "joints/received": 70})
    assert counts.faults(counters) == []
    counters.update({"restarts": 1, "outlier": 1, "backwards": 0, "joints/partial": 2, "joints/zero": 1})
    counters.update({"front/unreadable": 4, "no schema": 5})
    assert counts.faults(counters) == [
        "1 message with a stamp from which the next one did not go on",
        "1 restart of the tick grid",
        "no schema: 5 messages",
        "front: 4 messages unreadable",
        "joints: 1 message without a stamp",
        "joints: 2 ticks partial",
    ]
    assert counts.faults(counters, counts.ERROR) == ["front: 4 messages unreadable"]
    assert counts.severity("no schema") == counts.WARN  # what only a reader's own words tell is a fault


def test_counters_are_found_again_by_stream() -> None:
    counters = Counter(
        {"due": 3, counts.key("arm", counts.LATE): 2, counts.key("arm_2", counts.ZERO): 1, "arm/zero": 0}
    )
    counters += Counter({"/odd/topic is not CDR of a named type": 4, "the rest (/odd)": 1})  # of a bag's reader
    assert list(counts.by_stream(counters)) == [("arm", "late", 2), ("arm_2", "zero", 1)]
    assert counts.of_stream(counters, "arm") == Counter(late=2)


def test_a_count_is_told_in_words() -> None:
    assert counts.stream_fault("arm", counts.PARTIAL, 3) == "arm: 3 ticks partial"
    assert counts.stream_fault("front", counts.MALFORMED, 1) == "front: 1 message malformed"
    assert counts.stream_fault("arm", counts.UNNAMED, 2) == "arm: 2 messages that name nothing the model knows"
