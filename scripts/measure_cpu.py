"""Measure what makes the image encoder and its start faster on this CPU: all variants in one run, in turns.

    python scripts/measure_cpu.py [--openvino FOLDER] [--limit EPISODES]

FOLDER is where `pip install --target FOLDER openvino` put OpenVINO. Writes the variants' files and cpu.json into --out
and prints a table in Markdown. The accuracy is that of the bundle's own step graph, fed by each variant's features.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from cpu_variants import Encode, Variant, variants
from hal_ros.bags.inputs import AS_IN_THE_CARD
from hal_ros.core.arrays import ByteArray
from hal_ros.core.errors import BackendError, ConfigError, DatasetError, HalError
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.step import Backend, StepInput, StepOutput
from hal_ros.datasets import episodes
from hal_ros.datasets.episodes import Episode
from hal_ros.export.operators import check_graph
from hal_ros.metrics import scores
from hal_ros.metrics.predictions import CONFIRMED, PROVISIONAL, Prediction
from hal_ros.metrics.scores import Truth
from hal_ros.offline.episodes import run_segmenter
from hal_ros.runtime.backend import open_backend
from hal_ros.runtime.bundle import ENCODER, Bundle, load_bundle

SHOWN = ("MoF", "Edit", "F1@50")
TARGET = "10"  # of TensorRT: 8.6 takes no uint8, which has nothing to do with quantising
CALIBRATION_EPISODES, TRAINING_SPLIT = 25, "train"
PICTURES = 120  # to calibrate on, and as many others to compare features on
WARM_UPS = 5
OPENINGS, STARTS = 15, 5
SAME = 1e-3  # features that differ by less, of a spread of 7, are not scored again


@dataclasses.dataclass
class Measured:
    """What was measured of a variant; times in milliseconds, accuracies in percent."""

    name: str
    bytes: int
    tensorrt: str  # "" when TensorRT's parser takes the file, otherwise what it would not take
    open_ms: float = 0.0  # processor time of all threads, which others' work moves least: medians, and the least
    cpu_ms: float = 0.0
    cpu_min_ms: float = 0.0
    wall_ms: float = 0.0
    error_mean: float = 0.0  # of the features, against the shipped file's
    error_max: float = 0.0
    accuracy: dict[str, float] = dataclasses.field(default_factory=dict)  # {} where the features are the same


@dataclasses.dataclass
class OtherEncoder:
    """A bundle's back end with another encoder before its step graph."""

    backend: Backend
    encode: Encode
    name: str = "other encoder"

    def initial_state(self) -> Any:
        """Begin a stream of the back end's."""
        return self.backend.initial_state()

    def step(self, inputs: StepInput, state: Any) -> tuple[StepOutput, Any]:
        """Step the back end."""
        return self.backend.step(inputs, state)


def main() -> int:
    """Measure and write; a HalError becomes one line on stderr and exit code 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/tabletop"), help="bundle folder")
    parser.add_argument("--data", type=Path, default=Path("datasets/tabletop-v1"), help="folder of splits with bags")
    parser.add_argument("--cache", type=Path, default=Path("datasets/cache"), help="ingested episodes")
    parser.add_argument("--split", default="test", help="the split to score on")
    parser.add_argument("--limit", type=int, help="score only N episodes, spread over the split; 0 for none")
    parser.add_argument("--rounds", type=int, default=300, help="how often each variant runs")
    parser.add_argument("--openvino", type=Path, help="folder into which OpenVINO was installed")
    parser.add_argument("--out", type=Path, default=Path("build/cpu"), help="folder for the variants and cpu.json")
    arguments = parser.parse_args()
    try:
        measure(arguments)
    except HalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def measure(arguments: argparse.Namespace) -> None:
    """Do all of it. Raises ConfigError, CardError, DatasetError or BackendError for what can't be used."""
    if arguments.limit is not None and arguments.limit < 0:
        raise ConfigError(f"--limit is {arguments.limit}; expected 0 or more")
    bundle = load_bundle(arguments.model)
    if bundle.card.encoder is None or bundle.card.encoder.dtype != "uint8":
        raise ConfigError(f"{arguments.model}: takes no pictures as uint8; expected a bundle that does")
    tested = _episodes(bundle, arguments, arguments.split, arguments.limit or None)
    learned = _episodes(bundle, arguments, TRAINING_SPLIT, CALIBRATION_EPISODES)
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = variants(bundle.path(ENCODER), arguments.out, _pictures(learned), arguments.openvino)
    rows = [Measured(variant.name, variant.path.stat().st_size, _tensorrt(variant.path)) for variant in found]
    pictures = _pictures(tested)
    load_before = os.getloadavg()[0]
    _open_in_turns(found, rows)
    encoders = [variant.open() for variant in found]
    _run_in_turns(encoders, pictures, arguments.rounds, rows)
    _compare(encoders, pictures, rows)
    about = {
        "onnxruntime": ort.__version__,
        "bundle_ready_s": _bundle_ready_s(arguments.model),
        "load": [load_before, os.getloadavg()[0]],
        "processor": _processor(),
        "feature_spread": float(np.std([encoders[0](picture) for picture in pictures])),
    }
    write = functools.partial(_write, arguments.out / "cpu.json", about, rows)
    write()
    if arguments.limit != 0:
        _score(bundle, encoders, tested, rows, write)
    _print(about, rows)


