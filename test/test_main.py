"""Programs: a Ctrl-C while libraries load ends each of them quietly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INTERRUPTS = """
import os, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may have it ignored
os.kill(os.getpid(), signal.SIGINT)
time.sleep(30)
"""
INTERRUPTED = 130


@pytest.mark.parametrize(
    ("program", "library"),
    [
        ([str(ROOT / "scripts/nodes/segmenter")], "rclpy"),
        ([str(ROOT / "scripts/nodes/view")], "rclpy"),
        (["-m", "hal_ros", "segmenter"], "rclpy"),
        (["-m", "hal_ros", "verify", "--model", str(ROOT / "models/tabletop")], "numpy"),
        (["-m", "hal_ros", "doctor"], "difflib"),  # of the command line itself
    ],
)
def test_an_interrupt_while_importing_is_no_traceback(tmp_path: Path, program: list[str], library: str) -> None:
    (tmp_path / f"{library}.py").write_text(INTERRUPTS)
    path = os.pathsep.join(map(str, (tmp_path, ROOT)))
    ended = subprocess.run(
        [sys.executable, *program], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (INTERRUPTED, "", "")
