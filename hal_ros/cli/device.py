"""`hal device`: build TensorRT engines of the shipped bundles on this GPU and check all that they do, in minutes."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import Any

RESULTS, STAND_IN_RESULTS = Path("docs/results/device.json"), Path("build/device.json")
FAKES = Path(__file__).resolve().parents[2] / "test" / "fakes"
STAND_IN_VARIABLE = "HAL_ROS_FAKE_TENSORRT"  # set in a process that runs on the stand-in, and in its children


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--models", type=Path, default=Path("models"), help="a bundle, or a folder of them (%(default)s)"
    )
    parser.add_argument("--out", type=Path, help=f"default: {RESULTS}, or {STAND_IN_RESULTS} with --stand-in")
    parser.add_argument("--budget-s", type=float, default=480.0, help="what the whole may take (default: %(default)s)")
    parser.add_argument("--ticks", type=int, default=10_000, help="of the long stream (default: %(default)s)")
    parser.add_argument("--fresh", action="store_true", help="build also where engines are there already")
    parser.add_argument(
        "--stand-in", action="store_true", help="run on what the tests use for TensorRT and CUDA: no figure is a GPU's"
    )
    parser.epilog = "exit code: 0 all was run and holds, 1 something failed or could not start, 3 something was skipped"


def run(args: argparse.Namespace) -> int:
    """Build and check; the file is written anew after every step."""
    from hal_ros.core.errors import ConfigError

    for name, value in (("--budget-s", args.budget_s), ("--ticks", args.ticks)):
        if not value >= 1:
            raise ConfigError(f"{name} is {value}; expected 1 or more")
    if args.stand_in:
        _stand_in()
    stand_in = STAND_IN_VARIABLE in os.environ
    out = args.out or (STAND_IN_RESULTS if stand_in else RESULTS)
    if stand_in and out.resolve() == RESULTS.resolve():
        raise ConfigError(f"--out is {out}, where a GPU's results stand; expected another file on the stand-in")
    return _run(args, out, stand_in)


def _run(args: argparse.Namespace, out: Path, stand_in: bool) -> int:
    from hal_ros.bench.verify import to_text, without_home
    from hal_ros.outside.outputs import check_file, replace_text
    from hal_ros.outside.shared_files import given_or_shared
    from hal_ros.tensorrt import device_run
    from hal_ros.tensorrt.engine_cache import EngineCache

    # The stand-in's engines would push those of the GPU out of the user's cache.
    cache = EngineCache(out.parent / "stand_in_engines") if stand_in else EngineCache()
    options = device_run.DeviceOptions(args.budget_s, args.ticks, args.fresh, stand_in, cache)
    folders = device_run.bundle_folders(given_or_shared(args.models))
    check_file(out, device_run.is_ours, "a device's results")

    def keep(block: dict[str, Any]) -> None:
        replace_text(out, to_text(block) + "\n", device_run.is_ours, "a device's results")

    block = device_run.run_device(folders, options, lambda line: print(line, flush=True), keep)
    print(without_home(f"{device_run.summary(block)}; written to {out}"))
    return device_run.exit_code(block)


def _stand_in() -> None:
    """Put the stand-in in place of TensorRT and CUDA. Raises ConfigError where it is not, or lacks onnx."""
    from hal_ros.core.errors import ConfigError

    sys.path.insert(0, str(FAKES))
    try:
        importlib.import_module("fake_tensorrt").install_here()
    except ImportError as error:
        raise ConfigError(f"no stand-in ({error}); expected a checkout with {FAKES}, and `pip install onnx`") from error