def _episodes(bundle: Bundle, arguments: argparse.Namespace, split: str, limit: int | None) -> list[Episode]:
    bags = episodes.find_bags(arguments.data, split)
    count = len(bags) if limit is None else min(limit, len(bags))
    chosen = [bags[number * len(bags) // count] for number in range(count)]
    return [episodes.load(episodes.cached(bag, bundle.card, AS_IN_THE_CARD, arguments.cache)) for bag in chosen]


def _pictures(found: Sequence[Episode]) -> ByteArray:
    """Return PICTURES pictures (N, S, S, 3), spread over the episodes, their cameras, and within each."""
    views = [images for episode in found for images in episode.images.values()]
    each = -(-PICTURES // len(views))
    pictures = [images[np.linspace(0, len(images) - 1, each).astype(int)] for images in views]
    chosen: ByteArray = np.concatenate(pictures)[:PICTURES]
    return chosen


# --- the measuring ----------------------------------------------------------------------------------------------------


def _bundle_ready_s(model: Path) -> dict[str, float]:
    """Return the seconds that a fresh process takes to import what it needs and to open a bundle's two sessions."""
    program = """
import json, pathlib, sys, time
start = time.perf_counter()
from hal_ros.runtime import backend, bundle, onnx_backend
imported = time.perf_counter()
backend.open_backend(bundle.load_bundle(pathlib.Path(sys.argv[1])), "onnxruntime")
print(json.dumps({"imports": imported - start, "sessions": time.perf_counter() - imported}))
"""
    command = [sys.executable, "-c", program, str(model)]
    runs = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(STARTS)]
    return {name: float(np.median([run[name] for run in runs])) for name in runs[0]}


def _open_in_turns(found: Sequence[Variant], rows: Sequence[Measured]) -> None:
    times: list[list[float]] = [[] for _ in found]
    for _ in range(OPENINGS):
        for variant, taken in zip(found, times, strict=True):
            start = time.process_time_ns()
            variant.open()
            taken.append(time.process_time_ns() - start)
    for row, taken in zip(rows, times, strict=True):
        row.open_ms = float(np.median(taken)) * 1e-6


def _run_in_turns(encoders: Sequence[Encode], pictures: ByteArray, rounds: int, rows: Sequence[Measured]) -> None:
    times = np.zeros((len(encoders), rounds + WARM_UPS, 2))
    for turn in range(rounds + WARM_UPS):
        picture = pictures[turn % len(pictures)]
        for number, encode in enumerate(encoders):
            wall, processor = time.perf_counter_ns(), time.process_time_ns()
            encode(picture)
            times[number, turn] = time.process_time_ns() - processor, time.perf_counter_ns() - wall
    for row, taken in zip(rows, times[:, WARM_UPS:] * 1e-6, strict=True):
        row.cpu_ms, row.wall_ms = np.median(taken, axis=0).tolist()
        row.cpu_min_ms = float(taken[:, 0].min())


def _compare(encoders: Sequence[Encode], pictures: ByteArray, rows: Sequence[Measured]) -> None:
    for picture in pictures:
        expected, *others = [encode(picture) for encode in encoders]
        for row, feature in zip(rows[1:], others, strict=True):
            distance = np.abs(feature - expected)
            row.error_mean += float(distance.mean()) / len(pictures)
            row.error_max = max(row.error_max, float(distance.max()))


def _score(
    bundle: Bundle,
    encoders: Sequence[Encode],
    tested: Sequence[Episode],
    rows: Sequence[Measured],
    write: Callable[[], None],
) -> None:
    """Score the shipped file and each variant whose features are others; takes minutes each, so `write` keeps them."""
    backend, _ = open_backend(bundle, "onnxruntime")
    truths = [Truth(e.name, e.stamp_ns, e.actions) for e in tested if e.actions is not None]
    if len(truths) < len(tested):
        raise DatasetError("an episode has no annotation; expected annotated episodes to score against")
    expected: list[Prediction] = []
    for row, encode in zip(rows, encoders, strict=True):
        if expected and row.error_max < SAME:
            continue
        print(f"scoring {row.name}", file=sys.stderr)
        segmenter = Segmenter(bundle.card, OtherEncoder(backend, encode))
        predictions = [run_segmenter(segmenter, episode) for episode in tested]
        expected = expected or predictions
        for output in (PROVISIONAL, CONFIRMED):
            streams = [prediction.streams[output] for prediction in predictions]
            found = scores.score(truths, streams, bundle.card.period_ns)
            row.accuracy |= {f"{output} {metric}": found[metric] for metric in SHOWN}
            row.accuracy[f"{output} as shipped"] = _agreement(expected, predictions, output)
        write()


def _agreement(expected: Sequence[Prediction], found: Sequence[Prediction], output: str) -> float:
    pairs = zip(expected, found, strict=True)
    same = [first.streams[output].labels == second.streams[output].labels for first, second in pairs]
    return 100 * float(np.concatenate(same).mean())


def _tensorrt(path: Path) -> str:
    if path.suffix != ".onnx":
        return "no ONNX"
    try:
        check_graph(onnx.load(path), TARGET, path.name)
    except BackendError as error:
        return str(error)
    return ""


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    lines = [line.partition(":") for line in text.partition("\n\n")[0].splitlines()]
    fields = {name.strip(): value.strip() for name, _, value in lines}
    name = fields.get("model name", os.uname().machine)
    kinds = {"avx2", "avx512f", "avx_vnni", "avx512_vnni", "asimddp"}
    flags = kinds & {*fields.get("flags", fields.get("Features", "")).split()}
    return f"{os.cpu_count()} x {name}, {' '.join(sorted(flags)) or 'no known vector flags'}"


def _write(path: Path, about: dict[str, Any], rows: Sequence[Measured]) -> None:
    path.write_text(json.dumps({**about, "rows": [dataclasses.asdict(row) for row in rows]}, indent=1) + "\n")


def _print(about: dict[str, Any], rows: Sequence[Measured]) -> None:
    for name, value in about.items():
        print(f"{name}: {value}")
    shown = [f"{output} {metric}" for output in (PROVISIONAL, CONFIRMED) for metric in (*SHOWN, "as shipped")]
    print("| variant | kB | opened, CPU ms | CPU ms (least) | wall ms | feature error (largest) | TensorRT |", end="")
    print("".join(f" {name} |" for name in shown), "|---" * (7 + len(shown)) + "|", sep="\n")
    for row in rows:
        error = f"{row.error_mean:.2g} ({row.error_max:.2g})" if row.error_max else "0"
        unscored = "same" if row.error_max < SAME else "–"
        cells = [
            *(row.name, f"{row.bytes / 1000:.0f}", f"{row.open_ms:.1f}", f"{row.cpu_ms:.2f} ({row.cpu_min_ms:.2f})"),
            *(f"{row.wall_ms:.2f}", error, "no" if row.tensorrt else "yes"),
            *(f"{row.accuracy[name]:.1f}" if row.accuracy else unscored for name in shown),
        ]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    sys.exit(main())
