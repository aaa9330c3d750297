"""A vision transformer of DINOv2's form with random weights: patches of 14 px, a class token, positions."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor, nn

PATCH_PX, WIDTH, HEADS = 14, 16, 2


class SmallVit(nn.Module):
    """Gives `last_hidden_state` (B, 1 + patches, WIDTH) for standardised pictures (B, 3, S, S)."""

    def __init__(self, trained_cells: int = 5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, WIDTH, PATCH_PX, PATCH_PX)
        self.class_token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.positions = nn.Parameter(torch.randn(1, WIDTH, trained_cells, trained_cells) * 0.1)
        self.norm, self.last = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query_key_value, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        """Return the tokens as transformers' models do."""
        cells = self.patches(pixel_values)
        positions = nn.functional.interpolate(self.positions, cells.shape[2:], mode="bicubic", align_corners=False)
        tokens = torch.cat([self.class_token, (cells + positions).flatten(2).transpose(1, 2)], 1)
        heads = self.query_key_value(self.norm(tokens)).unflatten(-1, (3, HEADS, WIDTH // HEADS))
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.out(attended.transpose(1, 2).flatten(2))
        return SimpleNamespace(last_hidden_state=self.last(tokens + self.mlp(tokens)))
