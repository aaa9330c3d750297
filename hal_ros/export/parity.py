"""Proof that the graphs compute what the models compute: outputs and state, tensor by tensor, over 2.5 windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hal_ros.core.arrays import ByteArray
from hal_ros.core.errors import BackendError
from hal_ros.export.to_onnx import StepGraph, tensor_names
from hal_ros.nn.hal import CausalHal
from hal_ros.nn.joint_guided_attention import Eye
from hal_ros.nn.state import flatten_state
from hal_ros.outside.progress import tracked
from hal_ros.runtime.encode import PictureEncoder
from hal_ros.runtime.golden import LIMITS, WINDOWS, GateLimits, margin_of
from hal_ros.runtime.sessions import TYPES, open_session
from hal_ros.runtime.step_state import OUTPUTS, ring_order, ring_slot

TOLERANCE = 1e-4
"""Of everything in fp32, where no label may differ."""
STEP_LIMITS = {"fp32": GateLimits(TOLERANCE, TOLERANCE, agreement=1.0), "fp16": LIMITS["fp16"]}
STATE_LIMITS = {"fp32": TOLERANCE, "fp16": 5e-2}
FEATURE_LIMITS = {"fp32": 1e-5, "fp16": 5e-2}
"""Of the encoder, in standard deviations of the feature."""
MOST_KEPT_VALUES = 50_000_000
"""Of the torch model's states over a stream: a window of 1024 ticks has ten times as many."""
Array = NDArray[Any]


class Parity(NamedTuple):
    """What a comparison over a stream found; `fault` says why the graph may not be shipped, '' when it may."""

    ticks: int
    errors: dict[str, float]  # largest difference of each output and next state; see `compare`
    label_agreement: float  # share of ticks on which both heads name the same action, 0..1
    margin: float  # where they do not: by how much torch was sure, in probability
    fault: str = ""

    @property
    def output_error(self) -> float:
        """The largest difference of a log-probability or the boundary."""
        return max(error for name, error in self.errors.items() if name in OUTPUTS)

    @property
    def state_error(self) -> float:
        """The largest difference in any next state, likewise."""
        return max(error for name, error in self.errors.items() if name not in OUTPUTS)


def stream(graph: StepGraph, seed: int = 0) -> list[tuple[NDArray[np.float32], ...]]:
    """Return random inputs (each (1, …), those that the graph takes) with missing modalities and held ticks.

    They lie in the range of the model's own standardising numbers, so that no unit is driven where it never works.
    """
    random, takes = np.random.default_rng(seed), graph.widths
    ticks = int(WINDOWS * graph.model.config.window_ticks)
    rows: list[tuple[NDArray[np.float32], ...]] = []
    for _ in range(ticks):
        if rows and random.random() < 0.05:
            rows.append(rows[-1])
            continue
        tick: dict[str, NDArray[Any]] = {}
        tick["feature"] = np.concatenate([np.zeros((1, 0)), *(_feature(eye, random) for eye in graph.eyes)], 1)
        tick["joints"] = _joints(graph.model, random)
        for name in ("image_valid", "joints_valid"):
            tick[name] = random.random((1, takes.get(name, 0))) < 0.9
        rows.append(tuple(tick[name].astype(np.float32) for name in takes))
    return rows


