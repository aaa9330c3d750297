"""Causal HAL: a fast visual latent v under a slow action latent c, over camera grid and joints.

One set of weights, one code path: `forward` runs a whole sequence, `step` one tick, and both carry the same state, so
that step after step equals the sequence (law 2). Nothing looks ahead (law 1). Attention reaches back `window_ticks`;
only the context c is carried further, through its gate.

Shapes: B streams, T ticks, N = rows * columns grid cells, C channels, D = N * C, J joints, K actions, d width.
Written for export: static shapes, explicit softmax, no split, no integer arithmetic, masks of -1e4 (finite in fp16).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

MASKED = -1e4
SPREAD_FLOOR = 1e-3
"""Joints and channels that hardly vary in training are not blown up by standardising."""


@dataclass(frozen=True)
class HalConfig:
    """The architecture's numbers; with the weights they are all that is needed to rebuild the model."""

    actions: int  # K
    joints: int  # J
    grid: tuple[int, int, int]  # rows, columns, channels of the encoder's map
    width: int = 128  # d
    heads: int = 4
    lookback: tuple[int, ...] = (3, 5, 9, 17, 33, 65)  # ticks that each layer sees, the present one included
    feed_forward: int = 256
    cell_width: int = 32
    gazes: int = 6
    keypoints: int = 24
    visual_width: int = 32  # of v
    visual_layer: int = 2  # v is read after this many layers
    dropout: float = 0.1
    eye_dropout: float = 0.1  # of what the gazes saw
    eye_noise: float = 0.5  # added to the projected cells in training, lest scenes are learned by heart
    classifier_reads: str = "context"  # "trunk" is the published code's shortcut past c, kept for the ablation

    @property
    def window_ticks(self) -> int:
        """How far back attention sees: the sum of (look-back - 1) over the layers, plus one."""
        return sum(ticks - 1 for ticks in self.lookback) + 1

    @property
    def feature_dim(self) -> int:
        """D, the flattened grid."""
        rows, columns, channels = self.grid
        return rows * columns * channels

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready mapping; `HalConfig(**mapping)` after `from_json` gives the same value."""
        return asdict(self)

    @classmethod
    def from_json(cls, mapping: dict[str, Any]) -> HalConfig:
        """Rebuild from what `to_json` gave; JSON's lists become tuples again."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in mapping.items()}
        return cls(**values)


class Inputs(NamedTuple):
    """What a stretch of ticks gives. Values under a zero flag are ignored."""

    feature: Tensor  # (B, T, D)
    image_valid: Tensor  # (B, T, 1)
    joints: Tensor  # (B, T, 3J)
    joints_valid: Tensor  # (B, T, 3J)


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
    glance: Tensor  # (B, T, K) log-probabilities from this tick's inputs alone; for training


