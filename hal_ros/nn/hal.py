"""Causal HAL: a fast visual latent v under a slow action latent c, over what the eye saw and the joints.

One set of weights, one code path: `forward` runs a whole sequence, `step` one tick, and both carry the same state, so
that step after step equals the sequence (law 2). Nothing looks ahead (law 1). Attention reaches back `window_ticks`;
only the context c is carried further, through its gate.

Shapes: B streams, T ticks, E what the eye gives, P joint values a tick, K actions, d width.
Written for export: static shapes, explicit softmax, no split, no integer arithmetic, masks of -1e4 (finite in fp16).
Caches may be of half precision (`export.half_precision`); every `.to(...)` here is about that alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hal_ros.nn.joints import JointsEmbedding

MASKED = -1e4
SAVED_AS = {"joint_values": "values", "attended": "seen", "attended_dropout": "seen_dropout"}
"""Fields of the configuration that checkpoints and bundles know by an older name."""


@dataclass(frozen=True)
class HalConfig:
    """The architecture's numbers; with the weights they are all that is needed to rebuild the model."""

    actions: int  # K
    joint_values: int  # P: three values of each joint, or a feature vector that stands in their place
    attended: int = 128  # E, the eye's width; 0 where there is no eye
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

    attended: Tensor  # (B, T, E), of `nn.joint_guided_attention.Eye`
    image_valid: Tensor  # (B, T, 1)
    joints: Tensor  # (B, T, P)
    joints_valid: Tensor  # (B, T, P)


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


class Rings(NamedTuple):
    """One layer's past, each tick where it was first written: of n = look-back - 1 slots, tick t has slot t mod n."""

    keys: Tensor  # (B, n, d)
    values: Tensor  # likewise
    order: Tensor  # (n,) int32: the column, 0 oldest, that each slot stands for: (slot - tick) mod n


class Outputs(NamedTuple):
    """What a stretch of ticks yields."""

    log_probs: Tensor  # (B, T, K) of this tick
    lagged_log_probs: Tensor  # (B, T, K) of lag ticks earlier
    boundary: Tensor  # (B, T, 1) gate g in [0, 1]
    visual: Tensor  # (B, T, visual_width) v
    context: Tensor  # (B, T, d) c
    below: Tensor  # (B, T, d) what v is read from; for training


class LockedDropout(nn.Module):
    """Dropout of whole channels of a stretch: what is gone at one tick is gone at all (Gal and Ghahramani, 2016)."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Return x (B, T, d), in training with channels (B, 1, d) zeroed and the others scaled up."""
        if not self.training or not self.share:
            return x
        kept = torch.rand(x.shape[0], 1, x.shape[2]) >= self.share
        return x * (kept / (1.0 - self.share))


