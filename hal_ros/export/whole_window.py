"""A whole window in one run, nothing carried: the graph that a cached step is compared with. No bundle holds it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hal_ros.core.arrays import FloatArray
from hal_ros.core.step import StepInput
from hal_ros.export.to_onnx import StepGraph, to_proto
from hal_ros.nn.hal import Inputs
from hal_ros.nn.joint_guided_attention import attend
from hal_ros.runtime.step_state import OUTPUTS

ATTENDED = "attended"


class WindowGraph(nn.Module):
    """Eyes and sequence model over T ticks from the initial state; what it says is the last tick's alone."""

    def __init__(self, graph: StepGraph, remembered: bool) -> None:
        """Take over the weights. With `remembered`, any eyes look at the last tick only; the others' are given."""
        super().__init__()
        self.steps, self.remembered = graph, remembered and bool(graph.eyes)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return OUTPUTS of the last tick, (1, …) each, from the graph's inputs, (1, T, …) instead of (1, …).

        `feature` is (1, T, C * D), or (1, 1, C * D) with what the eyes saw before, (1, T - 1, C * E), as the last one.
        """
        model, count = self.steps.model, len(self.steps.widths)
        (feature, image_valid, joints, joints_valid), before = self.steps.named(tensors[:count]), tensors[count:]
        looked_at = feature.shape[1]
        attended = attend(self.steps.eyes, feature, joints[:, -looked_at:], joints_valid[:, -looked_at:])
        inputs = Inputs(torch.cat([*before, attended], 1), image_valid, joints, joints_valid)
        outputs, _ = model(inputs, model.initial_state())
        return outputs.log_probs[:, -1], outputs.lagged_log_probs[:, -1], outputs.boundary[:, -1]


def export_window(graph: StepGraph, ticks: int, path: Path, remembered: bool = False) -> None:
    """Write the graph over so many ticks, at least two. The allow-list of TensorRT is not asked: it is for timing."""
    window = WindowGraph(graph, remembered).eval()
    names, looked_at = list(graph.widths), 1 if window.remembered else ticks
    example = [torch.zeros(1, looked_at if n == "feature" else ticks, width) for n, width in graph.widths.items()]
    if window.remembered:
        config = graph.model.config
        example.append(torch.zeros(1, ticks - 1, config.eyes * config.attended))
        names.append(ATTENDED)
    written = to_proto(window, tuple(example), names, list(OUTPUTS))
    path.write_bytes(written.SerializeToString(deterministic=True))


def window_feeds(graph: StepGraph, stream: Sequence[StepInput], remembered: bool = False) -> dict[str, FloatArray]:
    """Return the inputs of `export_window`'s graph for the ticks of a stream."""
    feeds = {name: np.stack([getattr(tick, name) for tick in stream])[None] for name in graph.widths}
    if not remembered or not graph.eyes:
        return feeds
    before = [torch.from_numpy(value[:, :-1]) for value in feeds.values()]
    feature, _, joints, joints_valid = graph.eval().named(before)
    with torch.no_grad():
        attended = attend(graph.eyes, feature, joints, joints_valid).numpy()
    return {**feeds, "feature": feeds["feature"][:, -1:], ATTENDED: attended}


def lookbacks(window: int, layers: int = 6) -> tuple[int, ...]:
    """Return look-backs that double from layer to layer and see `window` ticks together; the longest takes the rest.

    Raises ValueError for a window in which a layer would see the present tick alone.
    """
    shares = [(window - 1) * 2**layer // (2**layers - 1) for layer in range(layers)]
    if min(shares) < 1:
        raise ValueError(f"a window of {window} ticks is too short for {layers} layers; expected >= {2**layers} ticks")
    shares[-1] += window - 1 - sum(shares)
    return tuple(share + 1 for share in shares)
