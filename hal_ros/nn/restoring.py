"""A module made anew from its settings and its tensors, both of a file that anybody may have written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

LARGEST_SIZE = 100_000
"""Of any whole number in a network's settings."""


def restored(kind: Callable[[Any], Any], config: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return `kind(config)` with these tensors, ready to be asked.

    ValueError where settings and tensors are not of one network; no memory is taken for one larger than its tensors.
    """
    for name, value in vars(config).items():
        numbers = value if isinstance(value, tuple) else (value,)
        if any(isinstance(number, int) and abs(number) > LARGEST_SIZE for number in numbers):
            raise ValueError(f"{name} is {str(value)[:60]}, expected at most {LARGEST_SIZE}")
        if len(numbers) > max(1, len(tensors), sys.getrecursionlimit() // 10):
            raise ValueError(f"{name} has {len(numbers)} entries, more than there are tensors")
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in kind(config).state_dict().items()}
    for name in sorted({*shapes, *tensors}):
        if name not in tensors or name not in shapes or shapes[name] != tensors[name].shape:
            raise ValueError(f"{name} is missing, unknown or of another shape than the settings say")
    module = kind(config)
    module.load_state_dict(tensors)
    assert isinstance(module, nn.Module)
    return module.eval()
