"""`hal verify`: one block of JSON that says what runs here, how exactly and how fast; made to be pasted."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hal_ros.cli import backends

if TYPE_CHECKING:
    from hal_ros.core.step import Backend
    from hal_ros.runtime.bundle import Bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    backends.add_arguments(parser)
    parser.add_argument("--ticks", type=int, default=200, help="that are timed (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Print the block; exit code 1 when the back end must not be used."""
    import json

    from hal_ros.core.errors import ConfigError
    from hal_ros.runtime.backend import open_backend
    from hal_ros.runtime.bundle import load_bundle

    if args.ticks < 1:
        raise ConfigError(f"--ticks is {args.ticks}; expected 1 or more")
    bundle = load_bundle(args.model)
    backend, reason = open_backend(bundle, args.backend, backends.backend_options(args))
    block = {"backend": backend.name, "reason": reason, **_measured(bundle, backend, args.ticks)}
    print(_without_home(json.dumps(block, indent=2)))
    return 0 if block["accepted"] else 1


def _without_home(text: str) -> str:
    """Replace the home folder's path in JSON: it holds a user's name, which is nobody's business."""
    import json

    for home in {Path.home(), Path.home().resolve()} - {Path("/")}:
        text = re.sub(rf"{re.escape(json.dumps(str(home))[1:-1])}(?![\w-]|\.\w)", "~", text)
    return text


def _measured(bundle: Bundle, backend: Backend, ticks: int) -> dict[str, Any]:
    from dataclasses import asdict

    from hal_ros.runtime.backend import about, open_backend
    from hal_ros.runtime.golden import LIMITS, gate, golden_fault
    from hal_ros.tensorrt.report import latency_ms, versions

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
    from hal_ros.core.errors import BackendError
    from hal_ros.tensorrt.cudart import load_cudart
    from hal_ros.tensorrt.report import describe

    try:
        return describe(load_cudart().device())
    except BackendError as error:
        return f"none: {error}"


def _tensorrt(name: str) -> str | None:
    from hal_ros.tensorrt import api as tensorrt_api

    return tensorrt_api.version(tensorrt_api.load()) if name == "tensorrt" else None
