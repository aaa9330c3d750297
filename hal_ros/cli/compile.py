"""`hal compile`: a bundle's graphs become TensorRT engines of this device, which must prove themselves before use."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--model", type=Path, default=Path("models/tabletop"), help="bundle (default: %(default)s)")
    parser.add_argument(
        "--precision",
        choices=("fp16", "fp32"),
        default="fp16",
        help="of the engines; where fp16 is too far from ONNX Runtime, fp32 follows (default: %(default)s)",
    )
    parser.add_argument(
        "--workspace-mib",
        type=int,
        help="GPU memory that layers may work in (default: 256 on a board of 8 GB, else 1024)",
    )
    parser.add_argument("--again", action="store_true", help="build also where engines are there already")


def run(args: argparse.Namespace) -> int:
    """Build, judge, report."""
    from hal_ros.core.errors import ConfigError
    from hal_ros.outside.shared_files import given_or_shared
    from hal_ros.runtime.bundle import load_bundle
    from hal_ros.tensorrt.compile import BuildOptions, compile_bundle
    from hal_ros.tensorrt.engine_cache import EngineCache

    if args.workspace_mib is not None and args.workspace_mib < 1:
        raise ConfigError(f"--workspace-mib is {args.workspace_mib}; expected 1 or more")
    options = BuildOptions(args.workspace_mib, args.again)
    engines = compile_bundle(load_bundle(given_or_shared(args.model)), args.precision, EngineCache(), _say, options)
    _say(_summary(engines.precision, engines.report))
    return 0


def _say(line: str) -> None:
    print(line, flush=True)  # a node that started this reads along


def _summary(precision: str, report: Mapping[str, Any]) -> str:
    parity, tick = report["parity"], report["latency_ms"]["tick"]
    return (
        f"{precision}: over {parity['ticks']} ticks log-probabilities differ from ONNX Runtime by at most "
        f"{parity['log_prob_error']:.1e}, equal actions {parity['label_agreement']:.1%}; a tick takes "
        f"{tick['p50']:.2f} ms (p50), {tick['p99']:.2f} ms (p99), CUDA graphs {'on' if report['graphs'] else 'off'}"
    )
