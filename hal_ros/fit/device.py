"""Where networks learn and answer in bulk: on a GPU that torch sees, or else on the processor. It is chosen here alone.

Networks are made on the processor, are moved for the time of the work, and come back: what is saved, exported or proven
lies where every machine has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from hal_ros.core.arrays import FloatArray

CPU = torch.device("cpu")
Value = TypeVar("Value")


def training_device() -> torch.device:
    """Return the GPU where torch sees one, or the processor; the variable CUDA_VISIBLE_DEVICES hides GPUs."""
    return torch.device("cuda") if torch.cuda.is_available() else CPU


@contextmanager
def on_device(device: torch.device, *modules: nn.Module) -> Iterator[None]:
    """Move modules to a device, and make new tensors there, for a while; then each is where it was."""
    before = [device_of(module) for module in modules]
    if all(place == device for place in before):
        yield
        return
    for module in modules:
        module.to(device)
    try:
        with device:
            yield
    finally:
        for module, place in zip(modules, before, strict=True):
            module.to(place)


def device_of(module: nn.Module) -> torch.device:
    """Return where a network lies: at its first weight, or buffer; one without any lies on the processor."""
    first = next(iter(module.state_dict(keep_vars=True).values()), None)
    return CPU if first is None else first.device


def moved(value: Value, device: torch.device) -> Value:
    """Return a batch with its tensors on a device: a tensor, or a dataclass, (named) tuple or list of such."""
    found: Any = value
    if isinstance(value, Tensor):
        found = value.to(device)
    elif is_dataclass(value) and not isinstance(value, type):
        found = type(value)(**{field.name: moved(getattr(value, field.name), device) for field in fields(value)})
    elif isinstance(value, tuple | list):
        parts = [moved(part, device) for part in value]
        found = type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return found


def to_numpy(tensor: Tensor) -> FloatArray:
    """Return a tensor as an array, wherever it lies."""
    return tensor.detach().cpu().numpy()
