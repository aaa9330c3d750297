"""What `hal device` checks of engines, on the fake that computes: sound ones pass, and each fault has its row."""

from __future__ import annotations

import json
import mmap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")

import fake_tensorrt
from colour_bundle import write_bundle
from fake_cudart import FakeDevice
from fake_tensorrt import Fakes, IExecutionContext
from hal_ros.runtime.bundle import ENCODER, STEP, Bundle
from hal_ros.runtime.onnx_backend import OnnxBackend
from hal_ros.tensorrt import device_checks, report
from hal_ros.tensorrt.backend import TensorRtBackend
from hal_ros.tensorrt.build_engine import build
from hal_ros.tensorrt.cudart import load_cudart
from hal_ros.tensorrt.device_checks import CHECKS, Trial, main, run_checks
from hal_ros.tensorrt.engine_cache import Engines

TICKS = 400
AFTER = 150  # runs of engines that are over when the back end has rehearsed
Change = Callable[[np.ndarray, Any], object]  # of a tensor, on a GPU
Rows = dict[str, dict[str, Any]]


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    return fake_tensorrt.install(monkeypatch, device=FakeDevice(integrated=False))


def built(folder: Path) -> tuple[Bundle, Engines]:
    bundle = write_bundle(folder / "bundle")
    for name, plan in ((ENCODER, "encoder.plan"), (STEP, "step.plan")):
        build(bundle.path(name), folder / plan, "fp32", 64 << 20, folder / "timings")
    return bundle, Engines(folder / "encoder.plan", folder / "step.plan", folder, "fp32")


def checked(folder: Path, seconds: float = 60.0, ticks: int = TICKS) -> Rows:
    """Build engines and run all checks on them; returns the rows by name."""
    bundle, engines = built(folder)
    cuda, deadline_s = load_cudart(), clock().monotonic() + seconds
    backend = TensorRtBackend(bundle, engines, cuda)
    kept: list[str] = []
    trial = Trial(bundle, engines, backend, OnnxBackend(bundle), cuda, deadline_s, ticks)
    rows = run_checks(trial, lambda found: kept.append(json.dumps(found, allow_nan=False)))
    assert [len(json.loads(each)) for each in kept] == list(range(1, len(CHECKS) + 1))
    return {each["check"]: each for each in rows}


def clock() -> Any:
    """Return what the checks take for the time."""
    return vars(device_checks)["time"]


def failed(rows: Rows) -> set[str]:
    return {name for name, each in rows.items() if each["holds"] is False}


def spoil(monkeypatch: pytest.MonkeyPatch, name: str, change: Change, after: int = 0) -> None:
    """Have every engine that gives the tensor `name` change it, once so many runs are over."""
    run = IExecutionContext._run

    def spoilt(context: IExecutionContext) -> None:
        run(context)
        gpu = context._engine._fakes.gpu
        if name in context._engine._outputs and gpu.executions > after:
            change(context._tensor(name), gpu)

    monkeypatch.setattr(IExecutionContext, "_run", spoilt)


def adding(error: float) -> Change:
    def change(tensor: np.ndarray, _: Any) -> None:
        tensor[..., 0] += error

    return change


def test_sound_engines_hold(fakes: Fakes, tmp_path: Path) -> None:
    rows = checked(tmp_path)
    assert list(rows) == list(CHECKS) and all(each["holds"] and not each["skipped"] for each in rows.values())
    assert rows["outputs"]["figures"]["log_prob_error"] == 0.0
    assert rows["state"]["figures"]["errors"] == {"state_feature": 0.0} and rows["state"]["figures"]["same_bits"]
    assert set(rows["latency"]["figures"]["engine_ms"]["tick"]) == {"p50", "p95", "p99"}
    assert rows["latency"]["figures"]["ratio"]["step"] > 0
    ticks = rows["ticks"]["figures"]
    assert (ticks["ticks"], ticks["compared_ticks"], ticks["not_finite_ticks"]) == (TICKS, TICKS, 0)


