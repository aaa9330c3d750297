"""How long ONNX Runtime takes to be ready, in fresh processes; run as a program, this is such a process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hal_ros.bench.rows import BenchRow

NAME, LIMIT_S = "ONNX Runtime sessions ready, median", 0.5
EXPECTED = [(NAME, "s", f"<= {LIMIT_S:g}")]
START_LIMIT_S = 60.0


def rows(folder: Path, starts: int = 7) -> list[BenchRow]:
    """Start so many processes, one after the other. Raises BackendError when one of them fails."""
    import numpy as np

    from hal_ros.bench.rows import at_most, baseline

    taken = [_start(folder) for _ in range(starts)]
    ready_s = [each["ready_s"] for each in taken]
    whole_s = [each["import_s"] + each["card_s"] + each["ready_s"] for each in taken]
    note = f"{starts} fresh processes, from {min(ready_s):.3g} to {max(ready_s):.3g} s, imports and card not counted"
    return [
        at_most(NAME, float(np.median(ready_s)), "s", LIMIT_S, note),
        baseline("the same with imports and card, median", float(np.median(whole_s)), "s", "Python's own start aside"),
    ]


def _start(folder: Path) -> dict[str, float]:
    from hal_ros.core.errors import BackendError

    command = [sys.executable, "-m", __name__, str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise BackendError(f"opening {folder} took longer than {START_LIMIT_S:.0f} s") from error
    if done.returncode:
        raise BackendError((done.stderr.strip().splitlines() or ["it said nothing"])[-1])
    taken: dict[str, float] = json.loads(done.stdout)
    return taken


def start(folder: Path) -> dict[str, float]:
    """Open a bundle in this process; return the seconds that imports, card (with its files' hashes) and opening took.

    Raises CardError or BackendError when it can't be opened.
    """
    began = time.perf_counter()
    import hal_ros.runtime.onnx_backend  # noqa: F401  # the choice would import it, and its time is not that of opening
    from hal_ros.runtime.backend import open_backend
    from hal_ros.runtime.bundle import load_bundle

    imported = time.perf_counter()
    bundle = load_bundle(folder)
    opening = time.perf_counter()
    open_backend(bundle, "onnxruntime")
    ready = time.perf_counter()
    return {"import_s": imported - began, "card_s": opening - imported, "ready_s": ready - opening}


if __name__ == "__main__":
    from hal_ros.core.errors import HalError

    try:
        print(json.dumps(start(Path(sys.argv[1]))))
    except HalError as error:
        sys.exit(str(error))
