"""What the node cost is taken from its samples and its own counters; nothing is invented where these are missing."""

from __future__ import annotations

import pytest

from hal_ros.bench.live import ProcessSample
from hal_ros.bench.streams import live
from hal_ros.offline.recording import LabelAnswer, Recording, Status

START_S = 1000.0
SENT = {"arm": 500, "wrench": 100, "front": 15, "wrist": 15}


def recording(taken: dict[str, int], seconds: int = 20) -> Recording:
    """A run with a label each second from START_S on, whose node says what it took of each stream."""
    stamps = [round((START_S + second) * 1e9) for second in range(seconds)]
    labels = tuple(LabelAnswer(s, s + 5_000_000, s, 0, "pour", 0.9, None, "", 0.0) for s in stamps)
    statuses = tuple(
        Status(f"segmenter: {name}", "OK", "", {"images" if name in ("front", "wrist") else "messages": str(count)})
        for name, count in taken.items()
    )
    return Recording("run", labels, statuses=statuses)


def samples(cpu: float, memory_mb: float) -> list[ProcessSample]:
    """Looks each second from before the first label to after the last one; outside of them the process rests."""
    busy_s = [min(max(0.0, second), 20.0) for second in range(-5, 30)]
    return [ProcessSample(START_S + i - 5, cpu * busy, memory_mb) for i, busy in enumerate(busy_s)]


def test_only_what_lies_between_labels_counts() -> None:
    busy = live.while_busy(samples(0.3, 200.0), recording(SENT))
    assert [busy[0].time_s, busy[-1].time_s] == [START_S + 6, START_S + 19]  # labels come 5 ms after their stamps
    cpu, memory = live.cost_rows(busy)
    assert (cpu.value, cpu.holds, memory.value, memory.holds) == (pytest.approx(30.0), True, 200.0, True)
    cpu, memory = live.cost_rows(live.while_busy(samples(0.61, 451.0), recording(SENT)))
    assert (cpu.holds, memory.holds) == (False, False)


def test_without_samples_both_rows_say_so() -> None:
    rows = live.cost_rows([])
    assert [(row.name, row.unit, row.target) for row in rows] == live.EXPECTED[:2]
    assert all(row.value is None and "0 samples" in row.note for row in rows)


@pytest.mark.parametrize("stream", SENT)
def test_a_message_of_any_stream_that_was_not_taken_is_lost(stream: str) -> None:
    assert live.loss_row(recording(SENT), SENT).value == 0
    row = live.loss_row(recording(SENT | {stream: SENT[stream] - 2}), SENT)
    assert (row.value, row.holds) == (2, False)
    assert f"2 of {SENT[stream]} of {stream}" in row.note


def test_losses_that_cannot_be_known_are_not_invented() -> None:
    row = live.loss_row(recording({name: count for name, count in SENT.items() if name != "wrist"}), SENT)
    assert row.value is None and "wrist" in row.note


def test_latency_is_receive_time_minus_stamp() -> None:
    assert [row.value for row in live.latency_rows(recording(SENT))] == [pytest.approx(5.0)] * 2
