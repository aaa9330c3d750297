"""`hal bench`: measure speed, memory and losses on this machine; a table, and build/bench.json."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hal_ros.core.errors import ConfigError, HalError
from hal_ros.live.processes import Child, Interrupts, Processes
from hal_ros.live.system import LAST_REPORT_S, REPOSITORY, Live, prepare_environment, shared_file, start_all

if TYPE_CHECKING:
    from hal_ros.bench.rows import Row

LIVE_S, SOAK_S = 60.0, 600.0
SOAK_NAME = "memory of segmenter, growth over ten minutes"
START_LIMIT_S = 60.0
SAMPLE_PERIOD_S = 1.0
REAL_TIME_FACTOR_LIMIT = 5.0
SIMULATED_EPISODES = 2
COMMAND_LIMIT_S = 300.0
FRESH_LIMIT_S, FRESH_TIMEOUT_S = 240.0, 900.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--full", action="store_true", help="also a ten-minute run and a fresh installation")
    parser.add_argument("--model", type=Path, help="folder of a model bundle (default: models/tabletop)")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), help="default: %(default)s")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep recordings and logs in this new folder")


def run(args: argparse.Namespace) -> int:
    """Measure, print and write; 0 also when targets were missed: the verdicts stand in the rows."""
    load = os.getloadavg()  # before anything of ours runs
    from rich.console import Console

    from hal_ros.bench import rows as bench

    if args.keep is not None and args.keep.exists():
        raise ConfigError(f"--keep {args.keep} exists; expected the name of a new folder")
    with tempfile.TemporaryDirectory(prefix="hal-bench-") as temporary:
        folder = args.keep or Path(temporary)
        rows = [*bench.facts(load), *_measure(args.model or shared_file("models/tabletop"), folder, args.full)]
    if args.full:
        rows = bench.merged(bench.load(args.out), rows)
    bench.save(rows, args.out)
    Console(soft_wrap=True).print(bench.report(rows), end="")
    print(f"written to {args.out}")
    return 0


def _measure(model: Path, folder: Path, full: bool) -> list[Row]:
    from hal_ros.bench import alignment as bench_offline
    from hal_ros.bench import products as bench_products
    from hal_ros.bench import start as bench_start
    from hal_ros.bench.model import measure

    prepare_environment(folder / "logs")
    live = Live(model, folder / "live")
    rows = _part("model", lambda: measure(model), [])
    rows += _part("matrix products", lambda: bench_products.rows(model), bench_products.EXPECTED)
    rows += _part("start of the sessions", lambda: bench_start.rows(model), bench_start.EXPECTED)
    rows += _cache_rows(model)
    rows += _part("alignment", bench_offline.rows, bench_offline.expected())
    rows += _part("live system", lambda: _live_rows(live, LIVE_S), _live_names())
    rows += _part("replay", lambda: [_replay_row(live)], [("hal replay", "x real time", ">= 5")])
    rows += _part("simulation", lambda: [_simulation_row(folder)], [("hal sim, one process", "x real time", ">= 5")])
    if full:
        soak = Live(model, folder / "soak")
        rows += _part("ten minutes", lambda: _soak_rows(soak), [(SOAK_NAME, "MB/min", "<= 0.2")])
        fresh = ("fresh clone to first label", "s", f"<= {FRESH_LIMIT_S:g}")
        rows += _part("fresh installation", lambda: [_fresh_row(folder)], [fresh])
    return rows


def _cache_rows(model: Path) -> list[Row]:
    from hal_ros.bench import caches as bench_caches

    rows = _part("caches", lambda: bench_caches.rows(model), bench_caches.expected())
    for window in bench_caches.WINDOWS:
        at_window = partial(bench_caches.window_rows, model, window)
        rows += _part(f"caches, window {window}", at_window, bench_caches.expected_at(window))
    return rows


def _part(what: str, measure: Callable[[], list[Row]], expected: list[tuple[str, str, str]]) -> list[Row]:
    """Measure one part; when it fails, return its expected rows (name, unit, target) with the reason instead."""
    from hal_ros.bench.rows import unmeasured

    print(f"measuring: {what}", file=sys.stderr, flush=True)
    try:
        return measure()
    except HalError as error:
        print(f"hal bench: {what}: {error}", file=sys.stderr)
        return [unmeasured(name, unit, target, str(error)) for name, unit, target in expected]


def _live_names() -> list[tuple[str, str, str]]:
    return [
        ("first label after the start", "s", "<= 5"),
        ("image stamp to label, p50", "ms", "<= 25"),
        ("image stamp to label, p99", "ms", "<= 60"),
        ("images lost between robot and node", "images", "<= 0"),
        ("CPU of segmenter", "% of a core", "<= 50"),
        ("memory of segmenter, peak", "MB", "<= 350"),
    ]


def _live_rows(live: Live, duration_s: float) -> list[Row]:
    from hal_ros.bench.live import rows
    from hal_ros.offline.recording import read_recording

    samples, first_label_s = _run_live(live, duration_s)
    return rows(read_recording(live.recording), samples, first_label_s)


def _soak_rows(live: Live) -> list[Row]:
    from hal_ros.bench.live import settled, slope_row

    samples, _ = _run_live(live, SOAK_S)
    shutil.rmtree(live.recording)  # ten minutes of pictures
    return [replace(slope_row("segmenter", settled(samples["segmenter"])), name=SOAK_NAME)]


def _run_live(live: Live, duration_s: float) -> tuple[dict, float]:  # type: ignore[type-arg]
    """Run robot, segmenter and recorder; return samples of each by name, and seconds from start to first label.

    Raises HalError when one of them ends by itself, or no label comes.
    """
    from hal_ros.bench.live import Sampler
    from hal_ros.ros.view.main import Listener
    from hal_ros.ros.view.state import ViewTracker

    tracker = ViewTracker("")
    with Interrupts() as interrupts, Processes(live.logs, interrupts) as processes:
        started = time.monotonic()
        robot = start_all(processes, live)
        with Listener(tracker) as listener:
            while not tracker.label_count:
                listener.spin(0.01)
                _check(processes, interrupts)
                if time.monotonic() - started > START_LIMIT_S:
                    raise HalError(f"no label came within {START_LIMIT_S:.0f} s; the logs lie in {live.logs}")
            first = time.monotonic()
            sampler = Sampler({child.name: child.process.pid for child in processes.children})
            while time.monotonic() - first < duration_s:
                listener.spin(SAMPLE_PERIOD_S)
                _check(processes, interrupts)
                sampler.look(time.monotonic())
            processes.end(robot)
            listener.spin(LAST_REPORT_S)
    return sampler.samples, first - started


def _check(processes: Processes, interrupts: Interrupts) -> None:
    if interrupts.count:
        raise KeyboardInterrupt
    if dead := processes.dead():
        last = " / ".join(dead.log_tail(3))
        raise HalError(f"{dead.name} ended by itself with code {dead.process.returncode}: {last}")


def _replay_row(live: Live) -> Row:
    from hal_ros.bench.rows import at_least
    from hal_ros.offline.recording import read_recording

    recording = read_recording(live.recording)
    recorded_s = (recording.labels[-1].stamp_ns - recording.start_ns) * 1e-9
    taken_s = _timed("replay", str(live.recording), "--model", str(live.model), "--out", str(live.folder / "replayed"))
    note = f"{recorded_s:.0f} s of 640x480 rgb8 in {taken_s:.1f} s, start of the command included"
    return at_least("hal replay", recorded_s / taken_s, "x real time", REAL_TIME_FACTOR_LIMIT, note)


def _simulation_row(folder: Path) -> Row:
    from hal_ros.bags.reader import read_messages
    from hal_ros.bench.rows import at_least

    out = folder / "episodes"
    limit = str(SIMULATED_EPISODES)
    taken_s = _timed("sim", "--out", str(out), "--splits", "test", "--limit", limit, "--jobs", "1")
    simulated_s = 0.0
    for bag in sorted(path.parent for path in out.rglob("metadata.yaml")):
        times = [message.receive_ns for message in read_messages(bag)]
        simulated_s += (times[-1] - times[0]) * 1e-9
    note = f"{simulated_s:.0f} s at 128x128 in {taken_s:.1f} s, start of the command and bag writing included"
    return at_least("hal sim, one process", simulated_s / taken_s, "x real time", REAL_TIME_FACTOR_LIMIT, note)


def _timed(*arguments: str) -> float:
    """Run a subcommand of hal in a process; return its wall time. Raises HalError when it fails."""
    command = [sys.executable, "-m", "hal_ros", *arguments]
    started = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise HalError(f"hal {arguments[0]} took longer than {COMMAND_LIMIT_S:.0f} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise HalError(f"hal {arguments[0]} ended with code {done.returncode}: {last}")
    return time.monotonic() - started


def _fresh_row(folder: Path) -> Row:
    """Clone this repository, run `make demo` there without pip's cache, and time it until the first label."""
    from hal_ros.bench.rows import at_most

    clone = folder / "clone"
    done = subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], capture_output=True, text=True)
    if done.returncode:
        raise HalError(f"{REPOSITORY} can't be cloned: {' '.join(done.stderr.split())}; expected a git repository")
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("ROS_", "FAST", "_ROS", "LD_"))
    }
    environment = {**inherited, "PIP_NO_CACHE_DIR": "1"}
    with Interrupts() as interrupts, Processes(folder / "logs", interrupts) as processes:
        child = processes.start("fresh", ["make", "-C", str(clone), "demo", "DURATION=5"], environment)
        first_s = _seconds_to_first_label(child, interrupts)
        if child.process.returncode or first_s is None:
            raise HalError(f"make demo in a fresh clone failed: {' / '.join(child.log_tail(3))}")
    return at_most("fresh clone to first label", first_s, "s", FRESH_LIMIT_S, "without pip's cache")


def _seconds_to_first_label(child: Child, interrupts: Interrupts) -> float | None:
    """Wait until the child ends; return when it spoke of the first label, None if it never did."""
    started, first_s, ended = time.monotonic(), None, False
    while not ended:
        ended = child.process.poll() is not None  # before its log is read: the last line counts
        if first_s is None and "first label" in child.log_path.read_text(errors="replace"):
            first_s = time.monotonic() - started
        if interrupts.count:
            raise KeyboardInterrupt
        if time.monotonic() - started > FRESH_TIMEOUT_S:
            raise HalError(f"make demo took longer than {FRESH_TIMEOUT_S:.0f} s in a fresh clone")
        time.sleep(0 if ended else 0.2)
    return first_s
