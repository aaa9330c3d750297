"""The step graph in fewer nodes: linear maps that follow each other, or share their input, become one.

At one tick, ONNX Runtime takes longer to begin a node than to multiply what is in it. What each part standardises by
and the last map of each embedding go into the maps that read them; first layers with one input are one product; so are
query, key and value. The weights of the trained model stay as they are: this is a copy, and `export.parity` compares
what was written with the model itself. Composed in double precision. For one stream: there is no batch here.

Dims: D feature of a picture, N cells, E an eye's width, V state values, L lags, C cameras, d width.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from hal_ros.nn.cameras import columns
from hal_ros.nn.hal import CausalHal, Inputs
from hal_ros.nn.joint_guided_attention import Eye
from hal_ros.nn.state import State

if TYPE_CHECKING:
    from hal_ros.export.to_onnx import StepGraph


class Affine:
    """A map x -> W x + b in double precision, as it is composed."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight.detach().double(), bias.detach().double()  # (out, in), (out,)

    @classmethod
    def of(cls, layer: nn.Linear) -> Affine:
        """Return a layer's map."""
        return cls(layer.weight, layer.bias)

    def after(self, inner: Affine) -> Affine:
        """Return the map that does `inner` first."""
        return Affine(self.weight @ inner.weight, self.weight @ inner.bias + self.bias)

    def rows(self, chosen: Sequence[int]) -> Affine:
        """Return the map that gives these of its results."""
        return Affine(self.weight[list(chosen)], self.bias[list(chosen)])

    def layer(self) -> nn.Linear:
        """Return it as a layer in single precision."""
        made = nn.Linear(self.weight.shape[1], self.weight.shape[0])
        with torch.no_grad():
            made.weight.copy_(self.weight)
            made.bias.copy_(self.bias)
        return made.requires_grad_(False)


