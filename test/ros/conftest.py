"""One rig for each test: its own context, executor and ROS domain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ros_fakes import Rig


@pytest.fixture
def rig(tmp_path: Path, ros_domain_id: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    rig = Rig(tmp_path, ros_domain_id)
    yield rig
    rig.close()
