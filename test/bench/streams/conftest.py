"""The node's rig, as in test/ros; the other tests here need no ROS, so it is imported late."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def rig(tmp_path: Path, ros_domain_id: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from ros_fakes import Rig

    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    rig = Rig(tmp_path, ros_domain_id)
    yield rig
    rig.close()
