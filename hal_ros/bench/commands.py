"""How long what users wait for takes off the robot: subcommands of hal, each as a process, and an export.

`hal replay` and `hal sim` go through the robot's time; `hal train` and the export are counted in processor time.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hal_ros.bags.reader import read_messages
from hal_ros.bench.caches import untrained
from hal_ros.bench.rows import BenchRow, at_least, at_most, baseline
from hal_ros.core.errors import HalError
from hal_ros.core.work import ONE_THREAD
from hal_ros.live.system import Live
from hal_ros.offline.recording import read_recording
from hal_ros.outside.shared_files import shared_file
from hal_ros.runtime.bundle import load_bundle
from hal_ros.runtime.golden import read_golden

REAL_TIME_FACTOR_LIMIT = 5.0
SIMULATED_EPISODES = 2
COMMAND_LIMIT_S = 300.0
REPLAY_NAME, SIMULATION_NAME, UNIT = "hal replay", "hal sim, one process", "x real time"
REPLAY_EXPECTED = [(REPLAY_NAME, UNIT, ">= 5")]
SIMULATION_EXPECTED = [(SIMULATION_NAME, UNIT, ">= 5")]
EXPORT_NAME, EXPORT_LIMIT_S = "export with all proofs", 30.0
EXPORT_RATIO_NAME, MOST_RATIO = "export against torch.onnx.export alone", 2.0
EXPORT_EXPECTED = [(EXPORT_NAME, "CPU s", f"<= {EXPORT_LIMIT_S:g}"), (EXPORT_RATIO_NAME, "times", f"<= {MOST_RATIO:g}")]
EPISODES = {"train": 20, "validation": 6}
TRAINING_LIMIT_MIN, TRAINING_TIMEOUT_S = 5.0, 3600.0
TRAINING_NAME = f"hal train, {EPISODES['train']} episodes, ingested before"
TRAINING_EXPECTED = [(TRAINING_NAME, "CPU min", f"<= {TRAINING_LIMIT_MIN:g}")]
SETTINGS = """base: {base}
data: {{folder: {folder}/episodes, cache: {folder}/cache, processes: 1}}
"""


def replay_row(live: Live) -> BenchRow:
    """Replay the recording of a live run. Raises BagError when there is none, HalError when the command fails."""
    recording = read_recording(live.recording)
    recorded_s = (recording.labels[-1].stamp_ns - recording.start_ns) * 1e-9
    taken_s = timed("replay", str(live.recording), "--model", str(live.model), "--out", str(live.folder / "replayed"))
    note = f"{recorded_s:.0f} s of 640x480 rgb8 in {taken_s:.1f} s, start of the command included"
    return at_least(REPLAY_NAME, recorded_s / taken_s, UNIT, REAL_TIME_FACTOR_LIMIT, note)


def simulation_row(folder: Path) -> BenchRow:
    """Simulate a few episodes into `folder`. Raises HalError when the command fails."""
    out = folder / "episodes"
    limit = str(SIMULATED_EPISODES)
    taken_s = timed("sim", "--out", str(out), "--splits", "test", "--limit", limit, "--jobs", "1", "--no-extras")
    simulated_s = 0.0
    for bag in sorted(path.parent for path in out.rglob("metadata.yaml")):
        times = [message.receive_ns for message in read_messages(bag)]
        simulated_s += (times[-1] - times[0]) * 1e-9
    note = f"{simulated_s:.0f} s at 128x128, one camera, in {taken_s:.1f} s, start of the command and writing included"
    return at_least(SIMULATION_NAME, simulated_s / taken_s, UNIT, REAL_TIME_FACTOR_LIMIT, note)


def timed(*arguments: str) -> float:
    """Run a subcommand of hal in a process; return its wall time in seconds. Raises HalError when it fails."""
    started = time.monotonic()
    _run(arguments, dict(os.environ), COMMAND_LIMIT_S)
    return time.monotonic() - started


def _run(arguments: Sequence[str], environment: dict[str, str], limit_s: float) -> None:
    command = [sys.executable, "-m", "hal_ros", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False, env=environment)
    except subprocess.TimeoutExpired as error:
        raise HalError(f"hal {arguments[0]} took longer than {limit_s:.0f} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise HalError(f"hal {arguments[0]} ended with code {done.returncode}: {last}")


# --- training and export ----------------------------------------------------------------------------------------------


def training_rows(folder: Path, episodes: dict[str, int] | None = None) -> list[BenchRow]:
    """Simulate, ingest, train and export in `folder`, each as a process. Raises HalError when one fails."""
    episodes = episodes or EPISODES
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    out, settings = folder / "episodes", folder / "train.yaml"
    settings.write_text(SETTINGS.format(base=shared_file("config/train.yaml").absolute(), folder=folder))
    for split, count in episodes.items():
        command_cpu_s("sim", "--out", str(out), "--splits", split, "--limit", str(count), "--jobs", "1", "--no-extras")
    ingest_s = command_cpu_s("ingest", str(settings))
    taken_s = command_cpu_s(
        "train", str(settings), "--checkpoint", str(folder / "run"), "--out", str(folder / "bundle")
    )
    note = f"config/train.yaml, {episodes['validation']} more to validate, export and start included, one thread"
    return [
        at_most(TRAINING_NAME, taken_s / 60, "CPU min", TRAINING_LIMIT_MIN, note),
        baseline("hal ingest of these episodes", ingest_s / 60, "CPU min", "bags read, pictures encoded"),
    ]


def command_cpu_s(*arguments: str) -> float:
    """Run a subcommand of hal on one thread; return its processor time in seconds. Raises HalError when it fails."""
    before_s = _children_s()
    _run(arguments, {**os.environ, **ONE_THREAD}, TRAINING_TIMEOUT_S)
    return _children_s() - before_s


def _children_s() -> float:
    """Return the processor time of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def export_rows(model: Path, folder: Path) -> list[BenchRow]:
    """Export a model of a bundle's kind into `folder`. Raises HalError without torch, and where a proof fails.

    The model is untrained, of the size that `make train` gives the shipped one; its golden inputs are the bundle's.
    """
    bundle = load_bundle(model)
    made = untrained(bundle.card)  # first: it tells what is not installed
    from hal_ros.export.bundle import EncoderPair, Golden, Ingredients, write_bundle
    from hal_ros.export.half_precision import halved
    from hal_ros.export.to_onnx import export_step
    from hal_ros.train.config import load_config
    from hal_ros.train.encoders import build

    folder.mkdir(parents=True, exist_ok=True)
    data = load_config(shared_file("config/train.yaml")).data
    single = build(data)
    assert single is not None
    assert made.card.encoder is not None
    golden = Golden(*(np.stack(column) for column in list(zip(*read_golden(bundle), strict=True))[:4]))
    card = replace(made.card, encoder=replace(made.card.encoder, dtype="uint8"))
    made_of = Ingredients(made.graph, card, EncoderPair(single, build(data, half=True)), golden)

    def export_steps() -> None:
        for graph in (made.graph, halved(made.graph)):
            export_step(graph, folder / "step.onnx")

    taken_s = cpu_s(lambda: write_bundle(made_of, folder / "bundle"))
    bare_s = cpu_s(export_steps)  # second: what is imported late counts as the export's
    note = f"an untrained model of the shipped size, {card.window_ticks} ticks of window; decoder and episodes aside"
    return [
        at_most(EXPORT_NAME, taken_s, "CPU s", EXPORT_LIMIT_S, note),
        at_most(EXPORT_RATIO_NAME, taken_s / bare_s, "times", MOST_RATIO, "two step graphs, single and half precision"),
        baseline("of this, torch.onnx.export", bare_s, "CPU s"),
    ]


def cpu_s(act: Callable[[], object]) -> float:
    """Return the processor time that this process takes for `act`, in seconds."""
    start = time.process_time()
    act()
    return time.process_time() - start
