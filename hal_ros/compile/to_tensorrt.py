"""ONNX graphs become TensorRT engines: built in a subprocess, judged on this device, and only then given a name."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hal_ros.compile.build_engine import FAILED, MEMORY, explain
from hal_ros.compile.engine_report import describe, latency_ms, versions
from hal_ros.core.errors import BackendError
from hal_ros.core.types import Backend
from hal_ros.runtime import tensorrt_api
from hal_ros.runtime.card import TARGETS, Bundle, graph_files
from hal_ros.runtime.cudart import Cudart, Device, load_cudart
from hal_ros.runtime.engine_cache import ENCODER_PLAN, STEP_PLAN, EngineCache, EngineKey, Engines, engine_key
from hal_ros.runtime.golden import LIMITS, gate

Report = Callable[[str], None]
"""Told one line at a time what is going on."""

MIB, GIB = 1 << 20, 1 << 30
SMALL_DEVICE_BYTES = 9 * GIB  # an 8 GB board shares them with everything else that runs there
BUILDER_BYTES = GIB  # what the builder's own kernels take beside the workspace, about
EVERY_S = 10.0


@dataclass(frozen=True)
class BuildOptions:
    """How to build. `workspace_mib` bounds what an engine's layers may use at once; None is chosen by the device."""

    workspace_mib: int | None = None
    again: bool = False  # also where there are engines of this key, or rejected ones
    every_s: float = EVERY_S  # between two lines about one build


class Job(NamedTuple):
    """One engine to be built."""

    onnx: Path
    plan: Path
    precision: str
    workspace_bytes: int
    timing_cache: Path


class Workshop(NamedTuple):
    """What building takes on this machine."""

    bundle: Bundle
    cache: EngineCache
    cuda: Cudart
    trt: Any  # the module
    device: Device
    say: Report
    options: BuildOptions

    def key(self, precision: str) -> EngineKey:
        """Return the key of engines made here."""
        return engine_key(self.bundle, precision, self.device, tensorrt_api.version(self.trt))

    @property
    def workspace_bytes(self) -> int:
        """The builder's limit: the user's, or what such a device can spare."""
        small = self.device.memory_bytes <= SMALL_DEVICE_BYTES
        return (self.options.workspace_mib or (256 if small else 1024)) * MIB


def compile_bundle(
    bundle: Bundle, precision: str, cache: EngineCache, say: Report, options: BuildOptions | None = None
) -> Engines:
    """Return engines that passed their gate on this device; those of the cache when they are there already.

    In fp16 that fails the gate is kept aside, and fp32 comes next. Raises BackendError when TensorRT or a GPU is
    missing, a build fails or no engine passes; CardError when the bundle lacks graphs or golden arrays.
    """
    trt = tensorrt_api.load()
    cuda = load_cudart()
    shop = Workshop(bundle, cache, cuda, trt, cuda.device(), say, options or BuildOptions())
    _check_target(bundle, tensorrt_api.version(trt))
    say(f"{shop.device.name}, TensorRT {tensorrt_api.version(trt)}, engines in {cache.root}")
    faults = []
    for chosen in dict.fromkeys((precision, "fp32")):
        engines, fault = _engines(shop, chosen)
        if engines is not None:
            return engines
        say(f"{chosen}: {fault}")
        faults.append(f"{chosen}: {fault}")
    raise BackendError(f"{bundle.folder}: no engine can be used: {'; '.join(faults)}")


