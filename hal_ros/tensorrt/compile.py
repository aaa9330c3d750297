"""ONNX graphs become TensorRT engines: built in a subprocess, judged on this device, and only then given a name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hal_ros.core.errors import BackendError
from hal_ros.core.work import Report
from hal_ros.runtime.bundle import Bundle, graph_files
from hal_ros.runtime.card_json import TARGETS
from hal_ros.runtime.golden import read_golden
from hal_ros.tensorrt import api as tensorrt_api
from hal_ros.tensorrt.child_process import EVERY_S, CrashError, run_child
from hal_ros.tensorrt.cudart import Cudart, Device, load_cudart
from hal_ros.tensorrt.engine_cache import (
    ENCODER_PLAN,
    REJECTED,
    STEP_PLAN,
    EngineCache,
    EngineKey,
    Engines,
    engine_key,
)
from hal_ros.tensorrt.report import describe, versions

MIB, GIB = 1 << 20, 1 << 30
SMALL_DEVICE_BYTES = 9 * GIB  # an 8 GB board shares them with everything else that runs there
BUILDER_BYTES = GIB  # what the builder's own kernels take beside the workspace, about
PROOF = "proof.json"


@dataclass(frozen=True)
class BuildOptions:
    """How to build. `workspace_mib` bounds what an engine's layers may use at once; None is chosen by the device."""

    workspace_mib: int | None = None
    again: bool = False  # also where there are engines of this key, or rejected ones
    every_s: float = EVERY_S  # between two lines about one build


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
    missing, a build fails, engines can't be judged or none passes; CardError when the bundle lacks graphs or golden
    arrays.
    """
    trt = tensorrt_api.load()
    cuda = load_cudart()
    shop = Workshop(bundle, cache, cuda, trt, cuda.device(), say, options or BuildOptions())
    _check(bundle, precision, tensorrt_api.version(trt))
    say(f"{shop.device.name}, TensorRT {tensorrt_api.version(trt)}, engines in {cache.root}")
    faults = []
    for chosen in dict.fromkeys((precision, "fp32")):
        engines, fault = _engines(shop, chosen)
        if engines is not None:
            return engines
        say(f"{chosen}: {fault}")
        faults.append(f"{chosen}: {fault}")
    raise BackendError(f"{bundle.folder}: no engine can be used: {'; '.join(faults)}")


def _check(bundle: Bundle, precision: str, version: str) -> None:
    """Refuse before minutes of building what would be refused after them."""
    step = graph_files(precision)[1]
    if step not in bundle.card.files:
        raise BackendError(f"{bundle.folder}: has no {step}; expected one, by `hal export`, or --precision fp32")
    # Graphs were checked against the operators of their target and of all that is newer.
    fitting = [target for target in TARGETS if _numbers(target) <= _numbers(version)]
    if bundle.card.target not in fitting:
        raise BackendError(
            f"{bundle.folder}: was exported for TensorRT {bundle.card.target} or newer, here is {version}; "
            f"expected a bundle of `hal export --target {fitting[-1]}`"
        )
    read_golden(bundle)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _engines(shop: Workshop, precision: str) -> tuple[Engines | None, str]:
    """Return engines and "", or None and why they were rejected."""
    key = shop.key(precision)
    with shop.cache.building(shop.say) as folder:
        # Looked up with the lock held: whoever waited for another builder finds what that one made.
        if not shop.options.again:
            if found := _stored(shop, key):
                shop.say(f"{precision}: engines are there already, {found.folder}{_otherwise_built(shop, found)}")
                return found, ""
            if shop.cache.was_rejected(key):
                rejected = shop.cache.root / REJECTED / key.folder_name
                return None, f"was built and rejected before, see {rejected}; --again builds it once more"
        report = _build(shop, precision, folder)
        fault = _prove(shop, precision, folder, report)
        if fault:
            shop.say(f"{precision}: kept aside with its report, {shop.cache.reject(key, folder, report)}")
            return None, f"rejected, {fault}"
        engines = shop.cache.store(key, folder, report)
        shop.say(f"{precision}: accepted, {engines.folder}")
        return engines, ""


def _stored(shop: Workshop, key: EngineKey) -> Engines | None:
    try:
        return shop.cache.find(key)
    except BackendError as error:
        shop.say(str(error))
        return None


def _otherwise_built(shop: Workshop, found: Engines) -> str:
    """Say that the user's workspace is not what these engines were built with."""
    built = found.report.get("workspace_mib")
    if shop.options.workspace_mib in (None, built):
        return ""
    return f"; built with {built} MiB, not {shop.options.workspace_mib}; --again builds anew"


def _build(shop: Workshop, precision: str, folder: Path) -> dict[str, Any]:
    """Build all plans into `folder`; returns what the report says of it."""
    free, _ = shop.cuda.memory_bytes()
    needed = shop.workspace_bytes + BUILDER_BYTES
    if free < needed:
        shop.say(f"{free / GIB:.1f} GiB of GPU memory are free; building may need {needed / GIB:.1f}")
    timing_cache = shop.cache.timing_cache(shop.key(precision))
    seconds = {}
    for name, plan in zip(graph_files(precision), (ENCODER_PLAN, STEP_PLAN), strict=True):
        if plan == ENCODER_PLAN and not shop.bundle.card.encoder:
            continue
        shop.say(f"{name}: building")
        arguments = ["hal_ros.tensorrt.build_engine", str(shop.bundle.path(name)), str(folder / plan)]
        arguments += ["--precision", precision, "--workspace-bytes", str(shop.workspace_bytes)]
        arguments += ["--timing-cache", str(timing_cache)]
        log = (folder / plan).with_suffix(".log")
        seconds[plan] = round(run_child(arguments, log, name, shop.say, shop.options.every_s), 1)
        shop.say(f"{name}: built in {seconds[plan]:.0f} s, {(folder / plan).stat().st_size / 1e6:.1f} MB")
    return {
        "bundle": shop.bundle.card.name,
        "card_sha256": shop.bundle.sha256,
        "precision": precision,
        "device": describe(shop.device),
        "versions": versions(tensorrt_api.version(shop.trt)),
        "workspace_mib": shop.workspace_bytes // MIB,
        "build_s": seconds,
    }


def _prove(shop: Workshop, precision: str, folder: Path, report: dict[str, Any]) -> str:
    """Have the engines judged against ONNX Runtime; returns why they are refused, "" when they are not.

    Verdict and speed go into the report. Raises BackendError when there is no verdict: memory that is full for a
    moment, or a judge that was killed, says nothing about an engine.
    """
    proof = folder / PROOF
    arguments = ["hal_ros.tensorrt.prove_engine", str(shop.bundle.folder), str(folder), precision, str(proof)]
    try:
        run_child(arguments, folder / "proof.log", "engines", shop.say, shop.options.every_s)
    except CrashError as error:  # nobody may load it again
        report["fault"] = str(error)
    else:
        report |= json.loads(proof.read_bytes())
        proof.unlink()
    report["accepted"] = not report["fault"]
    return str(report["fault"])
