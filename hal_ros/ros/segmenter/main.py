"""`ros2 run hal_ros segmenter`: the process; the lifecycle node itself is in `hal_ros.ros.segmenter.node`."""

from __future__ import annotations

import sys

from hal_ros.ros.process import can_run, run

SWITCH_S = 1e-4
"""How long the executor's thread may go on in Python while the worker's has a picture to begin with."""


def main(arguments: list[str] | None = None) -> int:
    """Run the segmenter until a signal ends it; returns the exit code."""
    if not can_run():
        return 1
    from hal_ros.ros.segmenter.node import SegmenterNode  # late: it needs hal_msgs

    sys.setswitchinterval(SWITCH_S)
    return run(SegmenterNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
