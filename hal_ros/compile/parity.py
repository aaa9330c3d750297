"""Proof that the step graph computes what the torch model computes: outputs and state, over more than two windows."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from hal_ros.compile.to_onnx import tensor_names
from hal_ros.core.errors import BackendError
from hal_ros.model.hal import CausalHal, Inputs, flatten_state

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


def stream(model: CausalHal, seed: int = 0) -> list[tuple[NDArray[np.float32], ...]]:
    """Return random inputs (each (1, …), in the order of INPUTS) with missing modalities and held ticks.

    They lie in the range of the model's own standardising numbers, so that no unit is driven where it never works.
    """
    config, random = model.config, np.random.default_rng(seed)
    ticks = int(WINDOWS * config.window_ticks)
    channel_mean, channel_spread = model.eye.mean.numpy(), model.eye.spread.numpy()
    joint_mean, joint_spread = model.joints.mean.numpy(), model.joints.spread.numpy()
    rows: list[tuple[NDArray[np.float32], ...]] = []
    for _ in range(ticks):
        if rows and random.random() < 0.05:
            rows.append(rows[-1])
            continue
        noise = random.standard_normal((1, config.feature_dim // len(channel_mean), len(channel_mean)))
        feature = (channel_mean + noise * channel_spread).reshape(1, -1).astype(np.float32)
        joints = (joint_mean + random.standard_normal((1, 3 * config.joints)) * joint_spread).astype(np.float32)
        image_valid = (random.random((1, 1)) < 0.9).astype(np.float32)
        joints_valid = (random.random((1, 3 * config.joints)) < 0.9).astype(np.float32)
        rows.append((feature, image_valid, joints, joints_valid))
    return rows


@torch.no_grad()
def compare(model: CausalHal, path: Path, seed: int = 0) -> Parity:
    """Step torch and ONNX Runtime side by side, each with its own state."""
    model.eval()
    session = _session(path)
    input_names, output_names = tensor_names(model)
    state = model.initial_state()
    tensors = [tensor.numpy() for tensor in flatten_state(state)]
    output_error = state_error = 0.0
    agreed, rows = 0, stream(model, seed)
    for row in rows:
        outputs, state = model.step(Inputs(*(torch.from_numpy(value) for value in row)), state)
        results = session.run(output_names, dict(zip(input_names, (*row, *tensors), strict=True)))
        said, tensors = results[:3], results[3:]
        expected = [x.numpy() for x in (outputs.log_probs, outputs.lagged_log_probs, outputs.boundary)]
        output_error = max(output_error, *(_distance(a, b) for a, b in zip(expected, said, strict=True)))
        pairs = zip(flatten_state(state), tensors, strict=True)
        state_error = max(state_error, *(_distance(a.numpy(), b) for a, b in pairs))
        agreed += all(a.argmax() == b.argmax() for a, b in zip(expected[:2], said[:2], strict=True))
    return Parity(len(rows), output_error, state_error, agreed / len(rows))


def prove(model: CausalHal, path: Path) -> Parity:
    """Return the comparison; raises BackendError when the graph differs from the model."""
    parity = compare(model, path)
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
