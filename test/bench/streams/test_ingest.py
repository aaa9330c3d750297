"""The bag that is timed is ingested whole: each tick has both cameras and all states."""

from __future__ import annotations

from pathlib import Path

from hal_ros.bench.streams import ingest
from hal_ros.datasets import episodes


def test_the_rows_come_out_of_a_healthy_episode(tmp_path: Path) -> None:
    rows = ingest.rows(tmp_path, seconds=1)
    assert [(row.name, row.unit, row.target) for row in rows if row.target] == ingest.EXPECTED
    assert all(isinstance(row.value, float) and row.value > 0 for row in rows)
    (cached,) = (tmp_path / "cache").iterdir()
    episode = episodes.load(cached)
    assert len(episode.stamp_ns) == 10 and not episode.held.any()
    assert episode.joints_valid.all() and episode.image_valid.all()
    assert not episodes.faults(episode.counters)
