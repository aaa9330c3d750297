"""Child processes that start together, are watched, and end in order, whatever happens to their parent.

Every child leads a session of its own, so that a Ctrl-C in the terminal reaches the parent alone, which then ends the
children one by one: SIGINT, after a deadline SIGTERM, after another SIGKILL, each to the whole process group. Should
the parent itself be killed, the kernel sends the children SIGINT.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from hal_ros.core.errors import ConfigError, HalError
from hal_ros.live import shared_memory

POLL_S = 0.05
HURRIED_S = 2.0  # what each stage of stopping may take at most once Ctrl-C was pressed twice
LOWEST_DOMAIN, HIGHEST_DOMAIN = 1, 101  # the ROS_DOMAIN_IDs whose ports lie below Linux' ephemeral ones
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


class Interrupts:
    """Counts SIGINT, SIGTERM and SIGHUP while entered, in place of an exception in the middle of something."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.count = 0
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Interrupts:
        for number in self.SIGNALS:
            self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _on_signal(self, *_: object) -> None:
        self.count += 1


class Deadlines(NamedTuple):
    """How long a child may take to end after each signal before the next, harder one is sent."""

    interrupt_s: float = 10.0
    terminate_s: float = 3.0
    kill_s: float = 5.0


class Child(NamedTuple):
    """One started process and the file that holds all it printed."""

    name: str
    process: subprocess.Popen[bytes]
    log_path: Path

    def log_tail(self, line_count: int = 12) -> list[str]:
        """Return the last lines that the process printed."""
        with self.log_path.open(errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=line_count)]


class Processes:
    """A context in which children run; leaving it, in any way, ends them in the order in which they were started."""

    def __init__(
        self, log_folder: Path, interrupts: Interrupts | None = None, deadlines: Deadlines | None = None
    ) -> None:
        self.children: list[Child] = []
        self.killed: list[str] = []  # names of those that had to be killed
        self._log_folder = log_folder
        self._interrupts = interrupts or Interrupts()
        self._deadlines = deadlines or Deadlines()
        self._segments: set[str] = set()
        self._next_scan = 0.0

    def __enter__(self) -> Processes:
        self._log_folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Start one child; its output goes to <log folder>/<name>.log. Raises HalError when it can't be started."""
        log_path = self._log_folder / f"{name}.log"
        try:
            with log_path.open("wb") as log:
                process = subprocess.Popen(
                    list(command),
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_interrupt_on_death_of(os.getpid()),
                )
        except OSError as error:
            raise HalError(f"process {name} can't be started: {error}; expected an executable {command[0]}") from error
        child = Child(name, process, log_path)
        self.children.append(child)
        return child

    @property
    def codes(self) -> dict[str, int]:
        """The exit codes of those that have ended, by name; one that a signal ended has the signal's, negative."""
        return {one.name: one.process.returncode for one in self.children if one.process.returncode is not None}

    def named(self, name: str) -> Child:
        """Return the child of this name, which has been started."""
        return next(child for child in self.children if child.name == name)

    def dead(self) -> Child | None:
        """Return the first child that has ended by itself; None while all run."""
        if time.monotonic() >= self._next_scan:
            self._segments |= shared_memory.held_by([child.process.pid for child in self.children])
            self._next_scan = time.monotonic() + 1.0
        return next((child for child in self.children if child.process.poll() is not None), None)

    def stop(self) -> None:
        """End all children in the order of their start, reap them, and remove the shared memory they left behind."""
        pids = [child.process.pid for child in self.children if child.process.poll() is None]
        self._segments |= shared_memory.held_by(pids)
        for child in self.children:
            self.end(child)
        shared_memory.remove_unused(self._segments)
        self._segments.clear()

    def ask_to_end(self, child: Child) -> None:
        """Send a child its first signal and do not wait for its end."""
        if child.process.poll() is None:
            _signal_group(child, signal.SIGINT)

    def end(self, child: Child) -> None:
        """End one child and reap it; a second call does nothing."""
        stages = (
            (signal.SIGINT, self._deadlines.interrupt_s),
            (signal.SIGTERM, self._deadlines.terminate_s),
            (signal.SIGKILL, self._deadlines.kill_s),
        )
        for number, limit_s in stages:
            if child.process.poll() is not None:
                break
            if number == signal.SIGKILL:
                self.killed.append(child.name)
            _signal_group(child, number)
            self._wait(child, limit_s)
        _signal_group(child, signal.SIGKILL)  # whatever the child itself had started and left behind

    def _wait(self, child: Child, limit_s: float) -> None:
        start = time.monotonic()
        while child.process.poll() is None:
            hurried_s = (limit_s, limit_s, HURRIED_S, 0.0)[min(self._interrupts.count, 3)]
            if time.monotonic() - start > max(min(limit_s, hurried_s), POLL_S):
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(POLL_S)


def choose_domain() -> int:
    """Return a ROS_DOMAIN_ID that no process of this machine uses, as seen from its discovery port.

    Raises ConfigError when all are taken.
    """
    count = HIGHEST_DOMAIN - LOWEST_DOMAIN + 1
    for offset in range(count):
        domain = LOWEST_DOMAIN + (os.getpid() + offset) % count
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7400 + 250 * domain))
            except OSError:
                continue
        return domain
    raise ConfigError(f"no free ROS_DOMAIN_ID from {LOWEST_DOMAIN} to {HIGHEST_DOMAIN}; set the variable yourself")


def _signal_group(child: Child, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.process.pid, number)


def _interrupt_on_death_of(parent: int) -> Callable[[], None]:
    library = ctypes.CDLL(None, use_errno=True)  # loaded before the fork: the child must not allocate much

    def prepare() -> None:
        library.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGINT)
        if os.getppid() != parent:  # the parent died before the kernel knew
            os._exit(1)

    return prepare