class Eye(nn.Module):
    """The camera's branch: gazes go where the joints say, keypoints find what looks the same wherever it stands.

    A gaze weighs the cells by a Gaussian whose centre and width are made from the joints (a learned map from where
    the arm is to where its hand appears), and by content; it yields what is seen there. A keypoint is a spatial
    softmax of one learned pattern (Levine et al. 2016); it yields where the pattern is, and how clearly.
    """

    mean: Tensor
    spread: Tensor
    keys: Tensor

    def __init__(self, config: HalConfig) -> None:
        super().__init__()
        rows, columns, channels = config.grid
        self.cells, self.channels, self.cell_width = rows * columns, channels, config.cell_width
        self.gazes, self.keypoints = config.gazes, config.keypoints
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("spread", torch.ones(channels))
        self.register_buffer("keys", _cell_keys(rows, columns))
        self.project = nn.Linear(channels, config.cell_width)
        self.norm = nn.LayerNorm(config.cell_width)
        self.pattern = nn.Parameter(torch.randn(config.keypoints, config.cell_width))
        self.aim = nn.Linear(config.width, 3 * config.gazes)  # centre x, y and sharpness of each gaze
        self.content = nn.Linear(config.width, config.gazes * config.cell_width)
        nn.init.zeros_(self.content.weight)
        nn.init.zeros_(self.content.bias)
        seen = config.gazes * config.cell_width + 3 * config.keypoints
        self.first = nn.Linear(seen + config.width, config.width)
        self.second = nn.Linear(config.width, config.width)
        self.drop = nn.Dropout(config.eye_dropout)
        self.noise = config.eye_noise

    def forward(self, feature: Tensor, joints: Tensor) -> Tensor:
        """Return (B, T, d) from feature (B, T, D) and embedded joints (B, T, d)."""
        batch, ticks = feature.shape[0], feature.shape[1]
        joints = joints.reshape(batch * ticks, -1)
        grid = feature.reshape(batch * ticks, self.cells, self.channels)
        # project((grid - mean) / spread), with the standardising moved into the far smaller weights
        weight = self.project.weight / self.spread
        bias = self.project.bias - torch.matmul(weight, self.mean)
        cells = torch.matmul(grid, weight.t()) + bias  # (BT, N, cell)
        if self.training and self.noise:
            cells = cells + torch.randn_like(cells) * self.noise
        cells = self.norm(cells)
        gazed = self._gaze(cells, joints).reshape(batch * ticks, -1)
        seen = torch.cat([self.drop(gazed), self._keypoints(cells).reshape(batch * ticks, -1), joints], -1)
        return self.second(nn.functional.silu(self.first(seen))).reshape(batch, ticks, -1)

    def _gaze(self, cells: Tensor, joints: Tensor) -> Tensor:
        """Return what each gaze sees, (BT, gazes, cell)."""
        aim = self.aim(joints).reshape(-1, self.gazes, 3)
        # sharpness from 0.6 (the whole picture) to 90 (about one cell); -|p - centre|^2 is linear in (x, y, x^2 + y^2)
        sharpness = torch.exp(2.0 + 2.5 * torch.tanh(aim[:, :, 2:]))
        where = torch.cat([aim[:, :, :2] * sharpness, sharpness * -0.5], -1)
        content = self.content(joints).reshape(-1, self.gazes, self.cell_width)
        scores = torch.matmul(where, self.keys) + torch.matmul(content, cells.transpose(1, 2))  # (BT, gazes, N)
        return torch.matmul(torch.softmax(scores, -1), cells)

    def _keypoints(self, cells: Tensor) -> Tensor:
        """Return x, y in [-1, 1] and the highest score of each keypoint, (BT, keypoints, 3)."""
        scores = torch.matmul(cells, self.pattern.t()).transpose(1, 2) * 0.5  # (BT, keypoints, N)
        place = torch.matmul(torch.softmax(scores, -1), self.keys[:2].t())
        return torch.cat([place, scores.amax(-1, keepdim=True) * 0.25], -1)


def _cell_keys(rows: int, columns: int) -> Tensor:
    """Return (3, N): x, y and x^2 + y^2 of the cells' centres, row by row, in [-1, 1]."""
    y = ((torch.arange(rows) + 0.5) / rows * 2 - 1)[:, None].expand(rows, columns).reshape(-1)
    x = ((torch.arange(columns) + 0.5) / columns * 2 - 1)[None, :].expand(rows, columns).reshape(-1)
    return torch.stack([x, y, x.square() + y.square()])


