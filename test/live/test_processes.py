"""Children end in order and are never orphaned, whatever happens to them or to their parent."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hal_ros.core.errors import HalError
from hal_ros.live import shared_memory
from hal_ros.live.processes import Deadlines, Interrupts, Processes, choose_domain

WAIT_S = 20
SHORT = Deadlines(interrupt_s=0.3, terminate_s=0.3, kill_s=WAIT_S)
PYTHON = [sys.executable, "-S", "-c"]  # -S: no site packages, so that it starts at once

OBEDIENT = "import sys; open(sys.argv[1], 'w').write('ready'); import signal; signal.pause()"
STUBBORN = (
    "import signal; [signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM)];"
    "import sys; open(sys.argv[1], 'w').write('ready');\nwhile True: signal.pause()"
)


@pytest.fixture(autouse=True)
def _children_hear_interrupts() -> Iterator[None]:
    """A shell that starts the tests in the background has them ignore SIGINT, and children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "ready"
    os.mkfifo(path)
    return path


def wait_ready(fifo: Path) -> None:
    assert fifo.read_text() == "ready"  # blocks until the child has opened and closed it


def test_children_end_on_interrupt_and_are_reaped(tmp_path: Path, fifo: Path) -> None:
    with Processes(tmp_path) as processes:
        child = processes.start("obedient", [*PYTHON, OBEDIENT, str(fifo)], os.environ)
        wait_ready(fifo)
        assert processes.dead() is None
        assert processes.named("obedient") is child
    assert child.process.returncode == -signal.SIGINT or child.process.returncode == 1
    assert processes.killed == []
    assert not psutil.pid_exists(child.process.pid)


def test_a_child_that_ignores_signals_is_killed_and_named(tmp_path: Path, fifo: Path) -> None:
    with Processes(tmp_path, deadlines=SHORT) as processes:
        child = processes.start("stubborn", [*PYTHON, STUBBORN, str(fifo)], os.environ)
        wait_ready(fifo)
    assert child.process.returncode == -signal.SIGKILL
    assert processes.killed == ["stubborn"]


def test_children_end_in_the_order_of_their_start(tmp_path: Path, fifo: Path) -> None:
    order = tmp_path / "order"
    script = (
        "import signal, sys, os\n"
        "def end(*_):\n    open(sys.argv[2], 'a').write(sys.argv[3] + ' '); sys.exit(0)\n"
        "signal.signal(signal.SIGINT, end)\nopen(sys.argv[1], 'w').write('ready')\nwhile True: signal.pause()"
    )
    with Processes(tmp_path) as processes:
        for name in ("robot", "segmenter", "recorder"):
            processes.start(name, [*PYTHON, script, str(fifo), str(order), name], os.environ)
            wait_ready(fifo)
    assert order.read_text().split() == ["robot", "segmenter", "recorder"]


def test_a_child_that_dies_is_reported_with_its_last_lines(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        child = processes.start("short", [*PYTHON, "import sys; print('one'); sys.exit('it broke')"], os.environ)
        child.process.wait(WAIT_S)
        assert processes.dead() == child
        assert child.process.returncode == 1
        assert child.log_tail(1) == ["it broke"]


def test_a_missing_executable_is_one_line(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes, pytest.raises(HalError, match=r"nowhere.*can't be started"):
        processes.start("nowhere", [str(tmp_path / "nowhere")], os.environ)


def test_grandchildren_do_not_outlive_their_parent(tmp_path: Path, fifo: Path) -> None:
    script = (
        "import subprocess, sys, signal\n"
        "child = subprocess.Popen([sys.executable, '-S', '-c', sys.argv[2], sys.argv[1]])\n"
        "open(sys.argv[3], 'w').write(str(child.pid))\nsignal.pause()"
    )
    pid_path = tmp_path / "pid"
    os.mkfifo(pid_path)
    with Processes(tmp_path) as processes:
        processes.start("parent", [*PYTHON, script, str(fifo), STUBBORN, str(pid_path)], os.environ)
        grandchild = psutil.Process(int(pid_path.read_text()))
        wait_ready(fifo)
    psutil.wait_procs([grandchild], timeout=WAIT_S)
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


PARENT = """
import os, sys
from pathlib import Path
from hal_ros.live.processes import Deadlines, Interrupts, Processes
fifo, script, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
with Interrupts() as interrupts, Processes(folder, interrupts, Deadlines(0.5, 0.3, 20.0)) as processes:
    child = processes.start("child", [sys.executable, "-S", "-c", script, fifo], os.environ)
    print(child.process.pid, flush=True)
    while not interrupts.count and not processes.dead():
        __import__("time").sleep(0.01)
sys.exit(130 if interrupts.count else 1)
"""


def start_parent(tmp_path: Path, fifo: Path, script: str) -> tuple[subprocess.Popen[str], psutil.Process]:
    command = [sys.executable, "-c", PARENT, str(fifo), script, str(tmp_path)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    return parent, psutil.Process(int(parent.stdout.readline()))


def finish(parent: subprocess.Popen[str]) -> int:
    parent.communicate(timeout=WAIT_S)  # closes the pipe, too
    return parent.returncode


@pytest.mark.parametrize("script", [OBEDIENT, STUBBORN], ids=["obedient", "stubborn"])
@pytest.mark.parametrize("presses", [1, 2, 5])
def test_ctrl_c_ends_parent_and_child(tmp_path: Path, fifo: Path, script: str, presses: int) -> None:
    parent, child = start_parent(tmp_path, fifo, script)
    wait_ready(fifo)
    for _ in range(presses):
        parent.send_signal(signal.SIGINT)
    assert finish(parent) == 130
    assert not child.is_running()


def test_ctrl_c_during_start_up_ends_parent_and_child(tmp_path: Path, fifo: Path) -> None:
    parent, child = start_parent(tmp_path, fifo, OBEDIENT)  # the child may not even have begun
    parent.send_signal(signal.SIGINT)
    assert finish(parent) == 130
    assert not child.is_running()


def test_a_killed_parent_takes_its_child_along(tmp_path: Path, fifo: Path) -> None:
    parent, child = start_parent(tmp_path, fifo, OBEDIENT)
    wait_ready(fifo)
    parent.kill()
    finish(parent)
    psutil.wait_procs([child], timeout=WAIT_S)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_interrupts_are_counted_and_handlers_restored() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.count == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_chosen_domain_avoids_one_in_use() -> None:
    first = choose_domain()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 7400 + 250 * first))
        assert choose_domain() != first
    assert choose_domain() == first


def test_only_unused_segments_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path)
    dead, locked = "fastdds_0123456789abcdef", "fastdds_port7413"
    for name in (dead, f"{dead}_el", locked, f"{locked}_el", f"sem.{locked}_mutex"):
        (tmp_path / name).touch()
    with (tmp_path / f"{locked}_el").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert shared_memory.remove_unused({dead, locked}) == [dead]
    assert sorted(path.name for path in tmp_path.iterdir()) == [locked, f"{locked}_el", f"sem.{locked}_mutex"]
    assert shared_memory.remove_unused({locked}) == [locked]  # unlocked: nobody uses it
    assert list(tmp_path.iterdir()) == []
