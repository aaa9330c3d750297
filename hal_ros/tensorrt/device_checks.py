"""What one bundle's engines have to show on a device, in a process of their own: a check that crashes ends only this.

`python -m hal_ros.tensorrt.device_checks BUNDLE ENGINES PRECISION FOUND --deadline-s S --ticks N` runs all CHECKS and
writes the file FOUND anew, as JSON, whenever one has ended. S is of time.monotonic(), which all processes share.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.arrays import FloatArray
from hal_ros.core.errors import BackendError
from hal_ros.core.step import Backend
from hal_ros.runtime.backend import about, open_backend
from hal_ros.runtime.bundle import STEP, Bundle, load_bundle
from hal_ros.runtime.golden import LIMITS, WINDOWS, GateLimits, GoldenTick, encode_all, gate, golden_fault, read_golden
from hal_ros.runtime.hand_carried import HandCarried, Tensors, open_hand_carried
from hal_ros.runtime.long_stream import MemoryWatch, compare_rows, finite, row_of, step_input, walk
from hal_ros.tensorrt import api as tensorrt_api
from hal_ros.tensorrt.backend import TensorRtBackend
from hal_ros.tensorrt.child_process import run_here
from hal_ros.tensorrt.cudart import Cudart, load_cudart
from hal_ros.tensorrt.device_buffers import Resources, StagedBlock
from hal_ros.tensorrt.engine import Engine, Program
from hal_ros.tensorrt.engine_cache import ENCODER_PLAN, STEP_PLAN, Engines
from hal_ros.tensorrt.report import TICKS as TIMED_TICKS
from hal_ros.tensorrt.report import WARM_UPS, latency_ms

STATE_LIMITS = {"fp32": 1e-3, "fp16": 2e-2}
"""Largest difference of a state's value from ONNX Runtime's in fp32, as a part of the tensor's largest, or of 1."""
TRIED = 10  # ticks that tell what the checks will take
CAUTION = 1.3  # times as long as foreseen is reckoned with


@dataclass(frozen=True)
class Finding:
    """What a check found: `fault` is "" where it holds, `skipped` says what there was no time for, `says` is short."""

    says: str
    fault: str = ""
    skipped: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Costs:
    """What one tick takes here, in seconds; a whole one on the engines, and the parts of ONNX Runtime's."""

    engine_s: float
    reference_encode_s: float
    reference_step_s: float


@dataclass(frozen=True)
class Trial:
    """One bundle's engines, what they are compared with, and how much time there is."""

    bundle: Bundle
    engines: Engines
    backend: TensorRtBackend
    reference: Backend
    cuda: Cudart
    deadline_s: float  # of time.monotonic()
    ticks: int  # of the long stream

    @property
    def left_s(self) -> float:
        """How much time is left."""
        return self.deadline_s - time.monotonic()

    @property
    def limits(self) -> GateLimits:
        """What the gate allows in this precision."""
        return LIMITS[self.engines.precision]

    @property
    def two_windows(self) -> int:
        """Ticks after which all that attention saw has left the caches at least twice."""
        return max(len(self.golden), math.ceil(WINDOWS * self.bundle.card.window_ticks))

    @functools.cached_property
    def golden(self) -> list[GoldenTick]:
        """The bundle's own inputs and outputs."""
        return read_golden(self.bundle)

    @functools.cached_property
    def reference_features(self) -> list[FloatArray]:
        """What ONNX Runtime's encoder makes of the pictures of each golden tick, (C * D,) each."""
        return [encode_all(self.reference, tick.images) for tick in self.golden]

    @functools.cached_property
    def costs(self) -> Costs:
        """Measured once, over a few ticks."""
        engine, reference = (latency_ms(self.bundle, each, TRIED) for each in (self.backend, self.reference))
        parts = engine["tick"], reference["encode"], reference["step"]
        return Costs(*(max(part["p50"], 1e-3) * 1e-3 for part in parts))


# --- the checks -------------------------------------------------------------------------------------------------------


def check_golden_outputs(trial: Trial) -> Finding:
    """Compare with the outputs that the bundle's author stored."""
    fault = golden_fault(trial.bundle, trial.backend)
    return Finding(f"{len(trial.golden)} ticks", fault, figures={"ticks": len(trial.golden)})


def check_outputs(trial: Trial) -> Finding:
    """Pass the gate against ONNX Runtime, as each engine had to when it was built."""
    verdict = gate(trial.bundle, trial.backend, trial.reference, trial.limits)
    figures = {**verdict.as_dict(), "limits": dataclasses.asdict(trial.limits)}
    del figures["fault"]
    says = f"log-probabilities within {verdict.log_prob_error:.1e} over {verdict.ticks} ticks"
    return Finding(says, verdict.fault, figures=figures)


