"""Proof on the user's machine: a back end computes what the bundle's author computed, and an engine what ONNX does."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.arrays import ByteArray, FloatArray
from hal_ros.core.card import ModelCard
from hal_ros.core.errors import BackendError, CardError
from hal_ros.core.step import Backend, StepInput, StepOutput
from hal_ros.outside.arrays import read_arrays
from hal_ros.outside.reading import MIB, Expected, reading
from hal_ros.runtime.bundle import GOLDEN, Bundle

TOLERANCE = {"fp32": 1e-3, "fp16": 3e-2}
"""Largest difference of a probability from the stored one; another CPU's instruction set moves it by about 1e-6.

A gate of log-probabilities within d keeps probabilities within tanh(d / 2): 0.025 for fp16's 0.05. To that comes what
ONNX Runtime itself may be away, fp32's tolerance, so that what passes the one check passes the other.
"""
GOLDEN_FILE = Expected(CardError, "golden arrays", 256 * MIB)
OLD_DIMENSIONS = 4
"""Of the images in files of 0.1.0, which knew one camera."""
WINDOWS = 2.5  # so that everything that attention saw has left the caches at least twice


@dataclass(frozen=True)
class GateLimits:
    """How far an engine may be from ONNX Runtime in fp32. Two engines built alike differ, so each must keep to them."""

    log_probs: float  # largest difference of a log-probability
    boundary: float = 0.02  # largest difference of the gate
    agreement: float = 0.995  # smallest share of ticks on which both heads name the reference's actions
    margin: float = 0.1  # where they do not, the reference was undecided: its two best are closer than this
    tie: float = 0.01  # closer than this, either may be named: golden ticks recur, and one tie would count each time


LIMITS = {"fp32": GateLimits(log_probs=2e-3), "fp16": GateLimits(log_probs=5e-2)}


class GoldenTick(NamedTuple):
    """One tick of golden.npz; what the bundle does not take is empty."""

    images: ByteArray  # (C, S, S, 3)
    image_valid: FloatArray  # (C,)
    joints: FloatArray  # (V,)
    joints_valid: FloatArray  # (V,)
    expected: StepOutput

    def step_input(self, feature: FloatArray) -> StepInput:
        """Return the tick as the step graph takes it, with the features (C * D,) of its pictures."""
        return StepInput(feature, self.image_valid, self.joints, self.joints_valid)


@dataclass(frozen=True)
class GateVerdict:
    """What a gate found: the largest differences over a stream, and why the back end is refused; "" when it is not."""

    ticks: int
    log_prob_error: float
    boundary_error: float
    label_agreement: float  # share of ticks, 0..1; either side of a tie agrees
    widest_margin: float  # of the reference where the named actions differ; 0 where they never do
    repeats: bool  # whether a second stream gave the same bits
    fault: str

    @property
    def holds(self) -> bool:
        """Tell whether the back end may be used."""
        return not self.fault

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for a report; None stands for infinitely far, which has no place in JSON."""
        return {name: None if value == math.inf else value for name, value in dataclasses.asdict(self).items()}


def read_golden(bundle: Bundle) -> list[GoldenTick]:
    """Return the ticks of golden.npz; raises CardError when the file can't be read or is of other inputs.

    It holds images (N, C, S, S, 3) uint8 and image_valid (N, C) where the card has cameras, joints and joints_valid
    (N, V) where it has states; and the outputs of these N ticks: log_probs (N, K), lagged_log_probs (N, K),
    boundary (N,). Files of 0.1.0, whose images are (N, S, S, 3) and image_valid (N,), are of one camera.
    """
    path = bundle.path(GOLDEN)
    stored = read_arrays(path, GOLDEN_FILE)
    with reading(path, GOLDEN_FILE):
        inputs, outputs = _inputs(bundle.card, stored, path), _outputs(bundle.card, stored, path)
        ticks = [
            GoldenTick(images, image_valid, joints, valid, StepOutput(log_probs, lagged, float(boundary)))
            for images, image_valid, joints, valid, log_probs, lagged, boundary in zip(*inputs, *outputs, strict=True)
        ]
    if not ticks:
        raise CardError(f"{path}: holds no ticks; expected at least one")
    return ticks


