"""TensorBoard's scalars beside the checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hal_ros.core.work import Report

SCALARS = "scalars"
"""Folder of TensorBoard's files beside the checkpoint."""
ABSENT = "tensorboard is not installed, so no scalars are written; `pip install hal_ros[train]` brings it"


class Scalars:
    """Writes numbers by name and epoch, or nothing where there is no writer."""

    def __init__(self, writer: Any = None) -> None:
        self._writer = writer

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        """Add one value a name."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, epoch)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()


@contextmanager
def open_scalars(folder: Path | None, report: Report = print) -> Iterator[Scalars]:
    """Write below `folder`; nothing without one. Where TensorBoard is missing, `report` is told so once."""
    scalars = Scalars()
    if folder is not None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            report(ABSENT)
        else:
            scalars = Scalars(SummaryWriter(str(folder / SCALARS)))
    try:
        yield scalars
    finally:
        scalars.close()
