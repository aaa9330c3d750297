"""The non-causal HAL teacher: a pyramid transformer over a whole video, with a visual and an action latent.

It is trained from transcripts and used to align them, never on the robot. The chain is the paper's: trunk b = phi(x),
visual latent v = psi(b), action latent c = eta(v), and the classifier reads c. `literal` is the published variant:
both latents are side branches of two adjacent layers, and the classifier reads the trunk.

Shapes: B videos, T ticks (padded), F input features, K actions, d width. Class tokens, one for each action, see all
ticks and are seen by all; token k answers whether action k occurs in the video.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hal_ros.nn.latent import Latent, LatentEncoder

MASKED = -1e9
LEAST_BLOCK = 16
"""Ticks whose attention is computed at once: memory grows with T times the band, not with T squared."""
LIMIT = 8.0
"""Standardised inputs beyond this are clipped: one broken value must not drown a video."""


@dataclass(frozen=True)
class PyramidConfig:
    """The architecture's numbers; with the weights they are all that is needed to rebuild the model."""

    actions: int  # K
    features: int  # F
    width: int = 64  # d
    heads: int = 4
    layers: int = 5
    bands: str = "pyramid"  # radius 2**i at layer i; "flat": the same radius everywhere, of the same total reach
    feed_forward: int = 128
    visual_layer: int = 2  # v is read after this many layers
    visual_width: int = 48  # of v
    action_width: int = 48  # of c
    dropout: float = 0.1
    literal: bool = False  # the published variant

    def radii(self) -> tuple[int, ...]:
        """How many ticks each layer sees on either side."""
        pyramid = tuple(2**layer for layer in range(self.layers))
        return pyramid if self.bands == "pyramid" else (math.ceil(sum(pyramid) / self.layers),) * self.layers

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready mapping; `PyramidConfig(**mapping)` gives the same value."""
        return asdict(self)


class TeacherOutputs(NamedTuple):
    """What the teacher says of B videos."""

    log_probs: Tensor  # (B, T, K)
    video_logits: Tensor  # (B, K): does the action occur
    frames: Tensor  # (B, T, e): what the classifier reads at each tick
    tokens: Tensor  # (B, K, e): the class tokens there
    visual_below: Tensor  # (B, T, d): the trunk where v is read, b
    action_below: Tensor  # (B, T, ·): what c is to explain; v's mean, or in the literal variant the trunk
    visual: Latent  # (B, T, visual_width)
    action: Latent  # (B, T, action_width)


class TeacherLayer(nn.Module):
    """Pre-norm attention to `radius` ticks on either side and to the class tokens; then a feed-forward."""

    def __init__(self, config: PyramidConfig, radius: int) -> None:
        super().__init__()
        d = config.width
        self.heads, self.radius = config.heads, radius
        self.norm, self.norm_wide = nn.LayerNorm(d), nn.LayerNorm(d)
        self.mix, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.bias = nn.Parameter(torch.zeros(config.heads, 2 * radius + 1))  # by distance, oldest first
        self.wide, self.narrow = nn.Linear(d, config.feed_forward), nn.Linear(config.feed_forward, d)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, known: Tensor, tokens: int) -> Tensor:
        """Return x (B, K + T, d), the first `tokens` of them class tokens; known (B, T) is 1 on ticks that exist."""
        query, key, value = (self._heads(part) for part in self.mix(self.norm(x)).chunk(3, -1))
        query = query * query.shape[-1] ** -0.5
        hidden = (1.0 - known) * MASKED
        parts = _Parts(query[:, :, tokens:], key, value, hidden, tokens)
        seen = torch.cat([self._tokens(query[:, :, :tokens], parts), self._ticks(parts)], 2)
        x = x + self.drop(self.out(seen.transpose(1, 2).flatten(2)))
        return x + self.drop(self.narrow(nn.functional.silu(self.wide(self.norm_wide(x)))))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, ·, d / heads)

    def _tokens(self, query: Tensor, parts: _Parts) -> Tensor:
        """Class tokens see each other and every tick."""
        free = parts.hidden.new_zeros(len(parts.hidden), parts.tokens)
        scores = query @ parts.key.transpose(2, 3) + torch.cat([free, parts.hidden], 1)[:, None, None]
        return torch.softmax(scores, -1) @ parts.value

    def _ticks(self, parts: _Parts) -> Tensor:
        """Ticks see the class tokens and the ticks at most `radius` away; computed in blocks of neighbours."""
        batch, heads, ticks, size = parts.query.shape
        tokens, radius = parts.tokens, self.radius
        block = max(LEAST_BLOCK, 2 * radius)
        blocks = -(-ticks // block)
        spare = blocks * block - ticks
        asked = nn.functional.pad(parts.query, (0, 0, 0, spare)).reshape(batch, heads, blocks, block, size)
        around = (0, 0, radius, spare + radius)
        near_keys, near_values = (
            nn.functional.pad(x[:, :, tokens:], around).unfold(2, block + 2 * radius, block)  # (B, h, blocks, size, ·)
            for x in (parts.key, parts.value)
        )
        hidden = nn.functional.pad(parts.hidden, around[2:], value=MASKED).unfold(1, block + 2 * radius, block)
        near = asked @ near_keys + self._band(block) + hidden[:, None, :, None]
        far = asked @ parts.key[:, :, None, :tokens].transpose(3, 4)
        share = torch.softmax(torch.cat([far, near], -1), -1)
        seen = share[..., :tokens] @ parts.value[:, :, None, :tokens] + share[..., tokens:] @ near_values.transpose(
            3, 4
        )
        return seen.reshape(batch, heads, blocks * block, size)[:, :, :ticks]

    def _band(self, block: int) -> Tensor:
        """Return (heads, 1, block, block + 2 radius): the distance's bias inside the band, MASKED outside."""
        slot = torch.arange(block + 2 * self.radius)[None, :] - torch.arange(block)[:, None]
        inside = (slot >= 0) & (slot <= 2 * self.radius)
        outside = self.bias.new_full((self.heads, 1), MASKED)
        return torch.cat([self.bias, outside], 1)[:, None, torch.where(inside, slot, 2 * self.radius + 1)]


