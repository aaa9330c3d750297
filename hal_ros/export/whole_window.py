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
from hal_ros.runtime.step_state import INPUTS, OUTPUTS

ATTENDED = "attended"


class WindowGraph(nn.Module):
    """Eye and sequence model over T ticks from the initial state; what it says is the last tick's alone."""

    def __init__(self, graph: StepGraph, remembered: bool) -> None:
        """Take over the weights. With `remembered`, the eye looks at the last tick only; the others' are given."""
        super().__init__()
        self.eye, self.model, self.remembered = graph.eye, graph.model, remembered

    def forward(
        self, feature: Tensor, image_valid: Tensor, joints: Tensor, joints_valid: Tensor, *remembered: Tensor
    ) -> tuple[Tensor, ...]:
        """Return OUTPUTS of the last tick, (1, …) each, from image_valid (1, T, 1), joints and joints_valid (1, T, P).

        `feature` is (1, T, D), or (1, 1, D) with what the eye saw before, (1, T - 1, E), as `remembered`.
        """
        looked_at = feature.shape[1]
        attended = self.eye(feature, joints[:, -looked_at:], joints_valid[:, -looked_at:])
        inputs = Inputs(torch.cat([*remembered, attended], 1), image_valid, joints, joints_valid)
        outputs, _ = self.model(inputs, self.model.initial_state())
        return outputs.log_probs[:, -1], outputs.lagged_log_probs[:, -1], outputs.boundary[:, -1]


def export_window(graph: StepGraph, ticks: int, path: Path, remembered: bool = False) -> None:
    """Write the graph over so many ticks, at least two. The allow-list of TensorRT is not asked: it is for timing."""
    values = graph.model.config.joint_values
    looked_at = 1 if remembered else ticks
    example = [
        torch.zeros(1, looked_at, graph.eye.config.feature_dim),
        torch.zeros(1, ticks, 1),
        torch.zeros(1, ticks, values),
        torch.zeros(1, ticks, values),
    ]
    names = list(INPUTS)
    if remembered:
        example.append(torch.zeros(1, ticks - 1, graph.eye.config.width))
        names.append(ATTENDED)
    written = to_proto(WindowGraph(graph, remembered).eval(), tuple(example), names, list(OUTPUTS))
    path.write_bytes(written.SerializeToString(deterministic=True))


def window_feeds(graph: StepGraph, stream: Sequence[StepInput], remembered: bool = False) -> dict[str, FloatArray]:
    """Return the inputs of `export_window`'s graph for the ticks of a stream."""
    columns = zip(*stream, strict=True)
    shaped = [np.stack([np.atleast_1d(np.asarray(value, np.float32)) for value in column]) for column in columns]
    feeds = {name: values[None] for name, values in zip(INPUTS, shaped, strict=True)}
    if not remembered:
        return feeds
    before = [torch.from_numpy(feeds[name][:, :-1]) for name in ("feature", "joints", "joints_valid")]
    with torch.no_grad():
        attended = graph.eye.eval()(*before).numpy()
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
