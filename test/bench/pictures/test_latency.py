"""The ratio is of pairs that both answered, and a p99 that is too long misses as a p50 does."""

from __future__ import annotations

import pytest

from hal_ros.bench.pictures.latency import EXPECTED, WARM_UPS, latencies_ms, ratio_rows
from hal_ros.core.errors import HalError

COUNT = 200
MS = 1_000_000
Times = dict[str, dict[str, int]]


def run(bare_ms: float, real_ms: float, slow: int = 0, slow_ms: float = 0.0) -> tuple[Times, Times]:
    """Return what was sent and answered; the last `slow` answers of the segmenter take slow_ms."""
    sent = {"bare": {str(n): 100 * n * MS for n in range(COUNT)}, "segmenter": {str(n): 5 for n in range(COUNT)}}
    late = [slow_ms if n >= COUNT - slow else real_ms for n in range(COUNT)]
    real = {str(n): 5 + round(late[n] * MS) for n in range(COUNT)}
    return sent, {"bare": {k: t + round(bare_ms * MS) for k, t in sent["bare"].items()}, "segmenter": real}


@pytest.mark.parametrize(
    ("real_ms", "slow", "holds"), [(4.8, 0, (True, True)), (5.2, 0, (False, False)), (4.8, 4, (True, False))]
)
def test_each_percentile_has_its_own_verdict(real_ms: float, slow: int, holds: tuple[bool, bool]) -> None:
    rows = ratio_rows(latencies_ms(*run(4.0, real_ms, slow, 9.0)), {})
    assert [(row.name, row.unit, row.target) for row in rows[:2]] == EXPECTED
    assert tuple(row.holds for row in rows[:2]) == holds
    assert rows[0].value == pytest.approx(real_ms / 4.0)


def test_a_pair_that_one_did_not_answer_does_not_count() -> None:
    sent, answered = run(4.0, 4.0)
    for stamp in range(100):
        del answered["bare" if stamp % 2 else "segmenter"][str(stamp)]
    found = latencies_ms(sent, answered)
    assert found["bare"].size == found["segmenter"].size == COUNT - 100
    assert latencies_ms(*run(4.0, 4.0))["bare"].size == COUNT - WARM_UPS
    answered["bare"].clear()
    with pytest.raises(HalError, match="0 by the bare, 150 by the segmenter"):
        latencies_ms(sent, answered)


def test_what_is_not_the_nodes_is_the_way() -> None:
    stages = {f"{stage}_p50_ms": "0.5" for stage in ("wait", "convert", "encode", "step", "publish")}
    rows = {row.name: row for row in ratio_rows(latencies_ms(*run(4.0, 5.0)), {**stages, "total_p50_ms": "3.5"})}
    assert rows["of this, on the way to it and back, p50"].value == pytest.approx(1.5)
    assert "encode 0.5" in rows["of this, in the segmenter itself, p50"].note
