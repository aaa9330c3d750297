"""How commands are told which bundle to run, and what runs it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hal_ros.offline.bundle import BundleChoice


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --model and the back end's arguments, which are called as the node's parameters are."""
    from hal_ros.runtime.bundle import PRECISIONS

    parser.add_argument("--model", type=Path, default=Path("models/tabletop"), help="bundle (default: %(default)s)")
    parser.add_argument("--backend", default="auto", help="what runs the model (default: %(default)s)")
    parser.add_argument(
        "--providers", default="", help="ONNX Runtime's, separated by commas, most wanted first (default: CPU)"
    )
    parser.add_argument("--threads", type=int, default=1, help="of the back end on the CPU (default: %(default)s)")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="fp16", help="of TensorRT's engines (default: %(default)s)"
    )


def bundle_choice(args: argparse.Namespace) -> BundleChoice:
    """Return what the arguments say. Raises ConfigError for a number of threads below 1."""
    from hal_ros.core.errors import ConfigError
    from hal_ros.offline.bundle import BundleChoice
    from hal_ros.outside.shared_files import given_or_shared
    from hal_ros.runtime.backend import BackendOptions, provider_names

    if args.threads < 1:
        raise ConfigError(f"--threads is {args.threads}; expected 1 or more")
    options = BackendOptions(args.threads, provider_names(args.providers), args.precision)
    return BundleChoice(given_or_shared(args.model), args.backend, options)