class JointsEmbedding(nn.Module):
    """Joint values standardised, masked by their flags, the flags appended."""

    mean: Tensor
    spread: Tensor

    def __init__(self, config: HalConfig) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3 * config.joints))
        self.register_buffer("spread", torch.ones(3 * config.joints))
        self.first = nn.Linear(6 * config.joints, config.width)
        self.second = nn.Linear(config.width, config.width)

    def forward(self, joints: Tensor, valid: Tensor) -> Tensor:
        """Return (B, T, d) from joints and valid (B, T, 3J)."""
        standard = (joints - self.mean) / self.spread * valid
        hidden = nn.functional.silu(self.first(torch.cat([standard, valid], -1)))
        return self.second(hidden)


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
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (x, keys, values) after the T ticks of x (B, T, d); valid is (B, look-back - 1 + T)."""
        ticks = x.shape[1]
        normed = self.norm(x)
        keys = torch.cat([keys, self.key(normed)], 1)  # (B, look-back - 1 + T, d)
        values = torch.cat([values, self.value(normed)], 1)
        scores = torch.matmul(self._heads(self.query(normed)), self._heads(keys).transpose(2, 3))
        scores = scores * self.head_width**-0.5 + self._band(ticks) + ((valid - 1.0) * -MASKED)[:, None, None, :]
        seen = torch.matmul(torch.softmax(scores, -1), self._heads(values))  # (B, heads, T, d / heads)
        seen = seen.transpose(1, 2).reshape(x.shape[0], ticks, self.heads * self.head_width)
        x = x + self.drop(self.out(seen))
        x = x + self.drop(self.narrow(nn.functional.silu(self.wide(self.norm_wide(x)))))
        return x, keys[:, ticks:], values[:, ticks:]

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

    def __init__(self, config: HalConfig) -> None:
        super().__init__()
        self.config = config
        d = config.width
        self.joints = JointsEmbedding(config)
        self.eye = Eye(config)
        self.blind = nn.Parameter(torch.zeros(d))  # stands in for the eye's answer where there is no image
        self.glance = nn.Linear(d, config.actions)
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
        glance = torch.log_softmax(self.glance(x), -1)
        known = torch.cat([state.valid, torch.ones_like(x[:, :, 0])], 1)  # (B, longest - 1 + T)
        keys, values = [], []
        visual = x
        for index, layer in enumerate(self.layers):
            valid = known[:, -(self.config.lookback[index] - 1 + ticks) :]
            x, layer_keys, layer_values = layer(x, state.keys[index], state.values[index], valid)
            keys.append(layer_keys)
            values.append(layer_values)
            visual = x if index + 1 == self.config.visual_layer else visual
        top = self.norm(x)
        gate, context = self._carry(top, state)
        read = top if self.config.classifier_reads == "trunk" else context
        outputs = Outputs(
            torch.log_softmax(self.head(read) / self.temperature[0], -1),
            torch.log_softmax(self.lagged_head(read) / self.temperature[1], -1),
            gate,
            self.visual(visual),
            context,
            glance,
        )
        return outputs, State(tuple(keys), tuple(values), known[:, ticks:], context[:, -1])

    def look(self, inputs: Inputs) -> Tensor:
        """Return the log-probabilities (B, T, K) that each tick's inputs alone give; for training."""
        return torch.log_softmax(self.glance(self._embed(inputs)), -1)

    def _embed(self, inputs: Inputs) -> Tensor:
        joints = self.joints(inputs.joints, inputs.joints_valid)
        if self.training and not bool(inputs.image_valid.any()):
            return joints + self.blind  # the same numbers, sooner
        seen = self.eye(inputs.feature, joints)
        return joints + seen * inputs.image_valid + self.blind * (1.0 - inputs.image_valid)

    def _carry(self, top: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """The leaky gate c_t = (1 - g_t) c_{t-1} + g_t c~_t; a stream's first tick takes c~ whole."""
        candidate = self.candidate(top)
        gate = torch.sigmoid(self.gate(top))
        seen_before = state.valid[:, -1:]
        first = 1.0 - seen_before * (1.0 - gate[:, 0])
        context, contexts = state.context, []
        for tick in range(top.shape[1]):
            g = first if tick == 0 else gate[:, tick]
            context = context + g * (candidate[:, tick] - context)
            contexts.append(context)
        return torch.cat([first[:, None], gate[:, 1:]], 1), torch.stack(contexts, 1)


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
