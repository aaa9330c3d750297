"""Weights averaged over the last steps: less noise than any single step's, and no second training (Polyak, 1992)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

WARM_UP_STEPS = 10.0


class WeightAverage:
    """An exponential moving average of a model's floating-point weights and buffers; `decay` 0 keeps none."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Begin at the model's weights as they are."""
        self.model, self.decay, self.steps = model, decay, 0
        self.weights: dict[str, Tensor] = {}
        if decay:
            self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after one more step; the first steps count for more, as the start counts for nothing."""
        if not self.decay:
            return
        self.steps += 1
        share = 1.0 - min(self.decay, self.steps / (WARM_UP_STEPS + self.steps))
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point():
                self.weights[name].lerp_(tensor, share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average into the model for a while."""
        if not self.decay:
            yield
            return
        own = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        self.model.load_state_dict(self.weights)
        try:
            yield
        finally:
            self.model.load_state_dict(own)

    def restore(self, weights: Mapping[str, Tensor], steps: int) -> None:
        """Go on from what a checkpoint holds."""
        if self.decay:
            places = {name: tensor.device for name, tensor in self.weights.items()}
            self.weights = {name: tensor.to(places[name], copy=True) for name, tensor in weights.items()}
            self.steps = steps