def _feature(eye: Eye, random: np.random.Generator) -> NDArray[Any]:
    """Return (1, D)."""
    channel_mean, channel_std = eye.mean.numpy(), eye.spread.numpy()
    noise = random.standard_normal((1, eye.config.feature_dim // len(channel_mean), len(channel_mean)))
    return np.asarray((channel_mean + noise * channel_std).reshape(1, -1))


def _joints(model: CausalHal, random: np.random.Generator) -> NDArray[Any]:
    """Return (1, V)."""
    if not model.config.joint_values:
        return np.zeros((1, 0))
    mean, spread = model.joints.mean.numpy(), model.joints.spread.numpy()
    return np.asarray(mean + random.standard_normal((1, len(mean))) * spread)


class Reference:
    """The torch model's answers to a random stream: made once for all files, as far as they fit into memory."""

    def __init__(self, graph: StepGraph, seed: int = 0) -> None:
        """Draw the stream; `graph` in fp32 answers with shifted caches, whatever its own are."""
        self.graph, self.rows = graph, stream(graph, seed)
        self._kept: list[dict[str, Array]] = []

    def answers(self) -> Iterator[dict[str, Array]]:
        """Yield each tick's outputs and next state by name."""
        if self._kept:
            yield from self._kept
            return
        size = sum(tensor.numel() for tensor in flatten_state(self.graph.initial_state())) * len(self.rows)
        kept = []
        for said in _torch(self.graph, self.rows):
            kept += [said] if size <= MOST_KEPT_VALUES else []
            yield said
        self._kept = kept


def compare(graph: StepGraph, path: Path, precision: str = "fp32", reference: Reference | None = None) -> Parity:
    """Step the torch model, in fp32 with shifted caches, beside the file in ONNX Runtime, each with its own state.

    `graph` says which caches the file has; `precision`, "fp32" or "fp16", how far it may be away; a `reference` spares
    the model a second run for a second file. Differences of a state whose values go beyond 1 are in units of its
    largest: weights set how large it is, and rounding grows with it.
    """
    _, names = tensor_names(graph.model.config)
    errors, largest, margin, agreed = dict.fromkeys(names, 0.0), dict.fromkeys(names, 1.0), 0.0, 0
    reference = reference or Reference(graph)
    rows, both = reference.rows, zip(reference.answers(), _onnx(graph, path, reference.rows), strict=True)
    for expected, said in tracked(both, f"proof of {path.name}", len(rows)):
        for name in names:
            errors[name] = max(errors[name], _distance(expected[name], said[name]))
            if name not in OUTPUTS:
                largest[name] = max(largest[name], float(np.abs(expected[name]).max()))
        unlike = [name for name in OUTPUTS[:2] if expected[name].argmax() != said[name].argmax()]
        margin = max([margin, *(margin_of(expected[name][0]) for name in unlike)])
        agreed += not unlike
    errors = {name: error / largest[name] for name, error in errors.items()}
    found = Parity(len(rows), errors, agreed / len(rows), margin)
    return found._replace(fault="; ".join(_faults(found, precision)))


def prove(graph: StepGraph, path: Path, precision: str = "fp32", reference: Reference | None = None) -> Parity:
    """Return the comparison; raises BackendError naming the tensors in which the file differs from the model."""
    parity = compare(graph, path, precision, reference)
    if parity.fault:
        raise BackendError(f"{path}: differs from torch over {parity.ticks} ticks: {parity.fault}")
    return parity


def prove_encoder(reference: Path, path: Path, images: ByteArray, precision: str = "fp32") -> float:
    """Return the largest difference of two encoders over pictures (N, S, S, 3), in standard deviations of the feature.

    Raises BackendError when it is beyond the precision's limit.
    """
    expected, found = _features(reference, images), _features(path, images)
    error = _distance(expected, found) / max(float(expected.std()), 1e-6)
    limit = FEATURE_LIMITS[precision]
    if not error <= limit:
        raise BackendError(
            f"{path}: feature differs from {reference.name} by {error:.2g} standard deviations; expected <= {limit:g}"
        )
    return error


def _faults(found: Parity, precision: str) -> Iterator[str]:
    limits = STEP_LIMITS[precision]
    # Layer by layer and the outputs last, as in the graph: the first one named is where the fault is.
    for name, error in sorted(found.errors.items(), key=lambda item: item[0] in OUTPUTS):
        limit = limits.log_probs if name in OUTPUTS else STATE_LIMITS[precision]
        limit = limits.boundary if name == "boundary" else limit
        if not error <= limit:
            yield f"{name} by {error:.2g}, expected <= {limit:g}"
    if not found.label_agreement >= limits.agreement:
        yield f"{found.label_agreement:.1%} equal labels, expected >= {limits.agreement:.1%}"
    if not found.margin < limits.margin:
        yield f"another label where torch is sure by {found.margin:.2f}, expected < {limits.margin:g}"


def _torch(graph: StepGraph, rows: Sequence[tuple[Array, ...]]) -> Iterator[dict[str, Array]]:
    """Yield each tick's outputs and next state by name."""
    reference = StepGraph(graph.eyes, graph.model).eval()
    _, names = tensor_names(graph.model.config)
    state = flatten_state(reference.initial_state())
    for row in rows:
        with torch.no_grad():
            results = reference(*(torch.from_numpy(value) for value in row), *state)
        state = list(results[len(OUTPUTS) :])
        yield {name: tensor.numpy() for name, tensor in zip(names, results, strict=True)}


def _onnx(graph: StepGraph, path: Path, rows: Sequence[tuple[Array, ...]]) -> Iterator[dict[str, Array]]:
    """Yield the same of the file in ONNX Runtime; rings are rolled out, the oldest tick first."""
    session = open_session(path)
    _, outputs = tensor_names(graph.model.config, graph.caches)
    types = {entry.name: np.dtype(TYPES[entry.type]) for entry in session.get_inputs()}
    shapes = {entry.name: entry.shape for entry in session.get_inputs()}
    state = {name: np.zeros(shape, types[name]) for name, shape in shapes.items() if name.startswith("state_")}
    slots = {name: shape[0] for name, shape in shapes.items() if name.startswith("order_")}
    for tick, row in enumerate(rows):
        orders = {name: ring_order(tick, count) for name, count in slots.items()}
        results = session.run(outputs, dict(zip(graph.widths, row, strict=True)) | state | orders)
        said: dict[str, Array] = dict(zip(outputs, results, strict=True))
        for name in [name for name in said if name.startswith("new_")]:
            ring = state[name.replace("new_", "state_", 1)]
            ring[:, ring_slot(tick, ring.shape[1])] = said.pop(name)[:, 0]
            said[name.replace("new_", "next_", 1)] = np.roll(ring, -ring_slot(tick + 1, ring.shape[1]), axis=1)
        state |= {f"state_{name[5:]}": said[name] for name in outputs if name.startswith("next_")}
        yield said


def _features(path: Path, images: ByteArray) -> NDArray[np.float32]:
    encoder = PictureEncoder(path)
    return np.stack([encoder.encode(image) for image in images])


def _distance(expected: Array, found: Array) -> float:
    """A value that is no number is infinitely far away."""
    distance = float(np.abs(expected - found.astype(np.float32)).max())
    return distance if np.isfinite(distance) else float("inf")
