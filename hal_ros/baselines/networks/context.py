"""How OnlineTAS lets a clip and its memory inform each other (Zhong et al., NeurIPS 2024, section 3.2 and A.2).

N clips of w ticks with D channels, and memories of w tokens; masks are 1 where a tick or token exists.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MASKED = -1e4
DECODER_HEADS, WINDOW_HEADS = 8, 4


class ContextBlock(nn.Module):
    """One iteration: attention within the clip's halves, a decoder layer of the memory, and from one to the other."""

    def __init__(self, width: int, clip_ticks: int, dropout: float) -> None:
        super().__init__()
        self.half_ticks = -(-clip_ticks // 2)
        self.near = Attention(width, WINDOW_HEADS, self.half_ticks)
        self.near_norm = nn.LayerNorm(width)
        self.decode = MemoryDecoder(width, dropout)
        self.far = Attention(width, WINDOW_HEADS, clip_ticks)
        self.drop = nn.Dropout(dropout)

    def forward(self, clip: Tensor, shown: Tensor, memory: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Return the augmented clip and the memory as it was read, (N, w, D) each; masks (N, w)."""
        halves = zip(clip.split(self.half_ticks, 1), shown.split(self.half_ticks, 1), strict=True)
        near = torch.cat([self.near(half, half, there) for half, there in halves], 1)
        near = self.near_norm(clip + self.drop(near))
        memory = self.decode(memory, kept, clip, shown)
        return (clip + self.drop(self.far(near, memory, kept))) * shown[..., None], memory


class MemoryDecoder(nn.Module):
    """A decoder layer as in Vaswani et al.: the memory attends to itself, then to the clip, then each token alone."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.itself, self.clip = Attention(width, DECODER_HEADS), Attention(width, DECODER_HEADS)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.drop = nn.Dropout(dropout)

    def forward(self, memory: Tensor, kept: Tensor, clip: Tensor, shown: Tensor) -> Tensor:
        """Return (N, w, D)."""
        first, second, third = self.norms
        memory = first(memory + self.drop(self.itself(memory, memory, kept)))
        memory = second(memory + self.drop(self.clip(memory, clip, shown)))
        return third(memory + self.drop(self.feed(memory)))


class Attention(nn.Module):
    """Attention of several heads; with `reach`, each has a bias by how far apart the two places are, as in Swin."""

    def __init__(self, width: int, heads: int, reach: int = 0) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.bias = nn.Parameter(torch.zeros(heads, 2 * reach - 1)) if reach else None

    def forward(self, asks: Tensor, reads: Tensor, there: Tensor) -> Tensor:
        """Return (N, Q, D) from asks (N, Q, D), reads (N, R, D) and whether these are there (N, R)."""
        query, key, value = (self._split(x) for x in (self.query(asks), *self.key_value(reads).chunk(2, -1)))
        mask = ((1 - there) * MASKED)[:, None, None]
        if self.bias is not None:
            places = torch.arange(asks.shape[1])[:, None] - torch.arange(reads.shape[1])
            mask = mask + self.bias[:, places + self.bias.shape[1] // 2]
        seen = nn.functional.scaled_dot_product_attention(query, key, value, mask)
        return self.out(seen.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """Return (N, heads, R, D / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