class BandLayer(nn.Module):
    """Pre-norm causal attention over the last `lookback` ticks, then a feed-forward; the bias knows distances only."""

    def __init__(self, config: HalConfig, lookback: int) -> None:
        super().__init__()
        d = config.width
        self.heads, self.head_width, self.lookback = config.heads, d // config.heads, lookback
        self.norm = nn.LayerNorm(d)
        self.query, self.key, self.value, self.out = (nn.Linear(d, d) for _ in range(4))
        self.bias = nn.Parameter(torch.zeros(config.heads, lookback))  # [:, -1] is the present tick's
        self.norm_wide = nn.LayerNorm(d)
        self.wide = nn.Linear(d, config.feed_forward)
        self.narrow = nn.Linear(config.feed_forward, d)
        self.drop = LockedDropout(config.dropout)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (x, keys, values) after the T ticks of x (B, T, d); valid is (B, look-back - 1 + T)."""
        ticks = x.shape[1]
        normed = self.norm(x)
        keys = torch.cat([keys, self.key(normed).to(keys.dtype)], 1)  # (B, look-back - 1 + T, d)
        values = torch.cat([values, self.value(normed).to(values.dtype)], 1)
        scores = self._scores(self._heads(self.query(normed).to(keys.dtype)), keys)
        scores = scores + self._band(ticks) + ((valid - 1.0) * -MASKED)[:, None, None, :]
        attended = torch.matmul(
            torch.softmax(scores, -1).to(values.dtype), self._heads(values)
        )  # (B, heads, T, d / heads)
        return self._close(x, attended), keys[:, ticks:], values[:, ticks:]

    def look_up(self, x: Tensor, rings: Rings, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (x, key, value), (B, 1, d) each, after one tick whose past lies in rings that are left as they are.

        The same function as `forward`, and nothing of the window's size is copied; valid is (B, look-back - 1).
        """
        normed = self.norm(x)
        key, value = self.key(normed).to(rings.keys.dtype), self.value(normed).to(rings.values.dtype)
        query = self._heads(self.query(normed).to(rings.keys.dtype))
        bias = (self.bias[:, None, :-1] + ((valid - 1.0) * -MASKED)[:, None, None, :]).index_select(3, rings.order)
        past = self._scores(query, rings.keys) + bias
        present = self._scores(query, key) + self.bias[:, None, -1:]
        weights = torch.softmax(torch.cat([past, present], -1), -1).to(value.dtype)
        attended = torch.matmul(weights[..., :-1], self._heads(rings.values))
        attended = attended + torch.matmul(weights[..., -1:], self._heads(value))
        return self._close(x, attended), key, value

    def _scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return (B, heads, T, keys) in the bias' precision: softmax takes no half, whatever the caches hold."""
        scores = torch.matmul(query, self._heads(keys).transpose(2, 3)).to(self.bias.dtype)
        return scores * self.head_width**-0.5

    def _close(self, x: Tensor, attended: Tensor) -> Tensor:
        """Add to x (B, T, d) what its heads attended to, (B, heads, T, d / heads), and then the feed-forward."""
        attended = attended.transpose(1, 2).reshape(x.shape)
        x = x + self.drop(self.out(attended))
        return x + self.drop(self.narrow(nn.functional.silu(self.wide(self.norm_wide(x)))))

    def _heads(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], self.heads, self.head_width).transpose(1, 2)

    def _band(self, ticks: int) -> Tensor:
        """Return (heads, T, look-back - 1 + T): the distance's bias inside the band, MASKED outside."""
        if ticks == 1:
            return self.bias[:, None, :]
        column, row = torch.arange(self.lookback - 1 + ticks), torch.arange(ticks)
        slot = column[None, :] - row[:, None]
        slot = torch.where((slot >= 0) & (slot < self.lookback), slot, self.lookback)
        outside = torch.full((self.heads, 1), MASKED, dtype=self.bias.dtype)
        return torch.cat([self.bias, outside], 1)[:, slot]


class CausalHal(nn.Module):
    """The whole model. Standardising numbers and temperatures are buffers: they travel with the weights."""

    temperature: Tensor
    seen_mean: Tensor
    seen_spread: Tensor

    def __init__(self, config: HalConfig) -> None:
        super().__init__()
        self.config = config
        d = config.width
        self.joints = JointsEmbedding(config.joint_values, d)
        if config.attended:
            self.register_buffer("seen_mean", torch.zeros(config.attended))
            self.register_buffer("seen_spread", torch.ones(config.attended))
            self.drop_seen = nn.Dropout1d(config.attended_dropout)
            self.seen = nn.Linear(config.attended, d)
            self.blind = nn.Parameter(torch.zeros(d))  # stands in for the attended columns where there is no image
        self.layers = nn.ModuleList(BandLayer(config, lookback) for lookback in config.lookback)
        self.visual = nn.Linear(d, config.visual_width)
        self.norm = nn.LayerNorm(d)
        self.candidate = nn.Linear(d, d)
        self.gate = nn.Linear(d, 1)
        nn.init.constant_(self.gate.bias, -1.0)  # slow by default: c changes where there is a reason to
        self.head = nn.Linear(d, config.actions)
        self.lagged_head = nn.Linear(d, config.actions)
        self.register_buffer("temperature", torch.ones(2))  # of the two heads, fitted on validation

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
        ticks = inputs.joints.shape[1]
        x = self._embed(inputs)
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
        x: Tensor = self.joints(inputs.joints, inputs.joints_valid)
        if not self.config.attended:
            return x
        standard = (inputs.attended - self.seen_mean) / self.seen_spread
        attended = self.seen(self.drop_seen(standard.transpose(1, 2)).transpose(1, 2) if self.training else standard)
        return x + attended * inputs.image_valid + self.blind * (1.0 - inputs.image_valid)

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
