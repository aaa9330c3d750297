"""Every difference between TensorRT 8.6, 10.x and 11.x that concerns us, in one place; the rest of the code sees none.

The differences are told by what a version has and never by its number: NVIDIA's own statements of what runs on which
board have changed too often.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from hal_ros.core.errors import BackendError
from hal_ros.core.work import Report

OLDEST = (8, 6)
INSTALL = (
    "on a Jetson `sudo apt install python3-libnvinfer` (and a virtual environment that sees system packages), "
    "else `pip install tensorrt-cu12` or tensorrt-cu13, as the driver's CUDA is"
)
DTYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT32": np.int32,
    "INT64": np.int64,  # since 10
    "INT8": np.int8,
    "UINT8": np.uint8,
    "BOOL": np.bool_,
}
KEPT_WIDE = ("NORMALIZATION", "SOFTMAX", "REDUCE", "UNARY")
"""Layers that lose too much in half precision: sums of squares overflow, and softmax and its logarithm are these."""
OPTIMIZATION_LEVEL = 3
NAMED_SEVERITIES = ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO")

Monitor = Callable[[str, int, int], None]
"""Told (phase, steps done, steps in all) while an engine is built."""


def load() -> Any:
    """Import tensorrt; raises BackendError with how to install it, or when it is older than 8.6."""
    try:
        import tensorrt
    except (
        ImportError,
        OSError,
        RuntimeError,
    ) as error:  # also: a wheel whose libraries are missing or of another CUDA
        raise BackendError(f"TensorRT can't be imported ({error}); {INSTALL}") from error
    if not hasattr(tensorrt, "__version__"):
        raise BackendError(f"the module {tensorrt} has no version, so it is not NVIDIA's; {INSTALL}")
    if _numbers(tensorrt)[:2] < OLDEST:
        raise BackendError(f"TensorRT {tensorrt.__version__} is too old; expected 8.6 or newer (JetPack 6 or newer)")
    return tensorrt


def version(trt: Any) -> str:
    """Return all four parts of the version: a plan is valid for exactly one build, and the module often names three."""
    numbers = _numbers(trt)[:4]
    if len(numbers) < 4:
        numbers = (*numbers, *(0,) * (3 - len(numbers)), _build_number(numbers[0]))
    return ".".join(map(str, numbers))


def _numbers(trt: Any) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", trt.__version__)  # may end in .post1
    if not found:
        raise BackendError(f"TensorRT's version is {trt.__version__!r}; expected numbers")
    return tuple(map(int, found[0].split(".")))


def _build_number(major: int) -> int:
    """Ask the library itself, which the module has loaded; 0 where it does not say (before 10)."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(f"libnvinfer.so.{major}", os.RTLD_NOLOAD | os.RTLD_LOCAL)
        return int(library.getInferLibBuildVersion())
    return 0


def to_numpy(trt: Any, dtype: Any) -> np.dtype[Any]:
    """Return NumPy's type for a tensor's; raises BackendError for one that NumPy or our graphs do not have."""
    for name, same in DTYPES.items():
        if getattr(trt.DataType, name, None) == dtype:
            return np.dtype(same)
    raise BackendError(f"TensorRT's type {dtype} can't be used; expected one of {', '.join(DTYPES)}")


# --- what TensorRT says -----------------------------------------------------------------------------------------------


def make_logger(trt: Any, report: Report) -> Any:
    """Return a logger that hands warnings and errors on, as `severity: text`.

    It may be called from TensorRT's own threads, and must outlive whatever was made with it.
    """
    bound = int(trt.ILogger.Severity.WARNING)
    names = {int(getattr(trt.ILogger.Severity, name)): name.lower().replace("_", " ") for name in NAMED_SEVERITIES}

    class Logger(trt.ILogger):  # type: ignore[misc]  # the base is known only once TensorRT is imported
        """Hands TensorRT's messages on; an exception must not reach C++."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 refuses a subclass that does not call it

        def log(self, severity: Any, msg: str) -> None:
            if int(severity) <= bound:
                report(f"{names.get(int(severity), 'message')}: {msg}")

    return Logger()


def parser_errors(parser: Any) -> list[str]:
    """Return what the ONNX parser refused, each with its node; the node's name and operator are told since 10."""
    return [_parser_error(parser.get_error(index)) for index in range(parser.num_errors)]


def _parser_error(refusal: Any) -> str:
    node = str(refusal.node())
    if hasattr(refusal, "node_name"):
        node = f"{refusal.node_name()!r} ({refusal.node_operator()})"
    return f"node {node}: {refusal.desc()}"


# --- how engines are built --------------------------------------------------------------------------------------------


def strongly_typed(trt: Any) -> bool:
    """Tell whether each tensor can have the type that the graph gives it; 8.6 chooses types by speed."""
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def network_flags(trt: Any) -> int:
    """Return the flags for Builder.create_network: typed by the graph where that exists, else the explicit batch."""
    flags = trt.NetworkDefinitionCreationFlag
    # EXPLICIT_BATCH is needed by 8.6, ignored by 10 and gone in 11.
    return 1 << int(flags.STRONGLY_TYPED if strongly_typed(trt) else flags.EXPLICIT_BATCH)


def configure(trt: Any, config: Any, precision: str, workspace_bytes: int) -> None:
    """Set an IBuilderConfig up for a graph of `precision`, "fp32" or "fp16", with a bound for the builder's memory."""
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_bytes)
    config.builder_optimization_level = OPTIMIZATION_LEVEL
    config.clear_flag(trt.BuilderFlag.TF32)  # on by default; it halves the digits of what is called fp32
    if precision == "fp16" and not strongly_typed(trt):
        config.set_flag(trt.BuilderFlag.FP16)
        config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)


def keep_wide(trt: Any, network: Any, precision: str) -> int:
    """Hold the sensitive layers of an fp16 network in fp32 where the graph's own types are not binding.

    Returns how many layers were constrained: none where networks are strongly typed.
    """
    if precision != "fp16" or strongly_typed(trt):
        return 0
    kinds = [getattr(trt.LayerType, name) for name in KEPT_WIDE]
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    floats = (trt.DataType.FLOAT, trt.DataType.HALF)
    wide = [layer for layer in layers if layer.type in kinds and layer.get_output(0).dtype in floats]
    for layer in wide:
        layer.precision = trt.DataType.FLOAT
        for index in range(layer.num_outputs):
            layer.set_output_type(index, trt.DataType.FLOAT)
    return len(wide)


def watch(trt: Any, config: Any, monitor: Monitor) -> Any | None:
    """Let `monitor` follow a build; returns what must be kept until it ends, None without IProgressMonitor (8.6)."""
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class ProgressMonitor(trt.IProgressMonitor):  # type: ignore[misc]  # the base is known only after the import
        """Counts the steps of each phase; called from the builder's threads."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:  # noqa: ARG002
            self.steps[phase_name] = num_steps
            monitor(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            monitor(phase_name, step + 1, self.steps.get(phase_name, step + 1))
            return True  # false would ask TensorRT to give up

        def phase_finish(self, phase_name: str) -> None:
            self.steps.pop(phase_name, None)

    watcher = ProgressMonitor()
    config.progress_monitor = watcher
    return watcher
