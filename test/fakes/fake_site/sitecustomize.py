"""Read by Python at its start: a process that a test with fakes starts has the fake GPU, too, once it asks for one."""

from __future__ import annotations

import os
from typing import Any


def _open(name: str, mode: int) -> Any:
    import fake_tensorrt  # late: it takes seconds, and most processes need no GPU

    fake_tensorrt.install_in_child()
    return cudart._open(name, mode)


if "HAL_ROS_FAKE_TENSORRT" in os.environ:
    import hal_ros.tensorrt.cudart as cudart

    cudart._open = _open
