"""Causal HAL: a fast visual latent v under a slow action latent c, over what the eyes saw and the robot's state.

One set of weights, one code path: `forward` runs a whole sequence, `step` one tick, and both carry the same state, so
that step after step equals the sequence (law 2). Nothing looks ahead (law 1). Attention reaches back `window_ticks`;
only the context c is carried further, through its gate.

Shapes: B streams, T ticks, C cameras, E what one camera's eye gives, V state values a tick, K actions, d width.
Written for export: static shapes, explicit softmax, no split, no integer arithmetic, masks of -1e4 (finite in fp16).
Caches may be of half precision (`export.half_precision`); every `.to(...)` here is about that alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hal_ros.nn.band_attention import BandLayer, Rings
from hal_ros.nn.cameras import columns, numbered
from hal_ros.nn.joints import JointsEmbedding

SAVED_AS = {"joint_values": "values", "attended": "seen", "attended_dropout": "seen_dropout"}
"""Fields of the configuration that checkpoints and bundles know by an older name."""


@dataclass(frozen=True)
class HalConfig:
    """The architecture's numbers; with the weights they are all that is needed to rebuild the model."""

    actions: int  # K
    joint_values: int  # V: the values of all states, or a feature vector in their place; 0 where there are none
    attended: int = 128  # E, an eye's width; 0 where there is no eye
    cameras: int = 1  # C, each with an eye of its own; 0 where there is none
    width: int = 128  # d
    heads: int = 4
    lookback: tuple[int, ...] = (3, 5, 9, 17, 33, 65)  # ticks that each layer sees, the present one included
    feed_forward: int = 256
    visual_width: int = 32  # of v
    visual_layer: int = 2  # v is read after this many layers
    dropout: float = 0.1
    attended_dropout: float = 0.1  # share of the attended columns that a training chunk does without
    classifier_reads: str = "context"  # "trunk" is the published code's shortcut past c, kept for the ablation
    gate: bool = True  # without it c is its candidate, and carries nothing

    @property
    def eyes(self) -> int:
        """How many cameras the model sees: 0 where it has no camera, or nothing looks."""
        return self.cameras if self.attended else 0

    @property
    def window_ticks(self) -> int:
        """How far back attention sees: the sum of (look-back - 1) over the layers, plus one."""
        return sum(ticks - 1 for ticks in self.lookback) + 1

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready mapping, from which `from_json` makes the same value."""
        return {SAVED_AS.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, mapping: dict[str, Any]) -> HalConfig:
        """Rebuild from what `to_json` gave; JSON's lists become tuples again."""
        names = {saved: name for name, saved in SAVED_AS.items()}
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in mapping.items()}
        return cls(**{names.get(name, name): value for name, value in fields.items()})


class Inputs(NamedTuple):
    """What a stretch of ticks gives. Values under a zero flag are ignored."""

    attended: Tensor  # (B, T, C * E), of one `nn.joint_guided_attention.Eye` after the other
    image_valid: Tensor  # (B, T, C)
    joints: Tensor  # (B, T, V), all state values
    joints_valid: Tensor  # (B, T, V)


class State(NamedTuple):
    """What a stream carries from tick to tick; all zeros is the state of a stream that has seen nothing."""

    keys: tuple[Tensor, ...]  # per layer (B, look-back - 1, d), oldest first
    values: tuple[Tensor, ...]  # likewise
    valid: Tensor  # (B, longest look-back - 1): 1 where a cached tick exists
    context: Tensor  # (B, d): c of the last tick

    def detached(self) -> State:
        """Return the same numbers without their history of gradients."""
        keys, values = (tuple(x.detach() for x in xs) for xs in (self.keys, self.values))
        return State(keys, values, self.valid.detach(), self.context.detach())

    def where_kept(self, kept: Tensor) -> State:
        """Return the state with the streams whose `kept` (B,) is 0 reset to the initial one."""
        wide = kept[:, None, None]
        keys, values = (tuple(x * wide for x in xs) for xs in (self.keys, self.values))
        return State(keys, values, self.valid * kept[:, None], self.context * kept[:, None])


class Outputs(NamedTuple):
    """What a stretch of ticks yields."""

    log_probs: Tensor  # (B, T, K) of this tick
    lagged_log_probs: Tensor  # (B, T, K) of lag ticks earlier
    boundary: Tensor  # (B, T, 1) gate g in [0, 1]
    visual: Tensor  # (B, T, visual_width) v
    context: Tensor  # (B, T, d) c
    below: Tensor  # (B, T, d) what v is read from; for training


