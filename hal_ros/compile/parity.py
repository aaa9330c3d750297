"""Proof that the step graph computes what the torch model computes: outputs and state, over more than two windows."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from hal_ros.compile.to_onnx import StepGraph, tensor_names
from hal_ros.core.errors import BackendError
from hal_ros.model.hal import flatten_state

TOLERANCE = 1e-4
WINDOWS = 2.5


class Parity(NamedTuple):
    """The largest differences between torch and ONNX Runtime over a stream."""

    ticks: int
    output_error: float  # of log-probabilities and boundary
    state_error: float
    label_agreement: float  # share of ticks on which both heads name the same action, 0..1

    @property
    def holds(self) -> bool:
        """Tell whether the graph may be shipped."""
        return self.output_error <= TOLERANCE and self.state_error <= TOLERANCE and self.label_agreement == 1.0


def stream(graph: StepGraph, seed: int = 0) -> list[tuple[NDArray[np.float32], ...]]:
    """Return random inputs (each (1, …), in the order of INPUTS) with missing modalities and held ticks.

    They lie in the range of the model's own standardising numbers, so that no unit is driven where it never works.
    """
    eye, random = graph.eye, np.random.default_rng(seed)
    values = graph.model.config.values
    ticks = int(WINDOWS * graph.model.config.window_ticks)
    channel_mean, channel_spread = eye.mean.numpy(), eye.spread.numpy()
    joint_mean, joint_spread = eye.joints.mean.numpy(), eye.joints.spread.numpy()
    rows: list[tuple[NDArray[np.float32], ...]] = []
    for _ in range(ticks):
        if rows and random.random() < 0.05:
            rows.append(rows[-1])
            continue
        noise = random.standard_normal((1, eye.config.feature_dim // len(channel_mean), len(channel_mean)))
        feature = (channel_mean + noise * channel_spread).reshape(1, -1).astype(np.float32)
        joints = (joint_mean + random.standard_normal((1, values)) * joint_spread).astype(np.float32)
        image_valid = (random.random((1, 1)) < 0.9).astype(np.float32)
        joints_valid = (random.random((1, values)) < 0.9).astype(np.float32)
        rows.append((feature, image_valid, joints, joints_valid))
    return rows


@torch.no_grad()
def compare(graph: StepGraph, path: Path, seed: int = 0) -> Parity:
    """Step torch and ONNX Runtime side by side, each with its own state."""
    graph.eval()
    session = _session(path)
    input_names, output_names = tensor_names(graph.model.config)
    state = flatten_state(graph.model.initial_state())
    tensors = [tensor.numpy() for tensor in state]
    output_error = state_error = 0.0
    agreed, rows = 0, stream(graph, seed)
    for row in rows:
        results = graph(*(torch.from_numpy(value) for value in row), *state)
        expected, state = [x.numpy() for x in results[:3]], list(results[3:])
        results = session.run(output_names, dict(zip(input_names, (*row, *tensors), strict=True)))
        said, tensors = results[:3], results[3:]
        output_error = max(output_error, *(_distance(a, b) for a, b in zip(expected, said, strict=True)))
        pairs = zip(state, tensors, strict=True)
        state_error = max(state_error, *(_distance(a.numpy(), b) for a, b in pairs))
        agreed += all(a.argmax() == b.argmax() for a, b in zip(expected[:2], said[:2], strict=True))
    return Parity(len(rows), output_error, state_error, agreed / len(rows))


def prove(graph: StepGraph, path: Path) -> Parity:
    """Return the comparison; raises BackendError when the graph differs from the model."""
    parity = compare(graph, path)
    if not parity.holds:
        raise BackendError(
            f"{path}: differs from torch by {parity.output_error:.2g} in outputs, {parity.state_error:.2g} in state, "
            f"{parity.label_agreement:.1%} equal labels; expected <= {TOLERANCE} and 100 %"
        )
    return parity


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _distance(expected: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """A value that is no number is infinitely far away."""
    distance = float(np.abs(expected - found).max())
    return distance if np.isfinite(distance) else float("inf")
