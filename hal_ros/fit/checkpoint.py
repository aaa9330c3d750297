"""Checkpoints: tensors, and the rest as JSON beside them in one npz; nothing in them can run code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from hal_ros.core.errors import DatasetError

FILE = "checkpoint.npz"
FORMAT = 2


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
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {name: tensor.detach().numpy() for name, tensor in checkpoint.tensors.items()}
    about = json.dumps({"format": FORMAT, **checkpoint.about})
    unfinished = folder / f"{FILE}.unfinished"
    with unfinished.open("wb") as file:
        np.savez(file, about=np.array(about), **arrays)
    unfinished.replace(folder / FILE)


def load(folder: Path) -> Checkpoint:
    """Read what `save` wrote. Raises DatasetError when the file is missing, damaged or of another format."""
    path = folder / FILE
    try:
        with np.load(path, allow_pickle=False) as stored:
            about = json.loads(str(stored["about"]))
            tensors = {name: torch.from_numpy(stored[name]) for name in stored.files if name != "about"}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise DatasetError(f"{path}: can't be read as a checkpoint ({error})") from error
    if about.pop("format", None) != FORMAT:
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