def check_state(trial: Trial) -> Finding:
    """Compare what is carried from tick to tick, tensor by tensor, after more than two windows.

    The step engine is run once more with states that the host carries. They are compared with those of ONNX Runtime;
    and the back end, whose states stay on the device, must give the same bits as that engine does.
    """
    resources = Resources(trial.cuda)
    try:
        by_engine = _engine_by_hand(trial, resources)
        by_onnx = open_hand_carried(trial.bundle.path(STEP), trial.bundle.card)
        state, alike = trial.backend.initial_state(), True
        for tick in walk(len(trial.golden), trial.two_windows):
            golden = trial.golden[tick.golden]
            inputs = step_input(golden, encode_all(trial.backend, golden.images), tick)
            output, state = trial.backend.step(inputs, state)
            alike &= row_of(output).tobytes() == row_of(by_engine.step(inputs)).tobytes()
            by_onnx.step(step_input(golden, trial.reference_features[tick.golden], tick))
        return _compare_states(by_engine.states, by_onnx.states, alike, trial)
    finally:
        resources.close()


def _compare_states(found: Tensors, right: Tensors, alike: bool, trial: Trial) -> Finding:
    limit, faults = STATE_LIMITS[trial.engines.precision], []
    if set(found) != set(right):
        return Finding("", f"the engine carries {sorted(found)}; expected {sorted(right)}")
    errors = {name: _relative_error(found[name], right[name]) for name in found}
    worst = max(errors, key=lambda name: errors[name], default="")
    faults += [f"{name} differs by {e:.2g}, expected <= {limit:g}" for name, e in errors.items() if not e <= limit]
    if not alike:
        faults.append("the back end gives other bits than its engine with states that the host carries")
    figures: dict[str, Any] = {"ticks": trial.two_windows, "limit": limit, "same_bits": alike}
    figures["errors"] = {name: finite(error) for name, error in errors.items()}
    says = f"{len(errors)} tensors within {errors.get(worst, 0.0):.1e} after {trial.two_windows} ticks"
    return Finding(says, "; ".join(faults), figures=figures)


def check_latency(trial: Trial) -> Finding:
    """Time encoder, step and whole tick, and ONNX Runtime's on the CPU; a tick must be done before the next is due."""
    engine, cpu = latency_ms(trial.bundle, trial.backend), latency_ms(trial.bundle, trial.reference)
    period_ms = 1e3 / trial.bundle.card.rate_hz
    tick = engine["tick"]
    ratio = {part: finite(cpu[part]["p50"] / engine[part]["p50"]) if engine[part]["p50"] else None for part in engine}
    figures: dict[str, Any] = {
        "ticks": TIMED_TICKS,
        "engine_ms": engine,
        "onnxruntime_cpu_ms": cpu,
        "ratio": ratio,
    }
    figures |= {"limit_ms": period_ms, "graphs": trial.backend.graphs}
    says = f"a tick takes {tick['p50']:.2f} ms (p50), {tick['p99']:.2f} ms (p99), ONNX Runtime {cpu['tick']['p50']:.2f}"
    late = tick["p99"] > period_ms
    return Finding(says, f"p99 is {tick['p99']:.2f} ms, expected <= {period_ms:g}" if late else "", figures=figures)


def check_ticks(trial: Trial) -> Finding:
    """Stream for long: outputs stay finite, actions stay ONNX Runtime's, memory does not grow.

    Where time is short, ONNX Runtime follows for the first part only, of more than two windows.
    """
    costs, actions = trial.costs, len(trial.bundle.card.vocabulary)
    spare_s = trial.left_s / CAUTION - trial.ticks * costs.engine_s
    compared = min(trial.ticks, max(trial.two_windows, int(spare_s / costs.reference_step_s)))
    found, right = (np.zeros((trial.ticks, 2 * actions + 1), np.float32) for _ in range(2))
    memory = MemoryWatch(lambda: trial.cuda.memory_bytes()[0], trial.ticks)
    state, expected, done = trial.backend.initial_state(), trial.reference.initial_state(), 0
    for done, tick in enumerate(walk(len(trial.golden), trial.ticks)):
        if trial.left_s <= 0:
            break
        memory.look(done)
        golden = trial.golden[tick.golden]
        output, state = trial.backend.step(step_input(golden, encode_all(trial.backend, golden.images), tick), state)
        found[done] = row_of(output)
        if done < compared:
            inputs = step_input(golden, trial.reference_features[tick.golden], tick)
            output, expected = trial.reference.step(inputs, expected)
            right[done] = row_of(output)
    else:
        done = trial.ticks
    short = f"time for {done} of {trial.ticks} ticks" if done < trial.ticks else ""
    figures, faults = compare_rows(found[:done], right[: min(done, compared)], trial.limits)
    grown, growth_faults = memory.verdict(shared=trial.cuda.device().integrated)
    growth = grown["host_growth_mib"]
    watched = "too few to judge memory" if growth is None else f"memory grew by {growth} MiB"
    says = f"{done} ticks, {figures['compared_ticks']} of them compared, {watched}"
    return Finding(says, "; ".join([*faults, *growth_faults]), short, {"ticks": done, **figures, **grown})


