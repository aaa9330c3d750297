"""Whatever is in a file of somebody else, its reader gets it whole or refuses it with one HalError, soon and small.

Each reader's file is damaged a few hundred times, from a seed, and replaced by what is no file: pipes, devices, holes,
archives and aliases that inflate. A new reader of files gets its line in test/support/strangers_files.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from strangers_files import READERS

SEED, COUNT = 12, 200
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """Return what a process of its own, whose memory is limited, says of all readers."""
    paths = ":".join(str(ROOT / part) for part in (".", "test/support", "test/fakes"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(ROOT / "test" / "support" / "strangers_files.py"), str(SEED), str(COUNT)],
        env={"PYTHONPATH": paths, "PATH": "", "OMP_NUM_THREADS": "1", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout))


@pytest.mark.torch
@pytest.mark.timeout(600)  # a few seconds of work, also where others have the cores
@pytest.mark.parametrize("name", READERS)
def test_a_strangers_file_is_read_or_refused(told: dict[str, Any], name: str) -> None:
    assert told[name]["faults"][:3] == []
