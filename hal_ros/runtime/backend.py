"""Choosing a back end: what runs a bundle on this machine, and why."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from hal_ros.core.errors import BackendError, ConfigError
from hal_ros.core.types import Backend
from hal_ros.runtime.card import Bundle

CHOICES = ("auto", "onnxruntime", "tensorrt", "torch")


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
    return OnnxBackend(bundle, options.threads, options.providers), reason
