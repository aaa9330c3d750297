"""Work with TensorRT in a process of its own: it may crash, and what it allocates is gone afterwards.

`python -m hal_ros.tensorrt.child_process PARENT MODULE …` runs a module while PARENT lives. The child prints
how far it is on stdout, a line at a time. It exits with 0 when all went well, else with 1 after a last line `failed: …`
on stderr; anything else is a crash.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hal_ros.core.errors import BackendError, HalError
from hal_ros.core.work import Report

EVERY_S = 10.0  # between two lines about one child
FAILED = "failed: "
MEMORY = "most likely too little memory: close other programs, or give a smaller --workspace-mib"
DRIVER = "the driver does not serve this CUDA, or there is no GPU"
LACKING = "this TensorRT lacks something that the graph needs"
NEEDED = ("_node", " operator", " op ", " onnx", " data type", " datatype", " type")
KNOWN_ERRORS = (
    ("could not find any implementation", MEMORY),  # so the builder reports that its tactics did not fit
    ("out of memory", MEMORY),
    ("outofmemory", MEMORY),
    ("initialization failure with error", DRIVER),
    ("target gpu sm", "this GPU is not supported by this TensorRT; another version is needed"),
    ("no importer registered", "this TensorRT lacks an operator; export with an older --target"),
    ("display driver / cuda driver", DRIVER),  # it is unsupported, in CUDA's words
    *((f"unsupported{what}", f"{LACKING}; export with an older --target") for what in NEEDED),
)
"""What TensorRT says, in small letters, and what it means for a user; the first that fits is told."""
CRASHES = (signal.SIGSEGV, signal.SIGABRT)
LONGEST = 200  # letters of TensorRT's that are quoted
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


class CrashError(BackendError):
    """A child ended itself by a signal of CRASHES: what it worked with, and nothing that passes, is at fault."""


def explain(messages: Sequence[str], otherwise: str) -> str:
    """Return what TensorRT's messages mean for a user, with the message; `otherwise` when there is none."""
    errors = [text for text in messages if not text.startswith(("warning", "info"))] or list(messages)
    for text in errors:
        for sign, meaning in KNOWN_ERRORS:
            if sign in text.lower():
                return f"{meaning} ({_line(text)})"
    return _line(errors[-1]) if errors else otherwise


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


# --- in the child -----------------------------------------------------------------------------------------------------


def end_with(parent: int) -> None:
    """Have the kernel end this process when its parent, the process `parent`, does; it may have ended already."""
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(f"the parent, process {parent}, is gone")


def run_here(work: Callable[[], None]) -> int:
    """Do a child's work and return its exit code."""
    try:
        work()
    except HalError as error:
        print(f"{FAILED}{error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{FAILED}the disk refuses ({error})", file=sys.stderr)
        return 1
    return 0


# --- in the parent ----------------------------------------------------------------------------------------------------


def run_child(arguments: Sequence[str], log: Path, name: str, say: Report, every_s: float = EVERY_S) -> float:
    """Run `python -m` with these arguments and return the seconds it took; what it says on stderr goes into `log`.

    It ends with this process. Now and then `say` is told how long `name` has been running, and how far it is. Raises
    BackendError, in one line, when it fails or is killed, CrashError when it crashes.
    """
    started = time.monotonic()
    try:
        errors = log.open("wb")
    except OSError as error:
        raise BackendError(f"{log}: can't be written ({error.strerror})") from error
    command = [sys.executable, "-m", "hal_ros.tensorrt.child_process", str(os.getpid()), *arguments]
    with errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process:
        try:
            _follow(process, name, say, every_s)
        except BaseException:  # Ctrl-C too: nobody waits for it any more
            process.kill()
            raise
    check_end(process.returncode, log, name)
    return time.monotonic() - started


def check_end(code: int, log: Path, name: str) -> None:
    """Raise BackendError, in one line, unless a child's exit code is 0; `log` is what it said.

    It is a CrashError where the child crashed.
    """
    if code:
        kind = CrashError if -code in CRASHES else BackendError
        raise kind(f"{name}: {_reason(code, log.read_text(errors='replace').splitlines())}")


def _follow(process: subprocess.Popen[bytes], name: str, say: Report, every_s: float) -> None:
    started, latest = time.monotonic(), ""

    def read() -> None:
        nonlocal latest
        assert process.stdout is not None
        for line in process.stdout:
            latest = f", {line.decode(errors='replace').strip()}"

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    while True:
        try:
            process.wait(every_s)
            break
        except subprocess.TimeoutExpired:
            say(f"{name}: {time.monotonic() - started:.0f} s{latest}")
    reader.join()


def _reason(code: int, messages: list[str]) -> str:
    if messages and messages[-1].startswith(FAILED):
        return messages[-1].removeprefix(FAILED)
    last = explain(messages, "it had said nothing")
    if code == -signal.SIGKILL:
        return f"was killed, {MEMORY} ({last})"
    if code < 0:
        return f"crashed with {signal.Signals(-code).name} ({last})"
    return f"ended with code {code} ({last})"


if __name__ == "__main__":
    end_with(int(sys.argv[1]))  # before the module is imported, which takes seconds
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