def _inputs(card: ModelCard, stored: Mapping[str, NDArray[Any]], path: Path) -> list[NDArray[Any]]:
    """Return images, image_valid, joints and joints_valid of N ticks, empty where the card takes none."""
    count = len(stored[StepOutput._fields[0]])
    images: NDArray[Any] = np.zeros((count, 0, 0, 0, 3), np.uint8)
    image_valid: NDArray[Any] = np.zeros((count, 0), np.float32)
    joints = joints_valid = image_valid
    if card.streams.cameras:
        images, image_valid = stored["images"], stored["image_valid"]
        if images.ndim == OLD_DIMENSIONS:
            images, image_valid = images[:, None], image_valid[:, None]
    if card.streams.value_count:
        joints, joints_valid = stored["joints"], stored["joints_valid"]
    arrays = [images, image_valid, joints, joints_valid]
    cameras, side, values = len(card.streams.cameras), card.streams.size_px, card.streams.value_count
    shapes = [(cameras, side, side, 3), (cameras,), (values,), (values,)]
    for name, array, shape in zip(GoldenTick._fields, arrays, shapes, strict=False):
        _check_array(name, array, shape, path)
        if name == "images" and array.dtype != np.uint8:
            raise CardError(f"{path}: images are {array.dtype}; expected uint8")
    return arrays


def _outputs(card: ModelCard, stored: Mapping[str, NDArray[Any]], path: Path) -> list[NDArray[Any]]:
    """Return log_probs, lagged_log_probs and boundary of N ticks."""
    actions = (len(card.vocabulary),)
    for name, shape in zip(StepOutput._fields, (actions, actions, ()), strict=True):
        _check_array(name, stored[name], shape, path)
    return [stored[name] for name in StepOutput._fields]


def _check_array(name: str, array: NDArray[Any], shape: tuple[int, ...], path: Path) -> None:
    if not array.ndim or array.shape[1:] != shape:
        raise CardError(f"{path}: {name} of a tick are {list(array.shape[1:])}; the card says {list(shape)}")
    if array.dtype.kind not in "fiu":
        raise CardError(f"{path}: {name} are {array.dtype}; expected numbers")


def check_golden(bundle: Bundle, backend: Backend) -> None:
    """Run golden.npz through the back end and compare with the outputs stored in it.

    Raises BackendError when a probability differs by more than the TOLERANCE of the back end's precision, CardError
    when the file can't be read.
    """
    if fault := golden_fault(bundle, backend):
        raise BackendError(f"{backend.name}: {fault}")


def golden_fault(bundle: Bundle, backend: Backend) -> str:
    """Say in words how far the back end is from golden.npz; "" when it is within the TOLERANCE of its precision.

    Raises what the back end raises, and CardError when the file can't be read.
    """
    tolerance = TOLERANCE[getattr(backend, "precision", "fp32")]
    golden = read_golden(bundle)
    for index, (output, tick) in enumerate(zip(stream(backend, golden), golden, strict=True)):
        distance = max(
            _distance(np.exp(output.log_probs), np.exp(tick.expected.log_probs)),
            _distance(np.exp(output.lagged_log_probs), np.exp(tick.expected.lagged_log_probs)),
            _distance(np.float32(output.boundary), np.float32(tick.expected.boundary)),
        )
        if not distance <= tolerance:  # also when it is not a number
            return f"differs from {bundle.path(GOLDEN)} by {distance:.2g} at tick {index}; expected <= {tolerance}"
    return ""


def gate(
    bundle: Bundle, backend: Backend, reference: Backend, limits: GateLimits, windows: float = WINDOWS
) -> GateVerdict:
    """Stream golden inputs, over and over, through a back end and the reference, and judge the differences.

    The stream is longer than `windows` windows; then a second one must give the bits of the first.
    Raises what the back end raises, and CardError when there are no golden arrays.
    """
    golden = read_golden(bundle)
    count = max(len(golden), math.ceil(windows * bundle.card.window_ticks))
    ticks = list(islice(cycle(golden), count))
    outputs = stream(backend, ticks)
    expected = stream(_Remembering(reference), ticks)
    again = stream(backend, golden)
    repeats = all(_same(a, b) for a, b in zip(outputs[: len(again)], again, strict=True))
    return _judge(outputs, expected, repeats, limits)


