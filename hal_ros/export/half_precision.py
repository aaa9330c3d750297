"""Half precision, chosen where it pays: the trunk's matrix products and caches. Everything else stays single.

Nearly all of the trunk's weights and memory traffic are the products of its layers, and what goes into them comes out
of a LayerNorm, so that no glitch of a sensor can overflow there. Sums over time (the context, recurrent vectors), what
is standardised, what picks places in a picture, norms, softmaxes and the two answers are small and keep their digits.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from hal_ros.export.to_onnx import StepGraph
from hal_ros.nn.band_attention import BandLayer
from hal_ros.nn.recurrence import RecurrentLayer


class HalfLinear(nn.Module):
    """A Linear that multiplies in half precision; its result is single again, unless half precision reads it."""

    def __init__(self, linear: nn.Linear, stays_half: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach().half(), requires_grad=False)
        self.bias = nn.Parameter(linear.bias.detach().half(), requires_grad=False)
        self.stays_half = stays_half

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., out) from x (..., in)."""
        product = nn.functional.linear(x.half(), self.weight, self.bias)
        return product if self.stays_half else product.float()


def halved(graph: StepGraph) -> StepGraph:
    """Return a copy of the graph with trunk and caches in half precision; the given one keeps its own."""
    graph = copy.deepcopy(graph)
    for layer in graph.model.layers:
        assert isinstance(layer, BandLayer)
        for name in ("query", "key", "value"):
            setattr(layer, name, HalfLinear(getattr(layer, name), stays_half=True))
        for name in ("out", "wide", "narrow"):
            setattr(layer, name, HalfLinear(getattr(layer, name)))
    for layer in graph.model.recurrent:
        assert isinstance(layer, RecurrentLayer)
        for name in ("beside", "out", "wide", "narrow"):
            setattr(layer, name, HalfLinear(getattr(layer, name)))
        if isinstance(inputs := getattr(layer.cell, "inputs", None), nn.Linear):
            layer.cell.inputs = HalfLinear(inputs)
    graph.model.candidate = HalfLinear(graph.model.candidate)  # type: ignore[assignment]  # it takes the Linear's place
    graph.cache_type = torch.float16
    return graph.eval()
