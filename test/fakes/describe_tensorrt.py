"""Run with a real tensorrt module in reach: prints, as JSON, what it has and how our code fares with it.

No GPU and no library of NVIDIA's is needed, as nothing is built or run.
"""

from __future__ import annotations

import inspect
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

from hal_ros.core.errors import BackendError
from hal_ros.tensorrt import api as tensorrt_api
from hal_ros.tensorrt.build_engine import build
from hal_ros.tensorrt.engine import Engine


def classes(trt: Any) -> dict[str, dict[str, list[str]]]:
    """Return, for each class, kind and documentation of each member; pybind11 writes signatures there."""
    found = {}
    for name, kind in vars(trt).items():
        if inspect.isclass(kind) and not hasattr(kind, "__members__"):
            members = {member: getattr(kind, member, None) for member in dir(kind)}
            found[name] = {member: _described(value) for member, value in members.items() if _is_public(member)}
    return found


def _is_public(name: str) -> bool:
    return name == "__init__" or not name.startswith("_")


def _described(value: Any) -> list[str]:
    if isinstance(value, property):
        return ["property", value.fget.__doc__ or "", "writable" if value.fset else ""]
    return ["method" if callable(value) and not inspect.isclass(value) else "value", value.__doc__ or "", ""]


def enumerations(trt: Any) -> dict[str, dict[str, int]]:
    """Return the numbers of all enumerations' members; Severity is a member of ILogger."""
    kinds = {name: kind for name, kind in vars(trt).items() if hasattr(kind, "__members__")}
    kinds["Severity"] = trt.ILogger.Severity
    return {name: {key: int(value) for key, value in kind.__members__.items()} for name, kind in kinds.items()}


def refusal(attempt: Any) -> str:
    """Return the error that ends `attempt`, which can't succeed here."""
    try:
        attempt()
    except BackendError as error:
        return str(error)
    return "nothing was refused"


def trial(trt: Any, folder: Path) -> dict[str, Any]:
    """Let our code do with the real module what can be done without a GPU."""
    said: list[str] = []
    logger = tensorrt_api.make_logger(trt, said.append)
    for severity in ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO"):
        logger.log(getattr(trt.ILogger.Severity, severity), severity.lower())
    steps: list[Any] = []
    config = types.SimpleNamespace()
    watcher = tensorrt_api.watch(trt, config, lambda *step: steps.append(step))
    going = []
    if watcher is not None:
        watcher.phase_start("build", "", 2)
        going = [watcher.step_complete("build", 0), watcher.step_complete("build", 1)]
        watcher.phase_finish("build")
    graph = folder / "any"
    graph.write_bytes(b"any")
    return {
        "version": tensorrt_api.version(trt),
        "flags": tensorrt_api.network_flags(trt),
        "said": said,
        "dtypes": {n: str(tensorrt_api.to_numpy(trt, getattr(trt.DataType, n))) for n in ("FLOAT", "HALF", "UINT8")},
        "odd_dtype": refusal(lambda: tensorrt_api.to_numpy(trt, trt.DataType.FP8)),
        "dims": list(map(int, trt.Dims((1, 4, np.int64(3))))),
        "steps": steps,
        "going": going,
        "monitored": watcher is not None and config.progress_monitor is watcher,
        "engine": refusal(lambda: Engine(trt, graph)),
        "build": refusal(lambda: build(graph, folder / "plan", "fp16", 1 << 20, folder / "timings")),
    }


if __name__ == "__main__":
    module = tensorrt_api.load()
    described = {"classes": classes(module), "enumerations": enumerations(module)}
    Path(sys.argv[1]).write_text(json.dumps({**described, "trial": trial(module, Path(sys.argv[1]).parent)}))
