"""Checkpoints: tensors in one npz, the rest in one JSON; nothing in them can run code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hal_ros.core.errors import DatasetError

TENSORS, ABOUT = "checkpoint.npz", "checkpoint.json"
FORMAT = 1


class Checkpoint(NamedTuple):
    """A run between two epochs: tensors under names such as `model/…`, `optimiser/…`, and plain values."""

    tensors: dict[str, Tensor]
    about: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors under `prefix/`, without it."""
        start = f"{prefix}/"
        return {name[len(start) :]: tensor for name, tensor in self.tensors.items() if name.startswith(start)}


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write both files; the JSON names the tensor file's content last, so that a cut-off write is noticed."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{TENSORS}.unfinished"
    with unfinished.open("wb") as file:
        arrays: dict[str, Any] = {name: tensor.detach().numpy() for name, tensor in checkpoint.tensors.items()}
        np.savez(file, **arrays)
    about = folder / f"{ABOUT}.unfinished"
    about.write_text(json.dumps({"format": FORMAT, **checkpoint.about}, indent=1) + "\n")
    unfinished.replace(folder / TENSORS)
    about.replace(folder / ABOUT)


def load(folder: Path) -> Checkpoint:
    """Read what `save` wrote. Raises DatasetError when a file is missing, damaged or of another format."""
    try:
        about = json.loads((folder / ABOUT).read_text())
        with np.load(folder / TENSORS, allow_pickle=False) as stored:
            tensors = {name: torch.from_numpy(stored[name]) for name in stored.files}
    except (OSError, ValueError) as error:
        raise DatasetError(f"checkpoint {folder}: {error}; expected {TENSORS} and {ABOUT}") from error
    if about.pop("format", None) != FORMAT:
        raise DatasetError(f"checkpoint {folder}: is not of format {FORMAT}")
    return Checkpoint(tensors, about)


def exists(folder: Path) -> bool:
    """Tell whether a run has been saved here."""
    return (folder / ABOUT).exists() and (folder / TENSORS).exists()


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
