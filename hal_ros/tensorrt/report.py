"""What a report says of a back end on this machine: device, versions, parity, and how long a tick takes."""

from __future__ import annotations

import dataclasses
import platform
import time
from importlib import metadata
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.step import Backend
from hal_ros.runtime.bundle import Bundle
from hal_ros.runtime.golden import encode_all, read_golden
from hal_ros.tensorrt.cudart import Device

WARM_UPS = 20  # the first calls load kernels and raise the clocks
TICKS = 200
PERCENTILES = (50, 95, 99)
PACKAGES = ("hal_ros", "numpy", "onnxruntime", "onnxruntime-gpu", "torch")


def latency_ms(bundle: Bundle, backend: Backend, ticks: int = TICKS) -> dict[str, dict[str, float]]:
    """Return p50, p95 and p99 in milliseconds of `encode`, `step` and the whole `tick`, over golden inputs.

    `encode` is of the pictures of all cameras; a bundle without cameras has none.
    """
    times = np.zeros((WARM_UPS + ticks, 2))
    state = backend.initial_state()
    for row, tick in zip(times, cycle(read_golden(bundle)), strict=False):
        start = time.perf_counter_ns()
        feature = encode_all(backend, tick.images)
        encoded = time.perf_counter_ns()
        _, state = backend.step(tick.step_input(feature), state)
        row[:] = encoded - start, time.perf_counter_ns() - encoded
    encode, step = times[WARM_UPS:].T * 1e-6
    found = {"encode": _percentiles(encode), "step": _percentiles(step), "tick": _percentiles(encode + step)}
    return found if bundle.card.encoder else {name: found[name] for name in ("step", "tick")}


def describe(device: Device) -> dict[str, Any]:
    """Return the GPU's fields for a report."""
    return dataclasses.asdict(device) | {"compute_capability": ".".join(map(str, device.compute_capability))}


def versions(tensorrt: str | None = None) -> dict[str, str]:
    """Return the versions of all that takes part; packages that are not installed are left out."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.release()}"}
    found["processor"] = _processor()
    if release := _first_line(Path("/etc/nv_tegra_release")):
        found["l4t"] = release
    found |= {name: version for name in PACKAGES if (version := _version(name))}
    return found | ({"tensorrt": tensorrt} if tensorrt else {})


def _percentiles(values: NDArray[np.float64]) -> dict[str, float]:
    return {f"p{p}": round(float(np.percentile(values, p)), 4) for p in PERCENTILES}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    lines = _text(Path("/proc/cpuinfo")).splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return model or platform.machine()


def _first_line(path: Path) -> str:
    return _text(path).partition("\n")[0].strip()


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
