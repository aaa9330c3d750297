"""Running one node as a process: arguments in, an exit code out, and a Ctrl-C that always ends it in order."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from rclpy.exceptions import NameValidationException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from hal_ros.core.errors import ConfigError, HalError
from hal_ros.core.printable import one_line
from hal_ros.outside.terminal import printable_output

SIGNALS = (signal.SIGINT, signal.SIGTERM)
POLL_S = 0.1
"""How soon a signal is seen by a node that nothing else wakes."""

NO_MESSAGES = (
    "hal_ros: the messages of hal_msgs are not built. In a colcon workspace: "
    "colcon build --base-paths src src/hal_ros/hal_msgs; without one: pip install ./hal_msgs"
)

# What rosdep does not know; `colcon build` installs none of it.
PYTHON_PACKAGES = ("mcap", "numpy", "onnxruntime", "rosbags", "yaml", "zstandard")


def can_run() -> bool:
    """Say on stderr what to do when hal_msgs or a Python package is absent; returns whether all are there."""
    absent = [name for name in PYTHON_PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        print(f"hal_ros: Python can't find {', '.join(absent)}: see 'On your own robot' in the README", file=sys.stderr)
        return False
    try:
        from hal_msgs.msg import ActionLabel  # noqa: F401
    except ImportError:  # also where Python takes the source folder of that name for a package
        print(NO_MESSAGES, file=sys.stderr)
        return False
    return True


def run(make_node: Callable[[], Any], arguments: Sequence[str] | None = None) -> int:
    """Make a node, spin it until SIGINT, SIGTERM or a shutdown of the context, and end it; returns the exit code.

    Beside what every node has, it needs `start()`, which may raise HalError, and `stop()`, called while messages can
    still be published; it may return an exit code. Its `is_ending` is set: it tells whether a signal came, for
    callbacks that last long.

    rclpy's own handlers would invalidate the context at once, so that a node could not publish its last messages;
    and a KeyboardInterrupt may come anywhere. So signals only set a flag here, however many come, and none once the
    node has ended. What still hangs then, such as a model in a thread of its own, ends with the process.
    """
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    for kind in SIGNALS:
        signal.signal(kind, end)  # also where the parent ignores it
    code = _run(make_node, arguments, lambda: ended)
    for kind in SIGNALS:
        signal.signal(kind, signal.SIG_IGN)  # Python's own end would bring the default back, which kills
    if any(thread is not threading.main_thread() for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # libraries are not taken down under a thread that is still in them
    return code


def _run(make_node: Callable[[], Any], arguments: Sequence[str] | None, ended: Callable[[], bool]) -> int:
    node: Any = None
    code = 0
    try:
        _init(arguments)
        with printable_output():
            node = make_node()
            node.is_ending = ended
            _spin(node, ended)
    except (HalError, NameValidationException) as error:
        print(f"hal_ros: {one_line(' '.join(str(error).split()))}", file=sys.stderr)
        code = 1
    except ExternalShutdownException:
        pass
    finally:
        if node is not None:
            code = code or node.stop() or 0
            node.destroy_node()
        rclpy.try_shutdown()
    return code


def _init(arguments: Sequence[str] | None) -> None:
    args = None if arguments is None else list(arguments)
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # what rclpy's errors have in common
        raise ConfigError(" ".join(str(error).partition(", at ")[0].split())) from error


def _spin(node: Any, ended: Callable[[], bool]) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        node.start()
        while rclpy.ok() and not ended():
            executor.spin_once(timeout_sec=POLL_S)
    finally:
        executor.remove_node(node)
        executor.shutdown()
