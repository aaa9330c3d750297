"""What runs a bundle on this machine, how exactly and how fast, as one block made to be pasted."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hal_ros.core.errors import BackendError
from hal_ros.core.step import Backend
from hal_ros.offline.bundle import BundleChoice
from hal_ros.runtime.backend import about, open_backend
from hal_ros.runtime.bundle import Bundle, load_bundle
from hal_ros.runtime.golden import LIMITS, gate, golden_fault
from hal_ros.tensorrt import api as tensorrt_api
from hal_ros.tensorrt.cudart import load_cudart
from hal_ros.tensorrt.report import describe, latency_ms, versions


def verify(choice: BundleChoice, ticks: int) -> dict[str, Any]:
    """Return the block; its `accepted` says whether the back end may be used. `ticks` are timed.

    Raises CardError, ConfigError or BackendError when nothing runs the bundle.
    """
    bundle = load_bundle(choice.folder)
    backend, reason = open_backend(bundle, choice.backend, choice.options)
    return {"backend": backend.name, "reason": reason, **_measured(bundle, backend, ticks)}


def to_text(block: dict[str, Any]) -> str:
    """Return a block as JSON without the home folder's path: it holds a user's name, which is nobody's business."""
    return without_home(json.dumps(block, indent=2))


def without_home(text: str) -> str:
    """Return JSON in which ~ stands for the home folder's path."""
    for home in {Path.home(), Path.home().resolve()} - {Path("/")}:
        text = re.sub(rf"{re.escape(json.dumps(str(home))[1:-1])}(?![\w-]|\.\w)", "~", text)
    return text


def _measured(bundle: Bundle, backend: Backend, ticks: int) -> dict[str, Any]:
    precision = getattr(backend, "precision", "fp32")
    limits = LIMITS[precision]
    verdict = gate(bundle, backend, open_backend(bundle, "onnxruntime")[0], limits)
    golden = golden_fault(bundle, backend)
    return {
        "accepted": verdict.holds and not golden,
        "bundle": bundle.card.name,
        "card_sha256": bundle.sha256,
        "precision": precision,
        "device": _device(),
        "versions": versions(_tensorrt(backend.name)),
        "parity": verdict.as_dict(),
        "limits": asdict(limits),
        "golden": golden or "as stored",
        "latency_ms": latency_ms(bundle, backend, ticks),
        "about": about(backend),
    }


def _device() -> dict[str, Any] | str:
    """Return the GPU's description, or why there is none."""
    try:
        return describe(load_cudart().device())
    except BackendError as error:
        return f"none: {error}"


def _tensorrt(name: str) -> str | None:
    return tensorrt_api.version(tensorrt_api.load()) if name == "tensorrt" else None