@dataclass(frozen=True)
class CameraInput:
    """One camera's way into the trunk: the model's own tensors and modules."""

    mean: Tensor  # (E,) of what its eye gives, and the spread: they standardise it
    spread: Tensor  # (E,)
    drop: nn.Module
    project: nn.Module
    blind: Tensor  # (d,) stands in where there is no picture

    def seen(self, attended: Tensor, image_valid: Tensor, training: bool) -> Tensor:
        """Return (B, T, d) of attended (B, T, E), zeros where image_valid (B, T, 1) is."""
        standard = (attended - self.mean) / self.spread
        seen: Tensor = self.project(self.drop(standard.transpose(1, 2)).transpose(1, 2) if training else standard)
        return seen * image_valid

    def unseen(self, image_valid: Tensor) -> Tensor:
        """Return (B, T, d): what stands in where image_valid (B, T, 1) is zero, zeros elsewhere."""
        return self.blind * (1.0 - image_valid)


class CausalHal(nn.Module):
    """The whole model. Standardising numbers and temperatures are buffers: they travel with the weights."""

    temperature: Tensor
    joints: JointsEmbedding  # where there are state values

    def __init__(self, config: HalConfig) -> None:
        """Draw the weights; raises ValueError for a model that would take nothing."""
        super().__init__()
        if not config.eyes and not config.joint_values:
            raise ValueError("the model has neither cameras nor state values; expected one of them at least")
        self.config = config
        d = config.width
        if config.joint_values:
            self.joints = JointsEmbedding(config.joint_values, d)
        for camera in range(config.eyes):
            self._add_camera(camera)
        self.layers = nn.ModuleList(BandLayer(config, lookback) for lookback in config.lookback)
        self.visual = nn.Linear(d, config.visual_width)
        self.norm = nn.LayerNorm(d)
        self.candidate = nn.Linear(d, d)
        self.gate = nn.Linear(d, 1)
        nn.init.constant_(self.gate.bias, -1.0)  # slow by default: c changes where there is a reason to
        self.head = nn.Linear(d, config.actions)
        self.lagged_head = nn.Linear(d, config.actions)
        self.register_buffer("temperature", torch.ones(2))  # of the two heads, fitted on validation

    def _add_camera(self, camera: int) -> None:
        config = self.config
        self.register_buffer(numbered("seen_mean", camera), torch.zeros(config.attended))
        self.register_buffer(numbered("seen_spread", camera), torch.ones(config.attended))
        self.add_module(numbered("drop_seen", camera), nn.Dropout1d(config.attended_dropout))
        self.add_module(numbered("seen", camera), nn.Linear(config.attended, config.width))
        self.register_parameter(numbered("blind", camera), nn.Parameter(torch.zeros(config.width)))

    def camera_inputs(self) -> list[CameraInput]:
        """Return what each camera has of its own, in the cameras' order; none for a model without cameras."""
        parts = ("seen_mean", "seen_spread", "drop_seen", "seen", "blind")
        return [
            CameraInput(*(getattr(self, numbered(part, camera)) for part in parts))
            for camera in range(self.config.eyes)
        ]

    def initial_state(self, batch: int = 1) -> State:
        """Return the state of `batch` streams that have seen nothing."""
        d = self.config.width
        keys = tuple(torch.zeros(batch, lookback - 1, d) for lookback in self.config.lookback)
        values = tuple(torch.zeros(batch, lookback - 1, d) for lookback in self.config.lookback)
        return State(keys, values, torch.zeros(batch, max(self.config.lookback) - 1), torch.zeros(batch, d))

    def step(self, inputs: Inputs, state: State) -> tuple[Outputs, State]:
        """Advance by one tick: tensors of `inputs` and of the result are (B, ...) without the T dimension."""
        outputs, state = self(Inputs(*(x[:, None] for x in inputs)), state)
        return Outputs(*(x[:, 0] for x in outputs)), state

    def forward(self, inputs: Inputs, state: State) -> tuple[Outputs, State]:
        """Run T ticks from `state`; the returned state continues after the last one."""
        x = self._embed(inputs)
        ticks = x.shape[1]
        known = torch.cat([state.valid, torch.ones_like(x[:, :, 0])], 1)  # (B, longest - 1 + T)
        keys, values = [], []
        below = x
        for index, layer in enumerate(self.layers):
            valid = known[:, -(self.config.lookback[index] - 1 + ticks) :]
            x, layer_keys, layer_values = layer(x, state.keys[index], state.values[index], valid)
            keys.append(layer_keys)
            values.append(layer_values)
            below = x if index + 1 == self.config.visual_layer else below
        outputs = self._read(x, below, state)
        return outputs, State(tuple(keys), tuple(values), known[:, ticks:], outputs.context[:, -1])

    def step_rings(self, inputs: Inputs, state: State, orders: list[Tensor]) -> tuple[Outputs, State]:
        """Advance by one tick as `step` does, but with the caches of `state` as rings (see `Rings`), one order a layer.

        In the returned state keys and values are (B, 1, d), this tick's alone: the caller writes them into their slots.
        """
        x = self._embed(Inputs(*(value[:, None] for value in inputs)))
        known = torch.cat([state.valid, torch.ones_like(x[:, :, 0])], 1)  # (B, longest)
        keys, values = [], []
        below = x
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, BandLayer)
            valid = known[:, -layer.lookback : -1]
            rings = Rings(state.keys[index], state.values[index], orders[index])
            x, key, value = layer.look_up(x, rings, valid)
            keys.append(key)
            values.append(value)
            below = x if index + 1 == self.config.visual_layer else below
        outputs = self._read(x, below, state)
        following = State(tuple(keys), tuple(values), known[:, 1:], outputs.context[:, -1])
        return Outputs(*(value[:, 0] for value in outputs)), following

    def _read(self, x: Tensor, below: Tensor, state: State) -> Outputs:
        """Return what the last layer's x (B, T, d) and the lower layer's `below` say."""
        top = self.norm(x)
        gate, context = self._carry(top, state)
        read = top if self.config.classifier_reads == "trunk" else context
        return Outputs(
            torch.log_softmax(self.head(read) / self.temperature[0], -1),
            torch.log_softmax(self.lagged_head(read) / self.temperature[1], -1),
            gate,
            self.visual(below),
            context,
            below,
        )

    def _embed(self, inputs: Inputs) -> Tensor:
        """Return the sum (B, T, d) of what the states and each camera say."""
        x: Tensor | None = self.joints(inputs.joints, inputs.joints_valid) if self.config.joint_values else None
        cameras = self.camera_inputs()
        views = (columns(each, len(cameras)) for each in (inputs.attended, inputs.image_valid))
        for camera, attended, image_valid in zip(cameras, *views, strict=True):
            seen = camera.seen(attended, image_valid, self.training)
            x = (seen if x is None else x + seen) + camera.unseen(image_valid)
        assert x is not None
        return x

    def _carry(self, top: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """The leaky gate c_t = (1 - g_t) c_{t-1} + g_t c~_t; a stream's first tick takes c~ whole."""
        candidate = self.candidate(top)
        gate = torch.sigmoid(self.gate(top))
        continued = state.valid[:, -1:]  # 0 at a stream's first tick
        first = 1.0 - continued * (1.0 - gate[:, 0])
        gates = torch.cat([first[:, None], gate[:, 1:]], 1)
        if not self.config.gate:
            return gates, candidate
        if top.shape[1] == 1:
            return gates, state.context[:, None] + gates * (candidate - state.context[:, None])
        return gates, _leak(gates, candidate, state.context)


def _leak(gates: Tensor, candidate: Tensor, context: Tensor) -> Tensor:
    """Unroll c_t = (1 - g_t) c_{t-1} + g_t c~_t over gates (B, T, 1) as one weighted sum instead of T steps.

    The weight of tick s at tick t is g_s times the product of (1 - g) over the ticks behind s up to t. Sums of
    logarithms are taken in double precision: over long stretches they grow, and their differences count.
    """
    kept = torch.log((1.0 - gates[..., 0].double()).clamp(min=1e-30)).cumsum(1)  # (B, T) from the stretch's start
    ticks = gates.shape[1]
    past = torch.ones(ticks, ticks, dtype=torch.bool).tril()
    share = torch.exp((kept[:, :, None] - kept[:, None, :]).masked_fill(~past, -torch.inf)).float()  # (B, T, T)
    return (
        torch.matmul(share * gates.transpose(1, 2), candidate) + torch.exp(kept).float()[..., None] * context[:, None]
    )


# --- the state as a flat list, as the step graph takes it -------------------------------------------------------------


def state_names(config: HalConfig) -> list[str]:
    """Return the names of the state tensors in the order of `flatten_state`."""
    layers = range(len(config.lookback))
    caches = [f"state_{kind}_{layer}" for layer in layers for kind in ("key", "value")]
    return [*caches, "state_valid", "state_context"]


def flatten_state(state: State) -> list[Tensor]:
    """Return key and value per layer, then valid, then context."""
    caches = [tensor for pair in zip(state.keys, state.values, strict=True) for tensor in pair]
    return [*caches, state.valid, state.context]


def unflatten_state(tensors: list[Tensor]) -> State:
    """Undo `flatten_state`."""
    return State(tuple(tensors[:-2:2]), tuple(tensors[1:-2:2]), tensors[-2], tensors[-1])
