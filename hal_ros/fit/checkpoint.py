"""Checkpoints: tensors, and the rest as JSON beside them in one npz; nothing in them can run code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hal_ros.core.errors import DatasetError
from hal_ros.fit.device import to_numpy
from hal_ros.outside import outputs
from hal_ros.outside.arrays import read_arrays
from hal_ros.outside.reading import MIB, Expected, parse_json, reading

FILE = "checkpoint.npz"
FORMAT = 2
CHECKPOINT = Expected(DatasetError, "a checkpoint", 8192 * MIB)


@dataclass(frozen=True)
class Checkpoint:
    """A run between two epochs: tensors under names such as `model/…`, `optimiser/…`, and plain values."""

    tensors: dict[str, Tensor]
    about: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors under `prefix/`, without it."""
        start = f"{prefix}/"
        return {name[len(start) :]: tensor for name, tensor in self.tensors.items() if name.startswith(start)}


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the file atomically: a reader finds the old one or the new one."""
    arrays: dict[str, Any] = {name: to_numpy(tensor) for name, tensor in checkpoint.tensors.items()}
    about = json.dumps({"format": FORMAT, **checkpoint.about})
    outputs.write_whole(folder / FILE, lambda file: np.savez(file, about=np.array(about), **arrays))


def load(folder: Path) -> Checkpoint:
    """Read what `save` wrote. Raises DatasetError when the file is missing, damaged or of another format."""
    path = folder / FILE
    stored = read_arrays(path, CHECKPOINT)
    with reading(path, CHECKPOINT):
        about = parse_json(str(stored.pop("about")))
        tensors = {name: torch.from_numpy(array) for name, array in stored.items()}
    if not isinstance(about, dict) or about.pop("format", None) != FORMAT:
        raise DatasetError(f"{path}: is not a checkpoint of format {FORMAT}")
    return Checkpoint(tensors, about)


def exists(folder: Path) -> bool:
    """Tell whether a run has been saved here."""
    return (folder / FILE).exists()


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's moments as `<parameter index>/<name>`."""
    state = optimiser.state_dict()["state"]
    return {f"{index}/{name}": tensor for index, entry in state.items() for name, tensor in entry.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Undo `optimiser_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split("/")
        state.setdefault(int(index), {})[name] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
