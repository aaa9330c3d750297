"""What is counted of a stream is told by stream and cause, in words."""

from __future__ import annotations

from collections import Counter

from hal_ros.core.streams import counts

CAUSES = {value for name, value in vars(counts).items() if name.isupper() and isinstance(value, str)}


def test_every_cause_has_words() -> None:
    assert set(counts.CAUSES) == CAUSES - {counts.RECEIVED}
    assert set(counts.OF_TICKS) < CAUSES and set(counts.HARMLESS) < CAUSES


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
