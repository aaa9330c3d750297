"""The eye: what one tick's picture shows, looked at where the joints point. It remembers nothing.

It is trained first, on single ticks, and then left as it is: what it sees is computed once and serves every model that
reads sequences. Its glance head is there for its own training alone.

Shapes: B streams, T ticks, N = rows * columns grid cells, C channels, D = N * C, J joints, K actions, E width of what
is seen. Written for export like `model.hal`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hal_ros.nn.joints import JointsEmbedding

NOISE_SHARED = 4
"""Ticks of a batch that get the same noise."""


@dataclass(frozen=True)
class EyeConfig:
    """The eye's numbers; with the weights they are all that is needed to rebuild it."""

    actions: int  # K
    joints: int  # J
    grid: tuple[int, int, int]  # rows, columns, channels of the encoder's map
    width: int = 128  # E
    cell_width: int = 32
    gazes: int = 12
    keypoints: int = 24
    dropout: float = 0.1  # of what the gazes saw
    noise: float = 0.5  # added to the projected cells in training, lest scenes are learned by heart

    @property
    def feature_dim(self) -> int:
        """D, the flattened grid."""
        rows, columns, channels = self.grid
        return rows * columns * channels

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return asdict(self)

    @classmethod
    def from_json(cls, mapping: dict[str, Any]) -> EyeConfig:
        """Rebuild from what `to_json` gave; JSON's lists become tuples again."""
        return cls(**{**mapping, "grid": tuple(mapping["grid"])})


class Eye(nn.Module):
    """Gazes go where the joints say, keypoints find what looks the same wherever it stands.

    A gaze weighs the cells by a Gaussian whose centre and width are made from the joints (a learned map from where
    the arm is to where its hand appears), and by content; it yields what is seen there. A keypoint is a spatial
    softmax of one learned pattern (Levine et al. 2016); it yields where the pattern is, and how clearly.
    """

    mean: Tensor
    spread: Tensor
    keys: Tensor

    def __init__(self, config: EyeConfig) -> None:
        super().__init__()
        self.config = config
        rows, columns, channels = config.grid
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("spread", torch.ones(channels))
        self.register_buffer("keys", _cell_keys(rows, columns))
        self.joints = JointsEmbedding(3 * config.joints, config.width)
        self.project = nn.Linear(channels, config.cell_width)
        self.norm = nn.LayerNorm(config.cell_width)
        self.pattern = nn.Parameter(torch.randn(config.keypoints, config.cell_width))
        self.aim = nn.Linear(config.width, 3 * config.gazes)  # centre x, y and sharpness of each gaze
        self.content = nn.Linear(config.width, config.gazes * config.cell_width)
        nn.init.zeros_(self.content.weight)
        nn.init.zeros_(self.content.bias)
        found = config.gazes * config.cell_width + 3 * config.keypoints
        self.first = nn.Linear(found + config.width, config.width)
        self.second = nn.Linear(config.width, config.width)
        self.drop = nn.Dropout(config.dropout)
        self.glance = nn.Linear(config.width, config.actions)

    def forward(self, feature: Tensor, joints: Tensor, joints_valid: Tensor) -> Tensor:
        """Return what is seen, (B, T, E), from feature (B, T, D), joints and joints_valid (B, T, 3J)."""
        return self.look(self.survey(feature), joints, joints_valid)

    def survey(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Return what needs no joints: the cells (BT, N, cell) and the keypoints found in them (BT, 3 * keypoints)."""
        config = self.config
        rows, columns, channels = config.grid
        grid = feature.reshape(-1, rows * columns, channels)
        # project((grid - mean) / spread), with the standardising moved into the far smaller weights
        weight = self.project.weight / self.spread
        bias = self.project.bias - torch.matmul(weight, self.mean)
        cells = nn.functional.linear(grid, weight, bias)  # (BT, N, cell)
        if self.training and config.noise:
            cells = _with_noise(cells, config.noise)
        cells = self.norm(cells)
        return cells, self._find(cells).reshape(-1, 3 * config.keypoints)

    def look(self, survey: tuple[Tensor, Tensor], joints: Tensor, joints_valid: Tensor) -> Tensor:
        """Return what is seen, (B, T, E), where joints and joints_valid (B, T, 3J) point in surveyed pictures."""
        cells, points = survey
        batch, ticks = joints.shape[0], joints.shape[1]
        arm = self.joints(joints, joints_valid).reshape(batch * ticks, self.config.width)
        gazed = self._gaze(cells, arm).reshape(batch * ticks, -1)
        found = torch.cat([self.drop(gazed), points, arm], -1)
        return self.second(nn.functional.silu(self.first(found))).reshape(batch, ticks, self.config.width)

    def guess(self, seen: Tensor) -> Tensor:
        """Return the log-probabilities (B, T, K) of each tick's action by what is seen in it alone."""
        return torch.log_softmax(self.glance(nn.functional.silu(seen)), -1)

    def _gaze(self, cells: Tensor, arm: Tensor) -> Tensor:
        """Return what each gaze sees, (BT, gazes, cell)."""
        gazes, cell_width = self.config.gazes, self.config.cell_width
        aim = self.aim(arm).reshape(-1, gazes, 3)
        # sharpness from 0.6 (the whole picture) to 90 (about one cell); -|p - centre|^2 is linear in (x, y, x^2 + y^2)
        sharpness = torch.exp(2.0 + 2.5 * torch.tanh(aim[:, :, 2:]))
        where = torch.cat([aim[:, :, :2] * sharpness, sharpness * -0.5], -1)
        content = self.content(arm).reshape(-1, gazes, cell_width)
        scores = torch.matmul(where, self.keys) + torch.matmul(content, cells.transpose(1, 2))  # (BT, gazes, N)
        return torch.matmul(torch.softmax(scores, -1), cells)

    def _find(self, cells: Tensor) -> Tensor:
        """Return x, y in [-1, 1] and the highest score of each keypoint, (BT, keypoints, 3)."""
        scores = torch.matmul(self.pattern * 0.5, cells.transpose(1, 2))  # (BT, keypoints, N)
        place = torch.matmul(torch.softmax(scores, -1), self.keys[:2].t())
        return torch.cat([place, scores.amax(-1, keepdim=True) * 0.25], -1)


def _with_noise(cells: Tensor, spread: float) -> Tensor:
    """Add normal noise to cells (BT, N, cell); several ticks share it, since drawing it costs more than adding it."""
    shared = NOISE_SHARED if len(cells) % NOISE_SHARED == 0 else 1
    groups = cells.reshape(shared, -1, *cells.shape[1:])
    return torch.add(groups, torch.randn_like(groups[0]), alpha=spread).reshape(cells.shape)


def _cell_keys(rows: int, columns: int) -> Tensor:
    """Return (3, N): x, y and x^2 + y^2 of the cells' centres, row by row, in [-1, 1]."""
    y = ((torch.arange(rows) + 0.5) / rows * 2 - 1)[:, None].expand(rows, columns).reshape(-1)
    x = ((torch.arange(columns) + 0.5) / columns * 2 - 1)[None, :].expand(rows, columns).reshape(-1)
    return torch.stack([x, y, x.square() + y.square()])
