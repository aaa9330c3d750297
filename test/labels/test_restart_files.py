"""Restarts come back from a run's folder as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hal_ros.core.errors import DatasetError
from hal_ros.labels.restart_files import RESTARTS, Checks, load_checks, save_checks
from hal_ros.labels.transcripts.restarts import Restarts

BROKEN = '{"unplaced": [], "restarts": {"clips": {"a": [{"actions": [0], "ticks": ["x"]}]}}}'


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    found = Restarts({"a": [np.repeat([0, 2, 1], 4), np.repeat([0, 1], 6)], "b": []}, -1.5, 12.25)
    save_checks(tmp_path, Checks(found, frozenset({(0, 2), (2, 1)})))
    checks = load_checks(tmp_path)
    again = checks.restarts
    assert again is not None and (again.held_out_nats, again.mean_segment_ticks) == (-1.5, 12.25)
    assert checks.unplaced == {(0, 2), (2, 1)} and again.versions.keys() == {"a", "b"}
    for one, other in zip(found.versions["a"], again.versions["a"], strict=True):
        assert one.tolist() == other.tolist()
    save_checks(tmp_path, Checks(None))
    assert load_checks(tmp_path) == Checks(None)


@pytest.mark.parametrize(
    "text", ["[", "[]", "{}", '{"unplaced": [], "restarts": {"clips": {"a": [{"actions": [0], "ticks": ["x"]}]}}}']
)
def test_another_file_is_refused_by_name(text: str, tmp_path: Path) -> None:
    (tmp_path / RESTARTS).write_text(text)
    with pytest.raises(DatasetError, match=RESTARTS):
        load_checks(tmp_path)