def test_wrong_outputs_are_found(fakes: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spoil(monkeypatch, "log_probs", adding(0.1))
    rows = checked(tmp_path)
    assert failed(rows) == {"golden", "outputs", "ticks"}  # the state itself is right, and as fast
    assert "log-probabilities differ by 0.1" in rows["ticks"]["fault"]


def test_a_wrong_state_is_found(fakes: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spoil(monkeypatch, "next_feature", adding(1.0))
    rows = checked(tmp_path)
    assert "state" in failed(rows) and rows["state"]["fault"].startswith("state_feature differs by")
    assert rows["state"]["figures"]["same_bits"]


def test_a_state_that_is_carried_wrongly_is_found(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The engine itself is right: only the back end, which launches graphs, goes wrong once it has been trusted."""

    def change(tensor: np.ndarray, gpu: Any) -> None:
        tensor[..., 0] += 1e-4 * gpu.in_graph

    spoil(monkeypatch, "lagged_log_probs", change, AFTER)
    rows = checked(tmp_path)
    assert "state" in failed(rows) and not rows["state"]["figures"]["same_bits"]
    assert rows["state"]["fault"].startswith("the back end gives other bits")
    assert rows["ticks"]["holds"]  # too little to be seen in the outputs


def test_what_is_no_number_is_found(fakes: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def change(tensor: np.ndarray, _: Any) -> None:
        tensor[...] = np.nan

    spoil(monkeypatch, "boundary", change, after=800)  # far into the long stream
    rows = checked(tmp_path)
    assert failed(rows) == {"ticks"} and "outputs that are no numbers" in rows["ticks"]["fault"]


def test_a_leak_on_the_device_is_found(fakes: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spoil(monkeypatch, "log_probs", lambda _, gpu: gpu._allocate(64 << 10, pinned=False), AFTER)
    rows = checked(tmp_path)
    assert failed(rows) == {"ticks"} and "MiB of GPU memory went" in rows["ticks"]["fault"]
    assert rows["ticks"]["figures"]["device_growth_mib"] > 4


def test_a_leak_in_the_process_is_found(fakes: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept: list[mmap.mmap] = []

    def keep(*_: object) -> None:
        kept.append(mmap.mmap(-1, 64 << 10))  # pages of its own: a large process may have freed ones to give
        kept[-1].write(b"x" * (64 << 10))

    spoil(monkeypatch, "log_probs", keep, AFTER)
    rows = checked(tmp_path)
    assert failed(rows) == {"ticks"} and rows["ticks"]["fault"].startswith("the process grew by")


def test_a_failing_device_fails_each_check_and_ends_none(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def change(_: np.ndarray, gpu: Any) -> None:
        gpu.broken = 700

    spoil(monkeypatch, "log_probs", change, after=300)
    rows = checked(tmp_path)
    assert len(rows) == len(CHECKS) and "ticks" in failed(rows)
    assert "CUDA error 700" in rows["ticks"]["fault"]


def test_a_tick_that_takes_longer_than_a_period_is_late(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = {part: {"p50": 90.0, "p95": 95.0, "p99": 101.0} for part in ("encode", "step", "tick")}
    measured = report.latency_ms

    def latency_ms(bundle: Bundle, backend: Any, *ticks: int) -> Any:
        return slow if backend.name == "tensorrt" and not ticks else measured(bundle, backend, *ticks)

    monkeypatch.setattr(device_checks, "latency_ms", latency_ms)
    rows = checked(tmp_path)
    assert failed(rows) == {"latency"} and rows["latency"]["fault"] == "p99 is 101.00 ms, expected <= 100"


def test_what_would_take_too_long_is_skipped_and_said_so(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = {part: {"p50": 10_000.0} for part in ("encode", "step", "tick")}
    monkeypatch.setattr(device_checks, "latency_ms", lambda *_: slow)
    rows = checked(tmp_path, seconds=20.0)
    assert failed(rows) == set() and all(each["holds"] is None for each in rows.values())
    assert all("s or more, " in each["skipped"] and "s are left" in each["skipped"] for each in rows.values())


class Clock:
    """Goes on by a millisecond whenever somebody looks."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        self.now_s += 1e-3
        return self.now_s


def test_a_stream_that_runs_out_of_time_says_how_far_it_came(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(device_checks, "time", Clock())
    quick = {part: {"p50": 1.0, "p99": 1.0} for part in ("encode", "step", "tick")}
    monkeypatch.setattr(device_checks, "latency_ms", lambda *_: quick)
    row = checked(tmp_path, seconds=1.3, ticks=10_000)["ticks"]
    done = row["figures"]["ticks"]
    assert 100 < done < 10_000 and row["holds"] and row["skipped"] == f"time for {done} of 10000 ticks"
    assert 0 < row["figures"]["compared_ticks"] < 100  # more than two windows, and no more
    assert row["figures"]["host_growth_mib"] is None and "too few to judge memory" in row["says"]


def test_with_time_for_the_engine_alone_a_part_is_compared(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(device_checks, "time", Clock())
    costly = {"encode": {"p50": 1.0}, "step": {"p50": 100.0}, "tick": {"p50": 1.0, "p99": 1.0}}
    monkeypatch.setattr(device_checks, "latency_ms", lambda *_: costly)
    row = checked(tmp_path, seconds=60.0, ticks=2000)["ticks"]
    assert row["holds"] and not row["skipped"] and row["figures"]["ticks"] == 2000
    assert 100 < row["figures"]["compared_ticks"] < 1000


def test_the_process_writes_what_it_found(fakes: Fakes, tmp_path: Path) -> None:
    bundle, engines = built(tmp_path)
    found = tmp_path / "found.json"
    arguments = [str(bundle.folder), str(engines.folder), "fp32", str(found)]
    assert main([*arguments, "--deadline-s", str(time.monotonic() + 60), "--ticks", "50"]) == 0
    said = json.loads(found.read_text())
    assert [each["check"] for each in said["rows"]] == list(CHECKS) and said["engine"]["graphs"] == "on"
    engines.step.write_bytes(b"no plan")
    assert main([*arguments, "--deadline-s", "0", "--ticks", "50"]) == 1
