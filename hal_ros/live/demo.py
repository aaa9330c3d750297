"""The demo: the live system with a view of it for as long as it should run, and what is said of it at the end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import hal_ros
from hal_ros.bags.reader import BagNotes, read_messages
from hal_ros.core.errors import BagError, HalError
from hal_ros.live.processes import Child, Interrupts, Processes
from hal_ros.live.system import SEGMENTER, Live, start_all

if TYPE_CHECKING:
    from hal_ros.ros.view.main import Listener
    from hal_ros.ros.view.state import ViewState, ViewTracker

FIRST_LABEL_LIMIT_S = 60.0
SILENCE_LIMIT_S = 10.0  # without a new label, once there was one
QUIET_S, LAST_LABEL_LIMIT_S = 0.5, 5.0
"""How long no label comes once the robot has ended, and how long that is waited for."""
INTERRUPTED = 130  # exit code
DEMO_RECORDING = Path(hal_ros.__file__).parent / "sim" / "assets" / "demo_recording.mcap"
"""20 s of the simulated robot, made as scripts/shrink_recording.py says."""


class Ending(NamedTuple):
    """How the live part went; `failure` is one line, '' when it ran as long as it should."""

    failure: str
    interrupts: int
    state: ViewState


def fallback() -> Path | None:
    """Return the shipped recording when this machine can't simulate, and say so; None when it can."""
    try:
        from hal_ros.sim import render

        render.check_gl()
    except (HalError, ImportError) as error:  # without EGL; without MuJoCo
        print(f"hal demo: {error}\nhal demo: playing a recording of the simulated robot instead", file=sys.stderr)
        return DEMO_RECORDING
    return None


def run_live(live: Live, duration_s: float) -> Ending:
    """Start everything, show it for duration_s from the first label, and end everything."""
    with Interrupts() as interrupts:
        with Processes(live.logs, interrupts) as processes:
            robot = start_all(processes, live)
            failure, state = _watch(processes, interrupts, live, duration_s, robot)
            # The robot has been asked to end, which may take seconds. The segmenter's last report is not to be of its
            # silence, so it ends first, and the recorder last.
            processes.end(processes.named(SEGMENTER))
        if processes.killed and not (failure or interrupts.count):
            failure = f"{', '.join(processes.killed)} did not end when asked to and had to be killed"
        for name, code in processes.codes.items():
            if code and name not in processes.killed:
                print(f"hal demo: {name} ended with code {code}, see {live.logs / name}.log", file=sys.stderr)
        return Ending(failure, interrupts.count, state)


def _watch(
    processes: Processes, interrupts: Interrupts, live: Live, duration_s: float, robot: Child
) -> tuple[str, ViewState]:
    """Show the live view until the time is over or something ended it; return why it failed, or ''."""
    from hal_ros.ros.view.main import REFRESH_S, Listener, Screen
    from hal_ros.ros.view.state import ViewTracker

    source = "simulated robot" if live.bag is None else f"playing {live.bag.name}"
    tracker = ViewTracker(f"{live.model.name} · {source} · domain {os.environ['ROS_DOMAIN_ID']}", duration_s)
    tracker.notice = "starting robot, segmenter and recorder"
    watch = Watch(duration_s)
    failure, dead = "", None
    with Listener(tracker) as listener, Screen() as screen:
        screen.say(tracker.notice)
        while not (interrupts.count or failure or watch.is_over()):
            listener.spin(REFRESH_S)
            if watch.update(tracker.label_count):
                screen.say(f"first label after {watch.start_s:.1f} s")
                tracker.notice = ""
            state = tracker.state(watch.elapsed_s, time.time_ns())
            screen.show(state)
            dead = processes.dead()
            failure = _describe(dead) if dead else watch.failure()
        if not (failure or interrupts.count):
            processes.ask_to_end(robot)
            _hear_the_last(listener, tracker)
    if dead is not None:
        print(f"hal demo: {dead.name} said last:", *dead.log_tail(), sep="\n  ", file=sys.stderr)
    return failure, tracker.state(watch.elapsed_s, time.time_ns())


def _hear_the_last(listener: Listener, tracker: ViewTracker) -> None:
    """Wait until labels have ceased, as the robot has."""
    ends_s, count = time.monotonic() + LAST_LABEL_LIMIT_S, -1
    while count != tracker.label_count and time.monotonic() < ends_s:
        count = tracker.label_count
        listener.spin(QUIET_S)


class Watch:
    """Keeps the time from the first label on, and notices when labels fail to come."""

    def __init__(self, duration_s: float) -> None:
        self._duration_s = duration_s
        self._started = self._changed = time.monotonic()
        self._first: float | None = None
        self._count = 0
        self.start_s = 0.0  # from the start to the first label

    def update(self, label_count: int) -> bool:
        """Take the number of labels so far; return whether the first has just come."""
        if label_count == self._count:
            return False
        self._count, self._changed = label_count, time.monotonic()
        if self._first is not None:
            return False
        self._first = self._changed
        self.start_s = self._first - self._started
        return True

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first label; 0 before it."""
        return 0.0 if self._first is None else time.monotonic() - self._first

    def is_over(self) -> bool:
        """Whether the demo has run as long as it should."""
        return self.elapsed_s >= self._duration_s

    def failure(self) -> str:
        """Return one line when labels do not come; '' while all is well."""
        silent_s = time.monotonic() - self._changed
        if self._first is None and silent_s > FIRST_LABEL_LIMIT_S:
            return f"no label came within {FIRST_LABEL_LIMIT_S:.0f} s"
        if self._first is not None and silent_s > SILENCE_LIMIT_S:
            return f"no label came for {SILENCE_LIMIT_S:.0f} s, after {self._count}"
        return ""


def _describe(dead: Child) -> str:
    return f"{dead.name} ended by itself with code {dead.process.returncode}"


def conclude(live: Live, ending: Ending, write_report: Callable[[Path, Path], object]) -> int:
    """Print the summary and where everything lies; return the exit code.

    `write_report` takes the recording and the page to write, and prints the recording's numbers.
    """
    labels, unreadable = _count_labels(live.recording)
    failure = ending.failure or ("" if ending.interrupts else unreadable)
    if labels and ending.interrupts < 2:
        write_report(live.recording, live.folder / "report.html")
    for file in sorted(live.recording.glob("*.mcap")):
        print(f"recording  {file}")
    print(f"logs       {live.logs}")
    if failure:
        print(f"hal demo: {failure}; the logs lie in {live.logs}", file=sys.stderr)
        return 1
    return INTERRUPTED if ending.interrupts else 0


def _count_labels(recording: Path) -> tuple[int, str]:
    """Return how many labels were recorded, and one line when the recording is not what it should be."""
    notes = BagNotes()
    try:
        count = sum(1 for _ in read_messages(recording, {"/action_label"}, notes))
    except BagError as error:
        return 0, str(error)
    if notes.cut_off:
        return count, f"{recording}: was not finished; `hal recover` finishes it"
    return count, "" if count else f"{recording}: holds no label"
