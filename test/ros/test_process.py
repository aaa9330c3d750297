"""The nodes as processes: one line instead of a traceback, and an end in order at any number of Ctrl-Cs."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

MAIN = "import sys; from hal_ros.ros.segmenter.main import main; sys.exit(main())"
TESTS = Path(__file__).parents[1] / "support"
DEADLINE_S = 60
pytestmark = pytest.mark.ros

ACTIVE_NODE = """
import sys
from fakes import FakeBackend
from hal_ros.ros.process import run
from hal_ros.ros.segmenter.node import SegmenterNode
sys.exit(run(lambda: SegmenterNode(lambda bundle, *_: (FakeBackend(bundle.card), "by the test"))))
"""

# Its engines take for ever to build.
BUILDING_NODE = """
import sys
from hal_ros.ros.process import run
from hal_ros.ros.segmenter.node import SegmenterNode
from hal_ros.tensorrt import building
building._command = lambda *_: [sys.executable, "-c", "import signal; print('started', flush=True); signal.pause()"]
def open_backend(bundle, choice, options):
    building.build_engines(bundle, options.precision, options.progress, options.cancelled)
sys.exit(run(lambda: SegmenterNode(open_backend)))
"""

# Its graph never returns.
HANGING_NODE = """
import ctypes, sys
from hal_ros.ros.process import run
from hal_ros.ros.segmenter.node import SegmenterNode
def open_backend(*_):
    print("hangs", file=sys.stderr, flush=True)
    while True:
        ctypes.CDLL(None).pause()  # in a library, without Python's lock
sys.exit(run(lambda: SegmenterNode(open_backend)))
"""


def start(code: str, environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    environment = {**environment, "PYTHONPATH": f"{TESTS}:{environment['PYTHONPATH']}", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=environment, text=True, stderr=subprocess.PIPE
    )


def autostart_arguments(bundle: Path) -> list[str]:
    """Write a card into a folder, and return the arguments by which a node starts with it at once."""
    from fakes import make_card
    from hal_ros.runtime.bundle import save_card

    save_card(make_card(), bundle)
    return ["--ros-args", "-p", f"model:={bundle}", "-p", "autostart:=true"]


@pytest.mark.parametrize("module", ["segmenter.main", "robot.main"])
def test_absent_messages_give_the_line_that_builds_them(module: str, child_environment: dict[str, str]) -> None:
    code = f"import sys; sys.modules['hal_msgs'] = None; from hal_ros.ros.{module} import main; sys.exit(main())"
    process = start(code, child_environment)
    _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert "colcon build --base-paths src src/hal_ros/hal_msgs" in errors and errors.count("\n") == 1


class Ended(NamedTuple):
    """A node, the line after which it is signalled, how often, and how it then ends."""

    code: str
    after: str
    signals: int
    exit_code: int
    last_line: str = ""


ENDED = {
    "active": Ended(ACTIVE_NODE, "active: ", 2, 0),
    "builds engines": Ended(BUILDING_NODE, "started", 1, 1, "building engines was cancelled"),
    "its model never returns": Ended(HANGING_NODE, "hangs", 1, 1, "running the model was given up"),
}


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("ended", ENDED.values(), ids=ENDED.keys())
def test_signals_end_a_node_in_order(
    ended: Ended, kind: signal.Signals, child_environment: dict[str, str], tmp_path: Path
) -> None:
    with start(ended.code, child_environment, *autostart_arguments(tmp_path)) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if ended.after in line:
                for _ in range(ended.signals):
                    process.send_signal(kind)
        assert process.wait(DEADLINE_S) == ended.exit_code
    assert ended.last_line in lines[-1] and "Traceback" not in "".join(lines)


def test_any_number_of_signals_of_both_kinds_ends_with_0(child_environment: dict[str, str], tmp_path: Path) -> None:
    with start(ACTIVE_NODE, child_environment, *autostart_arguments(tmp_path)) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "active: " in line)
        process.send_signal(signal.SIGINT)
        while process.poll() is None:  # until the very end of the process
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.001)
        assert process.returncode == 0


def test_a_signal_that_the_parent_ignores_ends_the_node(child_environment: dict[str, str]) -> None:
    ignored = "import signal; [signal.signal(kind, signal.SIG_IGN) for kind in (signal.SIGINT, signal.SIGTERM)]\n"
    with start(ignored + MAIN, child_environment) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "unconfigured" in line)
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 0


def test_a_failing_autostart_is_one_line_and_an_exit_code(child_environment: dict[str, str]) -> None:
    arguments = ["--ros-args", "-p", "model:=/nowhere", "-p", "autostart:=true"]
    process = start(MAIN, child_environment, *arguments)
    _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert "/nowhere/card.json" in errors and "Traceback" not in errors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "segmenter:\n  ros__parameters:\n    image_topik: camera\n",
            "hal_ros: unknown parameter 'image_topik' for node /segmenter: did you mean image_topic?",
        ),
        ("segmenter:\n  ros__parameters:\n    threads: [1\n", "robot.yaml'. Error: Error parsing a event near line"),
        (
            "/**:\n  ros__parameters:\n    frame_rate: 30\nsegmenter:\n  ros__parameters:\n    frame_rate: 15\n",
            "unknown parameter 'frame_rate' for node /segmenter",  # given to it by name
        ),
        (
            "segmenter:\n  ros__parameters:\n    backend: []\n    autostart: true\n",
            "parameter backend is None: expected one of auto",
        ),
    ],
)
def test_a_mistake_in_a_parameter_file_is_one_line(
    text: str, expected: str, child_environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(text)
    arguments = ["--ros-args", "--params-file", str(file)]
    process = start(MAIN, child_environment, *arguments)
    _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert expected in errors.splitlines()[-1] and "Traceback" not in errors


def test_what_a_file_gives_to_all_nodes_may_be_of_others(child_environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "robot.yaml"
    overrides = "qos_overrides:\n      /arm/joints:\n        publisher:\n          depth: 5\n"
    file.write_text(f"/**:\n  ros__parameters:\n    frame_rate: 30\n    threads: 3\n    {overrides}")
    renamed = ["--ros-args", "--params-file", str(file), "-r", "__node:=eye", "-r", "__ns:=/left"]
    with start(MAIN, child_environment, *renamed) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "unconfigured" in line:
                process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 0
    text = "".join(lines)
    assert "unknown parameter 'frame_rate' for node /left/eye" in text and "gives it to all nodes" in text