class FoldedEye(nn.Module):
    """One eye over one picture; what it gives still lacks its last linear map. See `Eye` for what it computes."""

    keys: Tensor
    places: Tensor
    pattern: Tensor

    def __init__(self, eye: Eye) -> None:
        """Take copies of the weights, the embedding of the states' last map among them."""
        super().__init__()
        self.config = config = eye.config
        arm = Affine.of(eye.joints.second) if config.joint_values else None
        scale = Affine(torch.diag(1.0 / eye.spread.double()), -eye.mean.double() / eye.spread.double())
        self.project = Affine.of(eye.project).after(scale).layer()
        self.norm = copy.deepcopy(eye.norm)
        self.register_buffer("pattern", eye.pattern.detach() * 0.5)
        self.register_buffer("places", eye.keys[:2].t().contiguous())  # (N, 2)
        self.register_buffer("keys", torch.stack([eye.keys[0], eye.keys[1], -0.5 * eye.keys[2]]))  # (3, N)
        triples = range(config.gazes)
        x, y, sharp = ([3 * gaze + part for gaze in triples] for part in range(3))
        centres = [place for pair in zip(x, y, strict=True) for place in pair]
        aim, content = Affine.of(eye.aim), Affine.of(eye.content)
        self.centres, self.sharpness, self.content = (
            (each if arm is None else each.after(arm)).layer() for each in (aim.rows(centres), aim.rows(sharp), content)
        )
        self.first = _joined(eye, arm).layer()

    def forward(self, feature: Tensor, arm: Tensor) -> Tensor:
        """Return (1, E) of a picture's feature (1, D) and the embedded states before their last map, (1, E)."""
        rows, columns, channels = self.config.grid
        cells = self.norm(self.project(feature.reshape(rows * columns, channels)))  # (N, cell)
        found, clear = self._keypoints(cells)
        gazed = self._gazes(cells, arm)
        joined = torch.cat([gazed.reshape(1, -1), found.reshape(1, -1), clear[None], arm], 1)
        seen: Tensor = silu(self.first(joined))
        return seen

    def _gazes(self, cells: Tensor, arm: Tensor) -> Tensor:
        gazes, width = self.config.gazes, self.config.cell_width
        sharpness = torch.exp(2.0 + 2.5 * torch.tanh(self.sharpness(arm))).reshape(gazes, 1)
        near = torch.addmm(self.keys[2], self.centres(arm).reshape(gazes, 2), self.keys[:2]) * sharpness  # (gazes, N)
        scores = torch.addmm(near, self.content(arm).reshape(gazes, width), cells.t())
        return torch.matmul(torch.softmax(scores, -1), cells)

    def _keypoints(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Return places (keypoints, 2) and the highest scores (keypoints,)."""
        scores = torch.matmul(self.pattern, cells.t())
        return torch.matmul(torch.softmax(scores, -1), self.places), scores.amax(-1)


def _joined(eye: Eye, arm: Affine | None) -> Affine:
    """Return the eye's map of all it found, keypoints' places before their scores, behind the states' last map."""
    config, found = eye.config, Affine.of(eye.first)
    begin, count = config.gazes * config.cell_width, config.keypoints
    end = begin + 3 * count
    places = [begin + 3 * keypoint + axis for keypoint in range(count) for axis in range(2)]
    scores = [begin + 3 * keypoint + 2 for keypoint in range(count)]
    parts = [found.weight[:, :begin], found.weight[:, places], 0.25 * found.weight[:, scores]]
    of_arm = Affine(found.weight[:, end:], found.bias)
    of_arm = of_arm if arm is None else of_arm.after(arm)
    return Affine(torch.cat([*parts, of_arm.weight], 1), of_arm.bias)


class FoldedInputs(nn.Module):
    """All that comes before the trunk at one tick: eyes, embeddings of the states, and their sum."""

    mean: Tensor

    def __init__(self, eyes: Sequence[Eye], model: CausalHal) -> None:
        """Take copies of the weights."""
        super().__init__()
        self.config = model.config
        self.eyes = nn.ModuleList(FoldedEye(eye) for eye in eyes)
        if model.config.joint_values:
            self.register_buffer("mean", model.joints.mean.clone())
            self.differences = copy.deepcopy(model.differences) if model.config.state_shape.past_ticks else None
            self.first = _first(eyes, model).layer()
        else:
            self.constants = nn.ParameterList(eye.constant.detach()[None] for eye in eyes)
        self.project = _sum(eyes, model).layer()

    def forward(self, inputs: Inputs, state: State) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return x (1, d) and the past that is carried, as `CausalHal.embed`; pictures are features."""
        count, width = len(self.eyes), self.config.attended
        parts, past = [], state.past
        if self.config.joint_values:
            hidden, past = self._states(inputs, past)
            start = hidden.shape[1] - count * width
            parts = [hidden[:, :start]]
            arms = [hidden[:, start + eye * width : start + (eye + 1) * width] for eye in range(count)]
        else:
            arms = list(self.constants)
        views = zip(self.eyes, columns(inputs.attended, count), columns(inputs.image_valid, count), arms, strict=True)
        parts += [eye(feature, arm) * valid for eye, feature, valid, arm in views]
        parts += [inputs.image_valid] if count else []
        x: Tensor = self.project(torch.cat(parts, 1) if len(parts) > 1 else parts[0])
        return x, past

    def _states(self, inputs: Inputs, past: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return what all first layers make of the states, one after the other, and the past that is carried."""
        joints, valid = inputs.joints, inputs.joints_valid
        parts = [
            (joints - self.mean) * valid,
            valid,
        ]  # centred first: an offset would drown other digits
        if self.differences is not None:
            changes, following = self.differences.squashed(joints, valid, past[0])
            parts, past = [*parts, changes], (following,)
        return silu(self.first(torch.cat(parts, 1))), past


def _first(eyes: Sequence[Eye], model: CausalHal) -> Affine:
    """Return the map of centred values, flags and changes to the trunk's hidden units, then to each eye's."""
    values, mean = model.config.joint_values, model.joints.mean.double()
    made = []
    for joints in (model.joints, *(eye.joints for eye in eyes)):
        layer = Affine.of(joints.first)
        of_values = layer.weight[:, :values] / joints.spread.double()
        of_flags = layer.weight[:, values:] + of_values * (mean - joints.mean.double())
        made.append(Affine(torch.cat([of_values, of_flags], 1), layer.bias))
    if model.config.state_shape.past_ticks:
        changes = Affine.of(model.differences.first)
        blank = changes.weight.new_zeros(len(changes.bias), 2 * values)
        made = [Affine(nn.functional.pad(each.weight, (0, changes.weight.shape[1])), each.bias) for each in made]
        made.insert(1, Affine(torch.cat([blank, changes.weight], 1), changes.bias))
    return Affine(torch.cat([each.weight for each in made]), torch.cat([each.bias for each in made]))


def _sum(eyes: Sequence[Eye], model: CausalHal) -> Affine:
    """Return the map of the trunk's hidden units, what each eye gives where it sees, and the cameras' flags, to x."""
    last = [model.joints.second] if model.config.joint_values else []
    last += [model.differences.second] if model.config.state_shape.past_ticks else []
    embedded = [Affine.of(layer) for layer in last]
    weights, flags = [each.weight for each in embedded], []
    bias = torch.zeros(model.config.width, dtype=torch.float64)
    for each in embedded:
        bias = bias + each.bias
    for eye, camera in zip(eyes, model.camera_inputs(), strict=True):
        spread, blind = camera.spread.double(), camera.blind.double()
        scale = Affine(torch.diag(1.0 / spread), -camera.mean.double() / spread)
        assert isinstance(camera.project, nn.Linear)
        seen = Affine.of(camera.project).after(scale).after(Affine.of(eye.second))
        weights.append(seen.weight)
        flags.append(seen.bias - blind)
        bias = bias + blind
    return Affine(torch.cat([*weights, *(flag[:, None] for flag in flags)], 1), bias)


def folded(graph: StepGraph) -> StepGraph:
    """Return a copy of the graph, in whatever precision it is, that takes fewer nodes; the given one keeps its own."""
    inputs = FoldedInputs(graph.eyes, graph.model)
    graph = copy.deepcopy(graph)
    graph.inputs, model = inputs, graph.model
    for layer in model.layers:
        parts = [layer.get_submodule(name) for name in ("query", "key", "value")]
        together = copy.deepcopy(parts[0])
        for kind in ("weight", "bias"):
            joined = torch.cat([part.get_parameter(kind).detach() for part in parts])
            setattr(together, kind, nn.Parameter(joined, requires_grad=False))
        layer.together = together
    for name, warmth in zip(("head", "lagged_head"), model.temperature.double(), strict=True):
        head = Affine.of(getattr(model, name))
        setattr(model, name, Affine(head.weight / warmth, head.bias / warmth).layer())
    model.temperature = torch.ones_like(model.temperature)
    return graph.eval()
