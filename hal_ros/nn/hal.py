"""Causal HAL: a fast visual latent v under a slow action latent c, over what the eyes saw and the robot's state.

One set of weights: `forward` runs a whole sequence, `step` one tick, and both carry the same state, so that step after
step equals the sequence (law 2). They differ where ticks meet, and a step's tensors have no dimension of ticks: at one
tick each node of a graph costs more than its arithmetic. Nothing looks ahead (law 1). Attention reaches back
`window_ticks`; only the context c, through its gate, and recurrent layers are carried further.

Shapes: B streams, T ticks, C cameras, E what one camera's eye gives, V state values a tick, K actions, d width.
Written for export: static shapes, explicit softmax, no split, no integer arithmetic, masks of -1e4 (finite in fp16).
Caches may be of half precision (`export.half_precision`); every `.to(...)` here is about that alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hal_ros.nn.band_attention import MASKED, BandLayer, Rings
from hal_ros.nn.cameras import CameraInput, columns, numbered
from hal_ros.nn.differences import DifferencesEmbedding
from hal_ros.nn.joints import JointsEmbedding
from hal_ros.nn.recurrence import CELLS, RecurrentLayer, due_ticks, leak, scan
from hal_ros.nn.state import State, StateShape, initial_state

SAVED_AS = {"joint_values": "values", "attended": "seen", "attended_dropout": "seen_dropout"}
"""Fields of the configuration that checkpoints and bundles know by an older name."""

ADDED: dict[str, Any] = {
    "differences": (),
    "trunk": "band",
    "recurrent_layers": 2,
    "short_lookback": (),
    "context_gate": "scalar",
    "context_every": 1,
}
"""Fields that 0.1.0 did not have, and what they are where they are not said."""
NOTHING = object()
BAND = "band"
"""The trunk that is attention alone."""


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
    differences: tuple[int, ...] = ()  # lags in ticks over which changes of the state values are read, too
    trunk: str = BAND  # or a key of `nn.recurrence.CELLS`: recurrent layers over attention of `short_lookback`
    recurrent_layers: int = 2  # of a recurrent trunk
    short_lookback: tuple[int, ...] = ()  # of a recurrent trunk: its attention layers, below
    context_gate: str = "scalar"  # "vector": each part of c has a gate of its own, and their mean is the boundary
    context_every: int = 1  # ticks: c changes at every n-th tick of a stream, the first one included

    @property
    def eyes(self) -> int:
        """How many cameras the model sees: 0 where it has no camera, or nothing looks."""
        return self.cameras if self.attended else 0

    @property
    def attention(self) -> tuple[int, ...]:
        """The look-backs of the attention layers."""
        return self.lookback if self.trunk == BAND else self.short_lookback

    @property
    def recurrent(self) -> int:
        """How many recurrent layers there are above them."""
        return 0 if self.trunk == BAND else self.recurrent_layers

    @property
    def visual_after(self) -> int:
        """After how many layers v is read: at least one is left above in a recurrent trunk of two or more."""
        count = len(self.attention) + self.recurrent
        return self.visual_layer if self.trunk == BAND else max(1, min(self.visual_layer, count - 1))

    @property
    def window_ticks(self) -> int:
        """How far back attention sees: the sum of (look-back - 1) over the layers, plus one.

        A recurrent trunk has no such limit; there it is how long a stream is that graphs are proven and timed by.
        """
        return sum(ticks - 1 for ticks in self.lookback) + 1

    @property
    def state_shape(self) -> StateShape:
        """What the model carries from tick to tick."""
        past = max(self.differences, default=0) if self.joint_values else 0
        clock = self.context_every if self.context_every > 1 else 0
        return StateShape(self.width, self.attention, self.recurrent, past, self.joint_values, clock)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready mapping, from which `from_json` makes the same value; as 0.1.0 did where it can."""
        said = {name: value for name, value in asdict(self).items() if ADDED.get(name, NOTHING) != value}
        return {SAVED_AS.get(name, name): value for name, value in said.items()}

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


class Outputs(NamedTuple):
    """What a stretch of ticks yields."""

    log_probs: Tensor  # (B, T, K) of this tick
    lagged_log_probs: Tensor  # (B, T, K) of lag ticks earlier
    boundary: Tensor  # (B, T, 1) gate g in [0, 1]
    visual: Tensor  # (B, T, visual_width) v
    context: Tensor  # (B, T, d) c
    below: Tensor  # (B, T, d) what v is read from; for training


