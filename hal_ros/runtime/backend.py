"""Choosing a back end: what runs a bundle on this machine, and why."""

from __future__ import annotations

import difflib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hal_ros.core.errors import BackendError, ConfigError, HalError
from hal_ros.core.step import Backend
from hal_ros.core.work import Report
from hal_ros.runtime.bundle import PRECISIONS, Bundle
from hal_ros.runtime.golden import check_golden

CHOICES = ("auto", "onnxruntime", "tensorrt", "torch")


def _nobody(_: str) -> None:
    """Tell nobody. It has a name, so that other processes can be given it."""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class BackendOptions:
    """How to open a back end; each one reads what concerns it.

    `providers` are ONNX Runtime's execution providers in order of preference, none for the CPU. `precision`, "fp16" or
    "fp32", is the TensorRT engine's; the others compute in fp32. With `build_on_start` a missing engine is built
    first, which takes minutes: `progress` is told a line at a time, and `cancelled` is asked whether to give up.
    `warn` is told when auto passes over a GPU that could have been used.
    """

    threads: int = 1
    providers: tuple[str, ...] = ()
    precision: str = "fp16"
    build_on_start: bool = False
    progress: Report = _nobody
    warn: Report = _nobody
    cancelled: Callable[[], bool] = _never


DEFAULTS = BackendOptions()


def open_backend(bundle: Bundle, choice: str = "auto", options: BackendOptions = DEFAULTS) -> tuple[Backend, str]:
    """Open the chosen back end; returns it and, in words, why it is this one.

    auto takes TensorRT where it is installed, sees a GPU and has engines of this bundle (or may build them) that give
    the golden outputs; otherwise ONNX Runtime. Raises ConfigError for an unknown choice or option, BackendError or
    CardError when the chosen one can't be opened: an explicit choice never falls back to another.
    """
    _check_option("backend", choice, CHOICES)
    _check_option("precision", options.precision, PRECISIONS)
    if options.providers and choice not in ("auto", "onnxruntime"):
        raise ConfigError(
            f"providers are {', '.join(options.providers)}, but backend is {choice}; expected onnxruntime"
        )
    if choice == "auto":
        return _auto(bundle, options)
    if choice == "tensorrt":
        backend, engines = _tensorrt(bundle, options)
        return backend, f"chosen by the user; {engines}"
    return _torch(bundle, options) if choice == "torch" else _onnxruntime(bundle, options), "chosen by the user"


def provider_names(text: str) -> tuple[str, ...]:
    """Return the providers that a person named, separated by commas."""
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def about(backend: Backend) -> dict[str, str]:
    """Return what a back end says of itself for reports: versions, device, providers; nothing where it says nothing."""
    facts: Mapping[str, object] = getattr(backend, "about", dict)()
    return {str(name): str(value) for name, value in facts.items()}


def _check_option(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        near = difflib.get_close_matches(value, choices, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"{name} {value!r} is unknown; expected one of {', '.join(choices)}{hint}")


def _auto(bundle: Bundle, options: BackendOptions) -> tuple[Backend, str]:
    if options.providers:
        return _onnxruntime(bundle, options), "auto: providers are given, and they are ONNX Runtime's"
    if "tensorrt" not in sys.modules and importlib.util.find_spec("tensorrt") is None:
        return _onnxruntime(bundle, options), "auto: TensorRT is not installed"
    try:
        backend, engines = _proven_tensorrt(bundle, options)
        return backend, f"auto: TensorRT has {engines}"
    except HalError as error:
        fault = str(error)  # the error itself holds on to engines that failed
    # Somebody installed TensorRT: that a robot runs slower than it could must not go unnoticed.
    options.warn(f"TensorRT is installed but not used: {fault}")
    return _onnxruntime(bundle, options), f"auto: TensorRT can't be used here ({fault})"


def _proven_tensorrt(bundle: Bundle, options: BackendOptions) -> tuple[Backend, str]:
    backend, engines = _tensorrt(bundle, options)
    check_golden(bundle, backend)
    return backend, engines


# Each runtime is imported only where it was chosen.


def _onnxruntime(bundle: Bundle, options: BackendOptions) -> Backend:
    from hal_ros.runtime.onnx_backend import OnnxBackend

    return OnnxBackend(bundle, options.threads, options.providers)


def _torch(bundle: Bundle, options: BackendOptions) -> Backend:
    try:
        from hal_ros.runtime.torch_backend import TorchBackend
    except ImportError as error:
        raise BackendError(f"backend torch needs torch ({error}); expected `pip install torch`") from error
    return TorchBackend(bundle, options.threads)


def _tensorrt(bundle: Bundle, options: BackendOptions) -> tuple[Backend, str]:
    """Return the back end and which engines it runs. Raises BackendError with the command that builds missing ones."""
    from hal_ros.tensorrt import api as tensorrt_api
    from hal_ros.tensorrt.backend import TensorRtBackend
    from hal_ros.tensorrt.building import build_engines, command_line
    from hal_ros.tensorrt.cudart import load_cudart
    from hal_ros.tensorrt.engine_cache import find_engines

    trt, cuda = tensorrt_api.load(), load_cudart()
    wanted = (bundle, options.precision, cuda.device(), tensorrt_api.version(trt))
    try:
        engines, which = find_engines(*wanted)
    except BackendError as error:  # damaged: building again mends it
        if not options.build_on_start:
            raise
        engines, which = None, str(error)
    if engines is None and options.build_on_start:
        options.progress(f"{which}; building, which takes minutes")
        build_engines(bundle, options.precision, options.progress, options.cancelled)
        engines, which = find_engines(*wanted)
    if engines is None:
        raise BackendError(f"{which}; build them with: {command_line(bundle, options.precision)}")
    return TensorRtBackend(bundle, engines, cuda, trt), which
