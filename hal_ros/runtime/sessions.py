"""Sessions of ONNX Runtime, opened here alone: robot, training features, proofs and benchmarks run a graph alike."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import onnxruntime as ort

from hal_ros.core.errors import BackendError, ConfigError

CPU = "CPUExecutionProvider"
TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(int32)": "int32", "tensor(uint8)": "uint8"}
"""NumPy's names for the types of our graphs' tensors."""
ASSIGNMENT = "session.record_ep_graph_assignment_info"  # newer versions tell who runs which node; older ones ignore it
Optimised = Literal["tick", "window", "off"]
"""What a session makes of its graph: the best for one tick, as on the robot, or for many in one run, or nothing."""


def open_session(
    model: Path | bytes,
    threads: int = 1,
    providers: Sequence[str] = (),
    optimised: Optimised = "tick",
    **settings: Any,
) -> ort.InferenceSession:
    """Open a graph, a file or its bytes; `settings` are further attributes of ONNX Runtime's SessionOptions.

    Raises ConfigError for a provider that ONNX Runtime does not know, BackendError for one that it lacks here or does
    not get to work, and BackendError naming the file that it refuses.
    """
    chosen = _checked(providers)
    name, graph = ("graph", model) if isinstance(model, bytes) else (str(model), str(model))
    options = _options(threads, optimised, **settings)
    skipped: list[str] = []
    if chosen != [CPU]:
        options.add_session_config_entry(ASSIGNMENT, "1")
    elif optimised == "tick":
        skipped = ["MatMulAddFusion"]  # wraps each product of one tick into two reshapes: a tenth slower (docs/cpu.md)
    try:
        session = ort.InferenceSession(graph, options, providers=chosen, enable_fallback=0, disabled_optimizers=skipped)
    except Exception as error:  # ONNX Runtime's own exceptions share no public base
        raise BackendError(f"{name}: ONNX Runtime can't open it ({first_line(error)})") from error
    session.disable_fallback()  # else a provider that fails later is replaced by the CPU, with a print at most
    if absent := [provider for provider in chosen if provider not in session.get_providers()]:
        raise BackendError(
            f"{name}: ONNX Runtime could not start {', '.join(absent)}, mostly for want of a library, and would run on "
            f"{', '.join(session.get_providers())}"
        )
    return session


def first_line(error: Exception) -> str:
    """Return what an exception of ONNX Runtime says in its first line."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _options(threads: int, optimised: Optimised, **settings: Any) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; warnings about constant folding are of no use on a robot
    # Spinning threads steal the cores that the camera driver and the controller need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if optimised == "off":
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    for name, value in settings.items():
        setattr(options, name, value)
    return options


def _checked(providers: Sequence[str]) -> list[str]:
    """Return the providers to open with, the CPU's last, as ONNX Runtime itself would add it."""
    known, available = ort.get_all_providers(), ort.get_available_providers()
    for name in providers:
        if name not in known:
            lower = {one.lower(): one for one in known}  # cuda… is nearer to CUDA… than to CPU…
            near = difflib.get_close_matches(name.lower(), lower, 1)
            hint = f"did you mean {lower[near[0]]}?" if near else f"expected some of {', '.join(available)}"
            raise ConfigError(f"provider {name!r} is unknown to ONNX Runtime {ort.__version__}; {hint}")
        if name not in available:
            raise BackendError(
                f"provider {name} is not in this build of ONNX Runtime {ort.__version__}; it has {', '.join(available)}"
            )
    return [*(name for name in providers if name != CPU), CPU]
