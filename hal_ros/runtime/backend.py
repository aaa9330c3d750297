"""Choosing a back end, and proving on this machine that it computes what the bundle's author computed."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hal_ros.core.errors import BackendError, CardError, ConfigError
from hal_ros.core.types import Backend, FloatArray, StepInput
from hal_ros.runtime.card import GOLDEN, Bundle

CHOICES = ("auto", "onnxruntime", "tensorrt", "torch")
GOLDEN_TOLERANCE = 1e-3
"""Largest difference of a probability from the stored one; another CPU's instruction set moves it by about 1e-6."""


@dataclass(frozen=True)
class BackendOptions:
    """How to open a back end; each one reads what concerns it.

    `providers` are ONNX Runtime's execution providers in order of preference, none for the CPU. `precision`, "fp16" or
    "fp32", is the TensorRT engine's; the others compute in fp32. With `build_on_start` a missing engine is built
    first, which takes minutes and says so through `progress`, a line at a time.
    """

    threads: int = 1
    providers: tuple[str, ...] = ()
    precision: str = "fp16"
    build_on_start: bool = False
    progress: Callable[[str], None] = lambda _: None


DEFAULTS = BackendOptions()


def open_backend(bundle: Bundle, choice: str = "auto", options: BackendOptions = DEFAULTS) -> tuple[Backend, str]:
    """Open the chosen back end; returns it and, in words, why it is this one.

    Raises ConfigError for an unknown choice, and BackendError when the chosen one can't be opened: an explicit choice
    never falls back to another.
    """
    if choice not in CHOICES:
        near = difflib.get_close_matches(choice, CHOICES, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"backend {choice!r} is unknown; expected one of {', '.join(CHOICES)}{hint}")
    if choice not in ("auto", "onnxruntime"):
        raise BackendError(f"backend {choice!r} can't be opened in this version; expected auto or onnxruntime")
    from hal_ros.runtime.onnx_backend import OnnxBackend  # late: only the chosen runtime is loaded

    reason = "chosen by the user" if choice == "onnxruntime" else "auto: ONNX Runtime is the only back end here"
    return OnnxBackend(bundle, options.threads), reason


def check_golden(bundle: Bundle, backend: Backend) -> None:
    """Run golden.npz through the back end and compare with the outputs stored in it.

    golden.npz holds images (N, S, S, 3) uint8 and the inputs and outputs of N ticks: image_valid (N,),
    joints (N, 3J), joints_valid (N, 3J); log_probs (N, K), lagged_log_probs (N, K), boundary (N,).
    Raises BackendError when a probability differs by more than GOLDEN_TOLERANCE, CardError when the file can't be read.
    """
    path = bundle.path(GOLDEN)
    try:
        with np.load(path) as stored:
            golden = dict(stored)
        expected = [golden[name] for name in ("log_probs", "lagged_log_probs", "boundary")]
        rows = list(zip(*(golden[n] for n in ("images", "image_valid", "joints", "joints_valid")), strict=True))
    except (OSError, ValueError, KeyError) as error:
        raise CardError(f"{path}: can't be read as golden arrays ({error})") from error
    state = backend.initial_state()
    for tick, (image, image_valid, joints, joints_valid) in enumerate(rows):
        inputs = StepInput(backend.encode(image), float(image_valid), joints, joints_valid)
        output, state = backend.step(inputs, state)
        distance = max(
            _distance(np.exp(output.log_probs), np.exp(expected[0][tick])),
            _distance(np.exp(output.lagged_log_probs), np.exp(expected[1][tick])),
            _distance(np.float32(output.boundary), expected[2][tick]),
        )
        if not distance <= GOLDEN_TOLERANCE:  # also when it is not a number
            raise BackendError(
                f"{backend.name}: differs from {path} by {distance:.2g} at tick {tick}; expected <= {GOLDEN_TOLERANCE}"
            )


def _distance(a: FloatArray | np.float32, b: FloatArray) -> float:
    return float(np.abs(a - b).max())