def _check_target(bundle: Bundle, version: str) -> None:
    """Refuse graphs that were never checked against the operators of so old a TensorRT."""
    fitting = [target for target in TARGETS if _numbers(target) <= _numbers(version)]
    if bundle.card.target not in fitting:
        raise BackendError(
            f"{bundle.folder}: was exported for TensorRT {bundle.card.target} or newer, here is {version}; "
            f"expected a bundle of `hal export --target {fitting[-1]}`"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _engines(shop: Workshop, precision: str) -> tuple[Engines | None, str]:
    """Return engines and "", or None and why they were rejected."""
    key = shop.key(precision)
    with shop.cache.building(shop.say) as folder:
        # Looked up with the lock held: whoever waited for another builder finds what that one made.
        if not shop.options.again:
            if found := _stored(shop, key):
                shop.say(f"{precision}: engines are there already, {found.folder}")
                return found, ""
            if shop.cache.was_rejected(key):
                return None, "was built and rejected before; --again builds it once more"
        report = _build(shop, precision, folder)
        fault = _prove(shop, Engines(_encoder(shop, folder), folder / STEP_PLAN, folder, precision), report)
        if fault:
            return None, f"rejected, {fault}; kept in {shop.cache.reject(key, folder, report)}"
        engines = shop.cache.store(key, folder, report)
        shop.say(f"{precision}: accepted, {engines.folder}")
        return engines, ""


def _stored(shop: Workshop, key: EngineKey) -> Engines | None:
    try:
        return shop.cache.find(key)
    except BackendError as error:
        shop.say(f"{error}; building again")
        return None


def _encoder(shop: Workshop, folder: Path) -> Path | None:
    return folder / ENCODER_PLAN if shop.bundle.card.image else None


def _build(shop: Workshop, precision: str, folder: Path) -> dict[str, Any]:
    """Build all plans into `folder`; returns what the report says of it."""
    free, _ = shop.cuda.memory_bytes()
    needed = shop.workspace_bytes + BUILDER_BYTES
    if free < needed:
        shop.say(f"{free / GIB:.1f} GiB of GPU memory are free; building may need {needed / GIB:.1f}")
    timing_cache = shop.cache.timing_cache(shop.key(precision))
    seconds = {}
    for name, plan in zip(graph_files(precision), (_encoder(shop, folder), folder / STEP_PLAN), strict=True):
        if plan is not None:
            onnx = shop.bundle.path(name)
            shop.say(f"{name}: building")
            job = Job(onnx, plan, precision, shop.workspace_bytes, timing_cache)
            seconds[plan.name] = build_plan(job, shop.say, shop.options.every_s)
            shop.say(f"{name}: built in {seconds[plan.name]:.0f} s, {plan.stat().st_size / 1e6:.1f} MB")
    return {
        "bundle": shop.bundle.card.name,
        "card_sha256": shop.bundle.sha256,
        "precision": precision,
        "device": describe(shop.device),
        "versions": versions(tensorrt_api.version(shop.trt)),
        "workspace_mib": shop.workspace_bytes // MIB,
        "build_s": {name: round(value, 1) for name, value in seconds.items()},
    }


def _prove(shop: Workshop, engines: Engines, report: dict[str, Any]) -> str:
    """Judge the engines against ONNX Runtime in fp32; returns why they are refused, "" when they are not.

    Verdict and speed go into the report.
    """
    limits = LIMITS[engines.precision]
    report["limits"] = asdict(limits)
    try:
        backend, reference = _open(shop, engines)
        verdict = gate(shop.bundle, backend, reference, limits)
        report |= {"parity": verdict.as_dict(), "graphs": backend.graphs, "engine": backend.about()}
        if verdict.holds:
            report["latency_ms"] = latency_ms(shop.bundle, backend)
        fault = verdict.fault
    except BackendError as error:  # an engine that does not even run
        fault = str(error)
    report |= {"accepted": not fault, "fault": fault}
    return fault


def _open(shop: Workshop, engines: Engines) -> tuple[Any, Backend]:
    from hal_ros.runtime.backend import open_backend
    from hal_ros.runtime.tensorrt_backend import TensorRtBackend  # type: ignore[import-not-found]

    return TensorRtBackend(shop.bundle, engines, shop.cuda, shop.trt), open_backend(shop.bundle, "onnxruntime")[0]


# --- the subprocess ---------------------------------------------------------------------------------------------------


def build_plan(job: Job, say: Report, every_s: float = EVERY_S) -> float:
    """Build one plan in a subprocess and return the seconds it took.

    What the builder says is kept beside the plan. Raises BackendError, in one line, when it fails, crashes or is
    killed.
    """
    command = [sys.executable, "-m", "hal_ros.compile.build_engine", str(job.onnx), str(job.plan)]
    command += ["--precision", job.precision, "--workspace-bytes", str(job.workspace_bytes)]
    command += ["--timing-cache", str(job.timing_cache)]
    log, started = job.plan.with_suffix(".log"), time.monotonic()
    with log.open("wb") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process:
        try:
            _follow(process, job.onnx.name, say, every_s)
        except BaseException:
            process.kill()
            raise
    said = log.read_text(errors="replace").splitlines()
    if process.returncode:
        raise BackendError(f"{job.onnx}: {_reason(process.returncode, said)}")
    return time.monotonic() - started


def _follow(process: subprocess.Popen[bytes], name: str, say: Report, every_s: float) -> None:
    """Wait for the builder; say now and then how far it is, also when it has nothing to say itself."""
    latest, started = [""], time.monotonic()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            latest[0] = f", {line.decode(errors='replace').strip()}"

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    while True:
        try:
            process.wait(every_s)
            break
        except subprocess.TimeoutExpired:
            say(f"{name}: {time.monotonic() - started:.0f} s{latest[0]}")
    reader.join()


def _reason(code: int, said: list[str]) -> str:
    if said and said[-1].startswith(FAILED):
        return said[-1].removeprefix(FAILED)
    last = explain(said, "it said nothing before")
    if code == -signal.SIGKILL:
        return f"the builder was killed; {MEMORY} ({last})"
    if code < 0:
        return f"the builder crashed with {signal.Signals(-code).name}; {last}"
    return f"the builder ended with code {code}; {last}"
