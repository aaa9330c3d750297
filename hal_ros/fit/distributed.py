"""Training on several processes, started by `torchrun`: each takes its share of every batch, and gradients are summed.

A batch's loss is the sum of its videos' losses over their number, wherever they are computed; so the summed gradients
are those of one process on the whole batch. Without `torchrun` there is one process and nothing to exchange.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

Item = TypeVar("Item")


class World(NamedTuple):
    """Which of `size` processes this one is."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process reports and writes."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Return this process's items: every size-th one."""
        return list(items[self.rank :: self.size])


@contextmanager
def world() -> Iterator[World]:
    """Join the processes that torchrun started, over gloo; leave them in the end, if they were joined here."""
    joined = torch.distributed.is_available() and torch.distributed.is_initialized()
    wanted = int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ
    if not joined and not wanted:
        yield World()
        return
    if not joined:
        torch.distributed.init_process_group("gloo")
    try:
        yield World(torch.distributed.get_rank(), torch.distributed.get_world_size())
    finally:
        if not joined:
            torch.distributed.destroy_process_group()


def sum_gradients(parameters: Iterable[nn.Parameter], place: World) -> None:
    """Replace every gradient by its sum over the processes, in one exchange.

    What no loss term reaches has no gradient in any process, and gets none here: the optimiser leaves it alone.
    """
    if place.size == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    torch.distributed.all_reduce(flat)
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def sum_values(values: Tensor, place: World) -> Tensor:
    """Return the sum over the processes of a tensor of plain numbers."""
    if place.size > 1:
        values = values.clone()
        torch.distributed.all_reduce(values)
    return values


def gather(share: Sequence[Any], count: int, place: World) -> list[Any]:
    """Undo `World.share` for results: every process gets all `count` of them, in order."""
    if place.size == 1:
        return list(share)
    shares: list[Any] = [None] * place.size
    torch.distributed.all_gather_object(shares, list(share))
    return [shares[index % place.size][index // place.size] for index in range(count)]
