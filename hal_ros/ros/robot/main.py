"""`ros2 run hal_ros simulated_robot`: the process; the node itself is in `hal_ros.ros.robot.node`."""

from __future__ import annotations

import importlib.util
import os
import sys

from hal_ros.ros.process import can_run, run

# MuJoCo and the software rasteriser read these when they are loaded. With two rendering threads a 640x480 picture takes
# 8 ms instead of 12, and that is part of every label's latency, as an image is stamped before it is rendered.
RENDERING = {"MUJOCO_GL": "egl", "LP_NUM_THREADS": "2"}


def main(arguments: list[str] | None = None) -> int:
    """Run the simulated robot until a signal ends it; returns the exit code."""
    for name, value in RENDERING.items():
        os.environ.setdefault(name, value)
    if not can_run():
        return 1
    if importlib.util.find_spec("mujoco") is None:
        print("hal_ros: the simulated robot needs MuJoCo: pip install mujoco==4.0.0", file=sys.stderr)
        return 1
    from hal_ros.ros.robot.node import SimulatedRobotNode  # late: it needs all of the above

    return run(SimulatedRobotNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
