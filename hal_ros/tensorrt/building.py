"""Has engines built by `hal compile` in a process of its own: a builder takes memory, and may crash."""

from __future__ import annotations

import contextlib
import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import IO

from hal_ros.core.errors import BackendError
from hal_ros.core.work import Report
from hal_ros.runtime.bundle import Bundle

PATIENCE_S = 0.2  # between two looks at whether to give up
GRACE_S = 5.0  # for a builder to end by itself


def command_line(bundle: Bundle, precision: str) -> str:
    """Return the command that builds engines, for a person to type."""
    return shlex.join(_command(bundle, precision))


def build_engines(bundle: Bundle, precision: str, progress: Report, cancelled: Callable[[], bool]) -> None:
    """Run the command and hand on what it prints, a line at a time.

    Raises BackendError with its last line when it fails, and when `cancelled` says so: then all that it started ends.
    """
    # A session of its own: the builder has children, and all of them are to end together.
    process = subprocess.Popen(
        _command(bundle, precision),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
        errors="replace",
    )
    last = "it said nothing"
    assert process.stdout is not None
    with process.stdout as output:
        try:
            for line in _lines(output, cancelled):
                last = line
                progress(line)
        except BaseException:
            _end(process)
            raise
    if code := process.wait():  # its output has ended, so this does not last
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"failed with code {code}"
        raise BackendError(f"building engines {how}: {last}; to try by hand: {command_line(bundle, precision)}")


def _command(bundle: Bundle, precision: str) -> list[str]:
    folder = str(bundle.folder.resolve())
    return [sys.executable, "-m", "hal_ros", "compile", "--model", folder, "--precision", precision]


def _lines(stream: IO[str], cancelled: Callable[[], bool]) -> Iterator[str]:
    """Yield lines that are not empty until the stream ends. Raises BackendError when cancelled."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in stream:
            lines.put(line.strip())
        lines.put(None)

    threading.Thread(target=read, name="builder's output", daemon=True).start()
    while not cancelled():
        with contextlib.suppress(queue.Empty):
            line = lines.get(timeout=PATIENCE_S)
            if line is None:
                return
            if line:
                yield line
    raise BackendError("building engines was cancelled")


def _end(process: subprocess.Popen[str]) -> None:
    """Tell the builder and its children to end, and then make them."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
