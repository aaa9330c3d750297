"""The programs of the package: `hal`, `python -m hal_ros`, and what `ros2 run` starts.

Nothing is imported before an interrupt is taken care of: a Ctrl-C while libraries load ends a program, and is no error.
"""

import sys

INTERRUPTED = 130


def hal() -> int:
    """Run the command line; returns the exit code."""
    try:
        from hal_ros.cli import main
        from hal_ros.outside.open_files import allow_most

        allow_most()
        return main()
    except KeyboardInterrupt:
        return INTERRUPTED


def node(name: str) -> int:
    """Run one of `live.nodes.NODES` as a program of its own; returns the exit code."""
    try:
        import importlib

        from hal_ros.live.nodes import NODES

        return int(importlib.import_module(NODES[name][0]).main() or 0)
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(hal())