class _Parts(NamedTuple):
    """What attention works on; key and value hold the class tokens first."""

    query: Tensor  # (B, heads, T, ·) of the ticks
    key: Tensor  # (B, heads, K + T, ·)
    value: Tensor
    hidden: Tensor  # (B, T): 0 on ticks that exist, MASKED on padding
    tokens: int  # K


class PyramidTeacher(nn.Module):
    """The whole model. The training inputs' means and standard deviations are buffers: they travel with the weights."""

    mean: Tensor
    spread: Tensor

    def __init__(self, config: PyramidConfig) -> None:
        super().__init__()
        self.config = config
        d = config.width
        read = d if config.literal else config.action_width
        self.register_buffer("mean", torch.zeros(config.features))
        self.register_buffer("spread", torch.ones(config.features))
        self.enter = nn.Linear(config.features + 1, d)  # one more: the share of values that are missing
        self.tokens = nn.Parameter(torch.randn(config.actions, d) * 0.1)
        self.layers = nn.ModuleList(TeacherLayer(config, radius) for radius in config.radii())
        self.visual = LatentEncoder(d, config.visual_width)
        self.lift = nn.Identity() if config.literal else nn.Linear(config.visual_width, d)
        self.action = LatentEncoder(d, config.action_width)
        self.norm = nn.LayerNorm(d) if config.literal else nn.Identity()
        self.head = nn.Linear(read, config.actions)

    def standardise(self, inputs: Tensor) -> Tensor:
        """Return (…, F + 1) from raw inputs (…, F): missing values (NaN, infinite) are 0, their share comes last."""
        known = torch.isfinite(inputs)
        standard = ((torch.where(known, inputs, self.mean) - self.mean) / self.spread).clamp(-LIMIT, LIMIT)
        return torch.cat([standard, 1.0 - known.float().mean(-1, keepdim=True)], -1)

    def embed(self, inputs: Tensor) -> Tensor:
        """Return (B, T, d) from raw inputs (B, T, F), tick by tick."""
        return self.enter(self.standardise(inputs))

    def forward(self, inputs: Tensor, known: Tensor) -> TeacherOutputs:
        """Return what raw inputs (B, T, F) give; known (B, T) is 1 on ticks that exist, 0 on padding."""
        return self.run(self.embed(inputs), known)

    def run(self, embedded: Tensor, known: Tensor) -> TeacherOutputs:
        """Return what `embed` gave carried through the pyramid."""
        tokens, visual_layer = self.config.actions, self.config.visual_layer
        x = torch.cat([self.tokens.expand(len(embedded), -1, -1), embedded], 1)
        for layer in self.layers[:visual_layer]:
            x = layer(x, known, tokens)
        below, visual = x, self.visual(x)
        if self.config.literal:
            x = self.layers[visual_layer](x, known, tokens)
            action_below, action = x, self.action(x)
            upper = self.layers[visual_layer + 1 :]
        else:
            x, action_below = self.lift(visual.mean), visual.mean  # the means flow on, samples feed the decoders alone
            upper = self.layers[visual_layer:]
        for layer in upper:
            x = layer(x, known, tokens)
        if self.config.literal:
            read = self.norm(x)
        else:
            action = self.action(x)
            read = action.mean
        logits = self.head(read)
        return TeacherOutputs(
            torch.log_softmax(logits[:, tokens:], -1),
            logits[:, :tokens].diagonal(dim1=1, dim2=2),
            read[:, tokens:],
            read[:, :tokens],
            below[:, tokens:],
            action_below[:, tokens:],
            visual.after(tokens),
            action.after(tokens),
        )
