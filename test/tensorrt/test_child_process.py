"""Work in a process of its own: whatever becomes of it, its parent hears of it in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hal_ros.core.errors import BackendError
from hal_ros.tensorrt.child_process import FAILED, MEMORY, explain, run_child, run_here


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that the test writes."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(Path(__file__).parent.parent.parent)]))
    return tmp_path / "some_child.py"


def run(child: Path, source: str) -> list[str]:
    child.write_text(source)
    lines: list[str] = []
    run_child(["some_child", "argument"], child.with_suffix(".log"), "work", lines.append)
    return lines


def test_what_ends_well_is_silent(child: Path) -> None:
    assert run(child, "import sys; print(sys.argv[1:], file=sys.stderr)") == []
    assert child.with_suffix(".log").read_text() == "['argument']\n"


def test_it_is_told_how_far_a_long_one_is(child: Path) -> None:
    gate = child.with_name("gate")
    os.mkfifo(gate)
    child.write_text(f"print('phase 1/2', flush=True); open({str(gate)!r}).read(); print('phase 2/2')")
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if "phase 1/2" in line and gate.exists():
            with gate.open("w"):  # lets the child end
                gate.unlink()

    assert run_child(["some_child"], child.with_suffix(".log"), "work", say, every_s=0.01) > 0
    assert any(line.startswith("work: 0 s, phase 1/2") for line in lines)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import os; os.kill(os.getpid(), 11)", r"work: crashed with SIGSEGV \(it had said nothing\)"),
        ("import os; os.kill(os.getpid(), 9)", rf"work: was killed, {MEMORY}"),
        ("import os, sys; print('error: last', file=sys.stderr, flush=True); os.abort()", r"SIGABRT \(error: last\)"),
        ("raise SystemExit(3)", "work: ended with code 3"),
        ("1 / 0", r"work: ended with code 1 \(ZeroDivisionError: division by zero\)"),
        (f"import sys; print('{FAILED}too bad', file=sys.stderr); sys.exit(1)", "^work: too bad$"),
    ],
)
def test_how_it_ended_is_one_line(child: Path, source: str, says: str) -> None:
    with pytest.raises(BackendError, match=says) as caught:
        run(child, source)
    assert len(str(caught.value).splitlines()) == 1


def test_an_interrupted_parent_leaves_no_child(child: Path) -> None:
    child.write_text("import os\nprint(os.getpid(), flush=True)\nwhile True: os.read(0, 0)")
    pids: list[int] = []

    def say(line: str) -> None:
        if "," in line:
            pids.append(int(line.rpartition(" ")[2]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_child(["some_child"], child.with_suffix(".log"), "work", say, every_s=0.01)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_child_whose_parent_is_gone_does_nothing(child: Path) -> None:
    """A parent that ends before the kernel was told to watch it would never be missed."""
    child.write_text("print('working')")

    def started(parent: int) -> tuple[int, str]:
        command = [sys.executable, "-m", "hal_ros.tensorrt.child_process", str(parent), "some_child"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    assert started(os.getpid()) == (0, "working\n")
    assert started(os.getppid()) == (1, "")


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"missing/x\.log: can't be written"):
        run_child(["this"], tmp_path / "missing" / "x.log", "work", print)


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("error: Error Code 10: Could not find any implementation for node {X}.", "too little memory"),
        ("error: Cuda Runtime (out of memory)", "too little memory"),
        ("internal error: CUDA initialization failure with error: 35", "the driver does not serve this CUDA"),
        ("error: Target GPU SM 53 is not supported by this TensorRT release.", "another version is needed"),
        ("error: No importer registered for op: Foo", "export with an older --target"),
        ("error: In node 3: UNSUPPORTED_NODE: Assertion failed", "this TensorRT lacks something"),
        ("error: Unsupported ONNX data type: UINT8 (2)", "this TensorRT lacks something"),
        ("error: CUDA error 803: system has unsupported display driver / cuda driver combination", "does not serve"),
        ("error: unsupported something new", "error: unsupported something new"),
        ("error: something new", "error: something new"),
    ],
)
def test_known_errors_are_translated(said: str, means: str) -> None:
    told = explain(["info: out of memory is avoided", "warning: unsupported on DLA", said, "error: the end"], "nothing")
    assert means in told or said.endswith("something new")
    assert explain([said], "nothing").count(means) == 1
    assert explain([], "nothing") == "nothing"
    assert len(explain(["error: " + 1000 * "x"], "nothing")) <= 200


def test_a_childs_failures_are_its_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> None:
        raise BackendError("too bad")

    assert run_here(lambda: None) == 0
    assert run_here(refuse) == 1
    assert run_here(lambda: Path("/proc/x").write_text("")) == 1  # type: ignore[arg-type]
    assert capsys.readouterr().err.splitlines() == [
        "failed: too bad",
        "failed: the disk refuses ([Errno 2] No such file or directory: '/proc/x')",
    ]