def _judge(
    outputs: Sequence[StepOutput], expected: Sequence[StepOutput], repeats: bool, limits: GateLimits
) -> GateVerdict:
    log_prob_error = boundary_error = widest = 0.0
    agreed = 0
    for found, right in zip(outputs, expected, strict=True):
        boundary_error = max(boundary_error, _distance(np.float32(found.boundary), np.float32(right.boundary)))
        heads = list(zip(found[:2], right[:2], strict=True))
        log_prob_error = max(log_prob_error, *(_distance(a, b) for a, b in heads))
        margins = [margin_of(b) for a, b in heads if a.argmax() != b.argmax()]
        agreed += max(margins, default=0.0) <= limits.tie
        widest = max(widest, *margins, 0.0)
    verdict = GateVerdict(len(outputs), log_prob_error, boundary_error, agreed / len(outputs), widest, repeats, "")
    return dataclasses.replace(verdict, fault="; ".join(_faults(verdict, limits)))


def _faults(found: GateVerdict, limits: GateLimits) -> Iterator[str]:
    # Each condition is written so that what is not a number fails it.
    if not found.log_prob_error <= limits.log_probs:
        yield f"log-probabilities differ by {found.log_prob_error:.2g}, expected <= {limits.log_probs:g}"
    if not found.boundary_error <= limits.boundary:
        yield f"the boundary differs by {found.boundary_error:.2g}, expected <= {limits.boundary:g}"
    if not found.label_agreement >= limits.agreement:
        yield f"{found.label_agreement:.1%} of the ticks name the same actions, expected >= {limits.agreement:.1%}"
    if not found.widest_margin < limits.margin:
        yield f"another action is named where ONNX is sure by {found.widest_margin:.2f}, expected < {limits.margin:g}"
    if not found.repeats:
        yield "a second stream gave other bits than the first"


class _Remembering:
    """The features of golden pictures by their place in memory: the reference encodes each once, not once a tick.

    Places tell pictures apart, as the golden arrays stay where they are; a picture is a view of them, new each time.
    """

    def __init__(self, backend: Backend) -> None:
        self.name, self.initial_state, self.step = backend.name, backend.initial_state, backend.step
        self._encode = backend.encode
        self._features: dict[int, FloatArray] = {}

    def encode(self, image: ByteArray) -> FloatArray:
        place = image.ctypes.data
        if place not in self._features:
            self._features[place] = self._encode(image)
        return self._features[place]


def encode_all(backend: Backend, images: ByteArray) -> FloatArray:
    """Return the features (C * D,) of one tick's pictures (C, S, S, 3); empty where there are none."""
    features = [backend.encode(image) for image in images]
    return np.concatenate(features) if features else np.zeros(0, np.float32)


def stream(backend: Backend, ticks: Iterable[tuple[Any, ...]]) -> list[StepOutput]:
    """Return what a back end says of a stream; each tick begins with GoldenTick's first four fields.

    Raises what the back end raises.
    """
    state, outputs = backend.initial_state(), []
    for images, image_valid, joints, joints_valid, *_ in ticks:
        inputs = StepInput(encode_all(backend, images), image_valid, joints, joints_valid)
        output, state = backend.step(inputs, state)
        # Copies: a back end may hand out the same buffers again.
        outputs.append(StepOutput(output.log_probs.copy(), output.lagged_log_probs.copy(), output.boundary))
    return outputs


def _distance(a: FloatArray | np.float32, b: FloatArray | np.float32) -> float:
    """Return the largest difference; equal infinities are no difference, and what is not a number is infinitely far."""
    with np.errstate(invalid="ignore"):
        distance = float(np.where(a == b, 0.0, np.abs(a - b)).max())
    return distance if not np.isnan(distance) else math.inf


def margin_of(log_probs: FloatArray) -> float:
    """Return by how much the best action's probability exceeds the second's."""
    second, best = np.sort(np.exp(log_probs))[-2:]
    return float(best - second)


def _same(a: StepOutput, b: StepOutput) -> bool:
    heads = zip(a[:2], b[:2], strict=True)
    return a.boundary == b.boundary and all(np.array_equal(left, right) for left, right in heads)