CHECKS: dict[str, Callable[[Trial], Finding]] = {
    "golden": check_golden_outputs,
    "outputs": check_outputs,
    "state": check_state,
    "latency": check_latency,
    "ticks": check_ticks,
}
"""In this order. The last one takes what time is left."""


def needed_s(trial: Trial, name: str) -> float:
    """Return what a check is reckoned to take, in seconds; for the long stream, what its least part takes."""
    engine, encode, step = trial.costs.engine_s, trial.costs.reference_encode_s, trial.costs.reference_step_s
    golden, two_windows = len(trial.golden), trial.two_windows
    encoded = golden * encode
    counted = {
        "golden": golden * engine,
        "outputs": (two_windows + golden) * engine + two_windows * step + encoded,
        "state": 2 * two_windows * engine + two_windows * step + encoded,
        "latency": (WARM_UPS + TIMED_TICKS) * (engine + encode + step),
        "ticks": two_windows * (engine + step) + encoded,
    }
    return CAUTION * counted[name]


# --- what the checks use ----------------------------------------------------------------------------------------------


def _engine_by_hand(trial: Trial, resources: Resources) -> HandCarried:
    """Return a stream of the step engine for which the host carries all states, in a context of its own."""
    engine, stream = Engine(tensorrt_api.load(), trial.engines.step), resources.create_stream()
    sent, received = (StagedBlock(resources, specs.values()) for specs in (engine.inputs, engine.outputs))
    context = engine.context((*sent.addresses(), *received.addresses()))
    program = Program(resources, stream, engine, context, sent, received)

    def run(feeds: Tensors) -> Tensors:
        for name, value in feeds.items():
            sent.arrays[name][...] = value
        program.enqueue()
        trial.cuda.synchronize(stream)
        return {name: array.copy() for name, array in received.arrays.items()}

    shapes = {name: spec.shape for name, spec in engine.outputs.items()}
    return HandCarried(run, dict(sent.arrays), shapes, trial.bundle.card)


def _relative_error(found: NDArray[Any], right: NDArray[Any]) -> float:
    """Return the largest difference as a part of the largest value, or of 1; what is no number is infinitely far."""
    a, b = found.astype(np.float64), right.astype(np.float64)
    error = float(np.abs(a - b).max(initial=0.0) / max(1.0, np.abs(b).max(initial=0.0)))
    return math.inf if math.isnan(error) else error


# --- the process ------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Run all checks; only what keeps them from being run is a failure of this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("engines", type=Path)
    parser.add_argument("precision")
    parser.add_argument("found", type=Path)
    parser.add_argument("--deadline-s", type=float, required=True)
    parser.add_argument("--ticks", type=int, required=True)
    args = parser.parse_args(argv)

    def work() -> None:
        bundle, cuda = load_bundle(args.bundle), load_cudart()
        encoder = args.engines / ENCODER_PLAN if bundle.card.encoder else None
        engines = Engines(encoder, args.engines / STEP_PLAN, args.engines, args.precision)
        backend, reference = TensorRtBackend(bundle, engines, cuda), open_backend(bundle, "onnxruntime")[0]
        trial = Trial(bundle, engines, backend, reference, cuda, args.deadline_s, args.ticks)
        run_checks(trial, lambda rows: _write(args.found, {"rows": rows, "engine": about(backend)}))

    return run_here(work)


def run_checks(trial: Trial, keep: Callable[[list[dict[str, Any]]], None]) -> list[dict[str, Any]]:
    """Run CHECKS one after the other; `keep` is given all rows whenever one is added.

    A row says whether the check `holds`, None where it was skipped as there was no time for it.
    """
    rows: list[dict[str, Any]] = []
    for name, check in CHECKS.items():
        started = time.monotonic()
        try:
            need_s, left_s = needed_s(trial, name), trial.left_s
            lacking = f"it takes {need_s:.0f} s or more, {max(left_s, 0.0):.0f} s are left"
            finding = Finding("", skipped=lacking) if need_s > left_s else check(trial)
        except BackendError as error:
            finding = Finding("", str(error))
        rows.append(row(name, finding, time.monotonic() - started))
        keep(rows)
    return rows


def row(check: str, finding: Finding, seconds: float = 0.0) -> dict[str, Any]:
    """Return what is written of a finding."""
    holds = None if finding.skipped and not (finding.fault or finding.figures) else not finding.fault
    return {"check": check, "holds": holds, "seconds": round(seconds, 1), **dataclasses.asdict(finding)}


def _write(path: Path, found: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(found, allow_nan=False))
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
