"""Building one engine in a process of its own: the builder may crash, and keeps much memory.

`python -m hal_ros.tensorrt.build_engine ONNX PLAN …` prints `phase done/all` on stdout as it goes, and on stderr what
TensorRT says.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hal_ros.core.errors import BackendError
from hal_ros.tensorrt import api as tensorrt_api
from hal_ros.tensorrt.child_process import explain, run_here

PROGRESS_S = 1.0  # between two lines of progress


def main(argv: Sequence[str] | None = None) -> int:
    """Build; a failure is one line on stderr."""
    parser = argparse.ArgumentParser()
    parser.add_argument("onnx", type=Path)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--precision", required=True)
    parser.add_argument("--workspace-bytes", type=int, required=True)
    parser.add_argument("--timing-cache", type=Path, required=True)
    args = parser.parse_args(argv)
    return run_here(lambda: build(args.onnx, args.plan, args.precision, args.workspace_bytes, args.timing_cache))


def build(onnx: Path, plan: Path, precision: str, workspace_bytes: int, timing_cache: Path) -> None:
    """Build an engine and write its plan. Raises BackendError when TensorRT refuses, OSError when the disk does."""
    trt = tensorrt_api.load()
    messages: list[str] = []

    def log(text: str) -> None:
        messages.append(text)
        print(text, file=sys.stderr, flush=True)

    logger = tensorrt_api.make_logger(trt, log)
    try:
        builder = trt.Builder(logger)
    except TypeError as error:  # pybind11's answer to the null pointer that a machine without driver gives
        raise BackendError(
            f"TensorRT has no builder here: {explain(messages, 'is there a GPU and its driver?')}"
        ) from error
    network = builder.create_network(tensorrt_api.network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx.read_bytes()):
        refused = "; ".join(tensorrt_api.parser_errors(parser))
        raise BackendError(f"TensorRT can't read it: {explain([refused], refused)}")
    if wide := tensorrt_api.keep_wide(trt, network, precision):
        log(f"info: {wide} layers are kept in fp32")
    config = builder.create_builder_config()
    tensorrt_api.configure(trt, config, precision, workspace_bytes)
    _use_timings(config, timing_cache)
    watcher = tensorrt_api.watch(trt, config, _Progress())
    built = builder.build_serialized_network(network, config)
    del watcher  # it had to live until here
    if built is None:
        raise BackendError(f"TensorRT can't build it: {explain(messages, 'it does not say why')}")
    _write(plan, bytes(built))
    _keep_timings(config, timing_cache)


class _Progress:
    """Prints how far the builder is, not too often; called from its threads."""

    def __init__(self) -> None:
        self._next = time.monotonic()

    def __call__(self, phase: str, done: int, count: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PROGRESS_S
            print(f"{phase} {done}/{count}", flush=True)


def _use_timings(config: Any, path: Path) -> None:
    """Start from what earlier builds on this device timed. Such a file only saves time: one that is damaged is left."""
    try:
        stored = path.read_bytes()
    except OSError:
        stored = b""
    cache = config.create_timing_cache(stored)
    if stored and (cache is None or not config.set_timing_cache(cache, ignore_mismatch=False)):
        stored, cache = b"", config.create_timing_cache(b"")
    if not stored and cache is not None:
        config.set_timing_cache(cache, ignore_mismatch=False)


def _keep_timings(config: Any, path: Path) -> None:
    cache = config.get_timing_cache()
    with contextlib.suppress(OSError):  # it only saves time
        part = path.with_name(path.name + ".part")
        try:
            _write(part, bytes(cache.serialize()) if cache is not None else b"")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    sys.exit(main())
