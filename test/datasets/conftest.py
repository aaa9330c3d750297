"""What the tests of planning and building share."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal_ros.datasets import build
from user_folder import Workplace


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A user's folder; bags are read in this process, which is quicker."""
    monkeypatch.setattr(build, "in_order", lambda job, made, _: map(job, made))
    return Workplace(tmp_path)
