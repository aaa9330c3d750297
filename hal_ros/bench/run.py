"""The whole benchmark: its parts, one after the other; a part that fails gives its rows with the reason instead."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hal_ros.bench import alignment, caches, commands, fresh_clone, live_run, start
from hal_ros.bench import matrix_products as products
from hal_ros.bench.model import measure as measure_model
from hal_ros.bench.pictures import latency, recording
from hal_ros.bench.rows import BenchRow, unmeasured
from hal_ros.bench.streams import clients as stream_clients
from hal_ros.bench.streams import ingest as stream_ingest
from hal_ros.bench.streams import intake as stream_intake
from hal_ros.bench.streams import live as stream_live
from hal_ros.bench.streams import tick as stream_tick
from hal_ros.core.errors import HalError
from hal_ros.live.system import Live, prepare_environment

Expected = list[tuple[str, str, str]]
"""Name, unit and target of the rows that a part gives; '' where a row has no target."""


def measure(model: Path, folder: Path, full: bool) -> list[BenchRow]:
    """Return the rows of a bundle on this machine; recordings and logs go into `folder`.

    With `full`, also those of a ten-minute run, of a whole training and of a fresh installation.
    """
    prepare_environment(folder / "logs")
    live = Live(model, folder / "live")
    rows = part("model", lambda: measure_model(model), [])
    rows += part("matrix products", lambda: products.rows(model), products.EXPECTED)
    rows += part("start of the sessions", lambda: start.rows(model), start.EXPECTED)
    rows += cache_rows(model)
    rows += part("alignment", alignment.rows, alignment.expected())
    rows += part("export", lambda: commands.export_rows(model, folder / "export"), commands.EXPORT_EXPECTED)
    rows += stream_rows(model, folder / "streams")
    rows += part("live latency", lambda: latency.rows(model, folder / "latency"), latency.EXPECTED)
    rows += part("live system", lambda: live_run.live_rows(live), live_run.EXPECTED)
    rows += part("replay", lambda: [commands.replay_row(live)], commands.REPLAY_EXPECTED)
    rows += part("simulation", lambda: [commands.simulation_row(folder)], commands.SIMULATION_EXPECTED)
    if full:
        soak = Live(model, folder / "soak")
        rows += part("ten minutes", lambda: live_run.soak_rows(soak), live_run.SOAK_EXPECTED)
        streams = folder / "streams"
        rows += part(
            "ten minutes, two cameras", lambda: stream_live.soak_rows(model, streams), stream_live.SOAK_EXPECTED
        )
        rows += part("three raw cameras", lambda: recording.rows(folder / "cameras"), recording.EXPECTED)
        rows += part("training", lambda: commands.training_rows(folder / "training"), commands.TRAINING_EXPECTED)
        rows += part("fresh installation", lambda: [fresh_clone.row(folder)], fresh_clone.EXPECTED)
    return rows


def cache_rows(model: Path) -> list[BenchRow]:
    """Return the rows of both kinds of caches at the shipped window and at others, a part for each window."""
    rows = part("caches", lambda: caches.rows(model), caches.expected())
    for window in caches.WINDOWS:
        at_window = partial(caches.window_rows, model, window)
        rows += part(f"caches, window {window}", at_window, caches.expected_at(window))
    return rows


def stream_rows(model: Path, folder: Path) -> list[BenchRow]:
    """Return the rows of a robot with two cameras and fast topics; bags, bundles and logs go into `folder`."""
    rows = part("tick of two cameras", lambda: stream_tick.rows(model, folder), stream_tick.EXPECTED)
    rows += part("intake", lambda: stream_intake.rows(model), stream_intake.EXPECTED)
    rows += part("ingest", lambda: stream_ingest.rows(folder / "ingest"), stream_ingest.EXPECTED)
    rows += part("two cameras live", lambda: stream_live.rows(model, folder), stream_live.EXPECTED)
    rows += part("planners that wait", lambda: stream_clients.rows(model, folder), stream_clients.EXPECTED)
    return rows


def part(what: str, measure_part: Callable[[], list[BenchRow]], expected: Expected) -> list[BenchRow]:
    """Measure one part; when it fails, return its expected rows with the reason instead."""
    print(f"measuring: {what}", file=sys.stderr, flush=True)
    try:
        return measure_part()
    except HalError as error:
        print(f"hal bench: {what}: {error}", file=sys.stderr)
        return [unmeasured(name, unit, target, str(error)) for name, unit, target in expected]
