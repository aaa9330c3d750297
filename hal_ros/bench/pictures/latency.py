"""How long the segmenter takes to answer a picture, beside the least that any node could: as a ratio of one run."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal_ros.bench.live_run import check_alive
from hal_ros.bench.rows import BenchRow, at_most, baseline
from hal_ros.core.errors import HalError
from hal_ros.live.processes import Interrupts, Processes
from hal_ros.live.system import start_node
from hal_ros.sim.messages import IMAGE_TOPIC

SECONDS, HZ = 40, 10
WARM_UPS = 20  # pairs
LIMIT = 1.25
BARE, REAL = "bare", "segmenter"
PICTURES = {BARE: "/bare/image_raw", REAL: IMAGE_TOPIC}
LABELS = {BARE: "/bare/action_label", REAL: "/action_label"}
P50, P99 = "picture to label, segmenter to bare node, p50", "picture to label, segmenter to bare node, p99"
EXPECTED = [(P50, "times", f"<= {LIMIT:g}"), (P99, "times", f"<= {LIMIT:g}")]
MODULES = "hal_ros.bench.pictures"
STAGES = ("wait", "convert", "encode", "step", "publish")


def rows(model: Path, folder: Path, seconds: int = SECONDS) -> list[BenchRow]:
    """Send ready-made pictures of 640x480 to both in turns. Raises HalError when a process ends or nothing comes."""
    folder.mkdir(parents=True, exist_ok=True)
    found = run(model, Path(tempfile.mkdtemp(prefix="pairs-", dir=folder)), seconds)
    return ratio_rows(latencies_ms(found["sent"], found["answered"]), found["stages"])


def run(model: Path, folder: Path, seconds: int) -> Any:
    """Run both nodes and their player to its end; return what it wrote. Raises as `rows` does."""
    result = folder / "pairs.json"
    with Interrupts() as interrupts, Processes(folder / "logs", interrupts) as processes:
        arguments = [str(result), str(model), str(seconds), str(HZ)]
        player = processes.start("pairs", [sys.executable, "-m", f"{MODULES}.pairs", *arguments], os.environ)
        start_node(processes, "segmenter", "segmenter.main", {"model": str(model), "autostart": True})
        topics = [PICTURES[BARE], LABELS[BARE]]
        bare = [sys.executable, "-m", f"{MODULES}.bare_node", str(model), *topics]
        processes.start("bare_node", bare, os.environ)
        while player.process.poll() is None:
            check_alive(processes, interrupts, player)
            time.sleep(0.25)
        check_alive(processes, interrupts, player)
    return json.loads(result.read_text(encoding="utf-8"))


def latencies_ms(
    sent: Mapping[str, Mapping[str, int]], answered: Mapping[str, Mapping[str, int]]
) -> dict[str, NDArray[np.float64]]:
    """Return (P,) of each, in ms, of the pairs behind the warm-up of which both were answered.

    Raises HalError where there is none.
    """
    late: dict[str, list[float]] = {BARE: [], REAL: []}
    for first, second in list(zip(sent[BARE], sent[REAL], strict=False))[WARM_UPS:]:
        if first in answered[BARE] and second in answered[REAL]:
            for who, stamp in ((BARE, first), (REAL, second)):
                late[who].append((answered[who][stamp] - sent[who][stamp]) * 1e-6)
    if not late[BARE]:
        counts = ", ".join(f"{len(stamps)} by the {who}" for who, stamps in answered.items())
        raise HalError(f"no pair of pictures was answered by both; answers: {counts}")
    return {who: np.array(times) for who, times in late.items()}


def ratio_rows(late: Mapping[str, NDArray[np.float64]], stages: Mapping[str, str]) -> list[BenchRow]:
    """Return the ratios, what they are made of, and where the segmenter spends its part."""
    p50, p99 = ({who: float(np.percentile(times, part)) for who, times in late.items()} for part in (50, 99))
    pairs = late[BARE].size
    note = f"{pairs} pairs in turns, 640x480 rgb8 at {HZ} Hz each; joints go to the segmenter alone"
    found = [
        at_most(P50, p50[REAL] / p50[BARE], "times", LIMIT, note),
        at_most(P99, p99[REAL] / p99[BARE], "times", LIMIT, f"each p99 is that of {pairs} pictures"),
        *(
            baseline(f"of this, {who} {name}", values[who], "ms")
            for name, values in (("p50", p50), ("p99", p99))
            for who in (BARE, REAL)
        ),
    ]
    if "total_p50_ms" in stages:
        inside_ms = float(stages["total_p50_ms"])
        split = ", ".join(
            f"{stage} {stages[f'{stage}_p50_ms']}" for stage in ("wait", "convert", "encode", "step", "publish")
        )
        found += [
            baseline("of this, in the segmenter itself, p50", inside_ms, "ms", f"by its own clock: {split}"),
            baseline("of this, on the way to it and back, p50", p50[REAL] - inside_ms, "ms"),
        ]
    return found