class CausalHal(nn.Module):
    """The whole model. Standardising numbers and temperatures are buffers: they travel with the weights."""

    temperature: Tensor
    joints: JointsEmbedding  # where there are state values
    differences: DifferencesEmbedding  # where they are asked for

    def __init__(self, config: HalConfig) -> None:
        """Draw the weights; raises ValueError for a model that would take nothing, or has no layers."""
        super().__init__()
        if config.trunk not in (BAND, *CELLS):
            raise ValueError(f"trunk is {config.trunk!r}; expected one of {', '.join((BAND, *CELLS))}")
        if not config.attention and not config.recurrent:
            raise ValueError("the trunk has no layers; expected one at least")
        if not config.eyes and not config.joint_values:
            raise ValueError("the model has neither cameras nor state values; expected one of them at least")
        self.config = config
        d = config.width
        if config.joint_values:
            self.joints = JointsEmbedding(config.joint_values, d)
        if config.state_shape.past_ticks:
            self.differences = DifferencesEmbedding(config.joint_values, config.differences, d)
        for camera in range(config.eyes):
            self._add_camera(camera)
        self.layers = nn.ModuleList(BandLayer(config, lookback) for lookback in config.attention)
        self.recurrent = nn.ModuleList(RecurrentLayer(config) for _ in range(config.recurrent))
        self.visual = nn.Linear(d, config.visual_width)
        self.norm = nn.LayerNorm(d)
        self.candidate = nn.Linear(d, d)
        self.gate = nn.Linear(d, d if config.context_gate == "vector" else 1)
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
        return initial_state(self.config.state_shape, batch)

    def step(self, inputs: Inputs, state: State) -> tuple[Outputs, State]:
        """Advance by one tick: tensors of `inputs` and of the result are (B, ...) without the T dimension."""
        return self.advance(*self.embed(inputs, state), state)

    def advance(
        self, x: Tensor, past: tuple[Tensor, ...], state: State, orders: Sequence[Tensor] = ()
    ) -> tuple[Outputs, State]:
        """Advance by one tick from what `embed` gave, x (B, d) and the past to be carried.

        With one order a layer the caches of `state` are rings (see `Rings`); in the returned state keys and values are
        then (B, 1, d), this tick's alone: the caller writes them into their slots.
        """
        below, keys, values = x, [], []
        known = torch.cat([state.valid, torch.ones_like(state.valid[:, :1])], 1) if self.layers else state.valid
        biases = self._biases(known)
        for index, (layer, bias) in enumerate(zip(self.layers, biases, strict=True)):
            assert isinstance(layer, BandLayer)
            if orders:
                rings = Rings(state.keys[index], state.values[index], orders[index])
                x, layer_keys, layer_values = layer.look_up(x, rings, bias)
            else:
                x, layer_keys, layer_values = layer.step(x, state.keys[index], state.values[index], bias)
            keys.append(layer_keys)
            values.append(layer_values)
            below = x if index + 1 == self.config.visual_after else below
        outputs, following = self._above(x, below, state)
        # one tick is all that recurrent layers have to know of: the clamp is a one that hangs on an input
        valid = known[:, 1:] if self.layers else state.valid.clamp(1.0, 1.0)
        return outputs, following._replace(keys=tuple(keys), values=tuple(values), valid=valid, past=past)

    def _biases(self, known: Tensor) -> list[Tensor]:
        """Return each attention layer's bias (B, heads, look-back), masked where known (B, longest) is 0."""
        if not self.layers:
            return []
        longest, spans = known.shape[1], self.config.attention
        places = [place for span in spans for place in range(longest - span, longest)]
        masks = ((known - 1.0) * -MASKED).index_select(1, torch.tensor(places, device=known.device))
        biases = torch.cat([layer.get_parameter("bias") for layer in self.layers], 1) + masks[:, None]
        ends = [sum(spans[: index + 1]) for index in range(len(spans))]
        return [biases[..., end - span : end] for end, span in zip(ends, spans, strict=True)]

    def forward(self, inputs: Inputs, state: State) -> tuple[Outputs, State]:
        """Run T ticks from `state`; the returned state continues after the last one."""
        x, past = self.embed(inputs, state)
        ticks, below = x.shape[1], x
        known = torch.cat([state.valid, torch.ones_like(x[:, :, 0])], 1)  # (B, longest - 1 + T)
        keys, values = [], []
        for index, layer in enumerate(self.layers):
            valid = known[:, -(self.config.attention[index] - 1 + ticks) :]
            x, layer_keys, layer_values = layer(x, state.keys[index], state.values[index], valid)
            keys.append(layer_keys)
            values.append(layer_values)
            below = x if index + 1 == self.config.visual_after else below
        outputs, following = self._above(x, below, state)
        following = following._replace(keys=tuple(keys), values=tuple(values), valid=known[:, ticks:], past=past)
        return outputs, following

    def _above(self, x: Tensor, below: Tensor, state: State) -> tuple[Outputs, State]:
        """Run what lies above attention, on x (B, T, d) or one tick's (B, d); the returned state has its part anew."""
        hidden: list[Tensor] = []
        for index, layer in enumerate(self.recurrent, len(self.layers)):
            x, vector = layer(x, state.hidden[len(hidden)])
            hidden.append(vector)
            below = x if index + 1 == self.config.visual_after else below
        outputs, clock = self._read(x, below, state)
        context = outputs.context if x.dim() == state.context.dim() else outputs.context[:, -1]
        return outputs, state._replace(context=context, hidden=tuple(hidden), clock=clock)

    def _read(self, x: Tensor, below: Tensor, state: State) -> tuple[Outputs, tuple[Tensor, ...]]:
        """Return what the last layer's x (B, T, d) and the lower layer's `below` say, and the context's clock."""
        top = self.norm(x)
        carry = self._carry_on if top.dim() == state.context.dim() else self._carry
        gate, context, clock = carry(top, state)
        read = top if self.config.classifier_reads == "trunk" else context
        outputs = Outputs(
            torch.log_softmax(self.head(read) / self.temperature[0], -1),
            torch.log_softmax(self.lagged_head(read) / self.temperature[1], -1),
            gate,
            self.visual(below),
            context,
            below,
        )
        return outputs, clock

    def embed(self, inputs: Inputs, state: State) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the sum (B, T, d) of what the states and each camera say, and the state values to be carried.

        Of one tick neither `inputs` nor the sum have a T.
        """
        x: Tensor | None = self.joints(inputs.joints, inputs.joints_valid) if self.config.joint_values else None
        past = state.past
        if past:
            moved, following = self.differences(inputs.joints, inputs.joints_valid, past[0])
            x, past = x + moved, (following,)
        cameras = self.camera_inputs()
        views = (columns(each, len(cameras)) for each in (inputs.attended, inputs.image_valid))
        for camera, attended, image_valid in zip(cameras, *views, strict=True):
            seen = camera.seen(attended, image_valid, self.training)
            x = (seen if x is None else x + seen) + camera.unseen(image_valid)
        assert x is not None
        return x, past

    def _carry(self, top: Tensor, state: State) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """The leaky gate c_t = (1 - g_t) c_{t-1} + g_t c~_t; a stream's first tick takes c~ whole.

        Returns the boundary (B, T, 1), c (B, T, d) and the clock of the tick that follows.
        """
        candidate = self.candidate(top)
        gate = torch.sigmoid(self.gate(top))
        continued = state.valid[:, -1:]  # 0 at a stream's first tick
        first = 1.0 - continued * (1.0 - gate[:, 0])
        gates = torch.cat([first[:, None], gate[:, 1:]], 1)
        boundary = _mean_of_parts(gates)
        if not self.config.gate:
            return boundary, candidate, state.clock
        clock = state.clock
        if clock:
            due, following = due_ticks(clock[0], continued, top.shape[1])
            gates, clock = gates * due, (following,)
        if gates.shape[2] == 1:
            return boundary, leak(gates, candidate, state.context), clock
        return boundary, scan(1.0 - gates, gates * candidate, state.context), clock

    def _carry_on(self, top: Tensor, state: State) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Do the same over one tick, top (B, d): the boundary is (B, 1), c (B, d)."""
        candidate = self.candidate(top)
        gates = 1.0 - state.valid[:, -1:] * (1.0 - torch.sigmoid(self.gate(top)))
        boundary = _mean_of_parts(gates)
        if not self.config.gate:
            return boundary, candidate, state.clock
        clock = state.clock
        if clock:
            due, following = due_ticks(clock[0], state.valid[:, -1:], 1)
            gates, clock = gates * due[:, 0], (following,)
        return boundary, state.context + gates * (candidate - state.context), clock


def _mean_of_parts(gates: Tensor) -> Tensor:
    """Return (..., 1) of gates (..., parts): a product, for which every exporter has the same operator."""
    parts = gates.shape[-1]
    return gates if parts == 1 else torch.matmul(gates, torch.full((parts, 1), 1.0 / parts))
