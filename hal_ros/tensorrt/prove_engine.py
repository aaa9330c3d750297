"""Judging engines in a process of its own, since even an engine that was just built may crash whoever loads it.

`python -m hal_ros.tensorrt.prove_engine BUNDLE ENGINES PRECISION PROOF` streams golden inputs through the engines in
the folder ENGINES and through ONNX Runtime in fp32, and writes verdict and speed to the file PROOF as JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hal_ros.runtime.backend import about, open_backend
from hal_ros.runtime.bundle import Bundle, load_bundle
from hal_ros.runtime.golden import LIMITS, gate, golden_fault
from hal_ros.tensorrt.backend import TensorRtBackend
from hal_ros.tensorrt.child_process import run_here
from hal_ros.tensorrt.engine_cache import ENCODER_PLAN, STEP_PLAN, Engines
from hal_ros.tensorrt.report import latency_ms


def main(argv: Sequence[str] | None = None) -> int:
    """Judge; a failure is one line on stderr, a verdict is none."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("engines", type=Path)
    parser.add_argument("precision")
    parser.add_argument("proof", type=Path)
    args = parser.parse_args(argv)

    def work() -> None:
        bundle = load_bundle(args.bundle)
        encoder = args.engines / ENCODER_PLAN if bundle.card.encoder else None
        engines = Engines(encoder, args.engines / STEP_PLAN, args.engines, args.precision)
        args.proof.write_text(json.dumps(prove(bundle, engines)))

    return run_here(work)


def prove(bundle: Bundle, engines: Engines) -> dict[str, Any]:
    """Return what a report says of engines that were just built: parity, limits, graphs; speed if they hold.

    They hold if they keep to the gate's limits and give the golden outputs, as whoever opens them later checks.
    Raises BackendError when they can't be run at all.
    """
    limits = LIMITS[engines.precision]
    backend = TensorRtBackend(bundle, engines)
    print("comparing with ONNX Runtime", flush=True)
    verdict = gate(bundle, backend, open_backend(bundle, "onnxruntime")[0], limits)
    fault = "; ".join(filter(None, (verdict.fault, golden_fault(bundle, backend))))
    proof: dict[str, Any] = {"fault": fault, "parity": verdict.as_dict()}
    proof |= {"limits": dataclasses.asdict(limits), "graphs": backend.graphs, "engine": about(backend)}
    if not fault:
        print("measuring", flush=True)
        proof["latency_ms"] = latency_ms(bundle, backend)
    return proof


if __name__ == "__main__":
    sys.exit(main())
