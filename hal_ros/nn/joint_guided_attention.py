"""The eye: joint-guided attention over one tick's feature map of one camera. It carries no state.

It is trained first, on single ticks, and then frozen: its output is computed once and serves every model that reads
sequences. Its classification head is there for its own training alone.

Shapes: B streams, T ticks, N = rows * columns grid cells, C channels, D = N * C, V values of all states, K actions,
E width of the output, BT = B * T. Written for export like `nn.hal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hal_ros.nn.cameras import columns
from hal_ros.nn.joints import JointsEmbedding

NOISE_SHARED = 4
"""Ticks of a batch that get the same noise."""
VALUES_OF_A_JOINT = 3
"""What older checkpoints, which name a number of joints, know of each: position, velocity and effort."""


@dataclass(frozen=True)
class EyeConfig:
    """The eye's numbers; with the weights they are all that is needed to rebuild it."""

    actions: int  # K
    joint_values: int  # V; 0 where there are no states
    grid: tuple[int, int, int]  # rows, columns, channels of the encoder's map
    width: int = 128  # E
    cell_width: int = 32
    gazes: int = 12
    keypoints: int = 24
    dropout: float = 0.1  # of what the gazes attended to
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
        """Rebuild from what `to_json` gave, or an older one's `joints`; JSON's lists become tuples again."""
        fields = {**mapping, "grid": tuple(mapping["grid"])}
        if "joints" in fields:
            fields["joint_values"] = VALUES_OF_A_JOINT * fields.pop("joints")
        return cls(**fields)


class Eye(nn.Module):
    """Spatial attention whose queries come from the joints, beside keypoints, which need none.

    A gaze is one attention query: its weights over the cells are a Gaussian whose centre and width are made from the
    joints (a learned map from where the arm is to where its hand appears), times a match of content; its values are
    the cells themselves. Without states a learned constant guides the gazes. A keypoint is a spatial softmax of one
    learned pattern (Levine et al. 2016); it yields where the pattern is, and how clearly. The weights keep their older
    names: `aim` and `content` make the queries, `glance` is the classification head.
    """

    mean: Tensor
    spread: Tensor
    keys: Tensor
    joints: JointsEmbedding  # where there are state values

    def __init__(self, config: EyeConfig) -> None:
        super().__init__()
        self.config = config
        rows, columns, channels = config.grid
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("spread", torch.ones(channels))
        self.register_buffer("keys", _cell_keys(rows, columns))
        if config.joint_values:
            self.joints = JointsEmbedding(config.joint_values, config.width)
        else:
            self.constant = nn.Parameter(torch.randn(config.width))  # stands in for the embedded joints
        self.project = nn.Linear(channels, config.cell_width)
        self.norm = nn.LayerNorm(config.cell_width)
        self.pattern = nn.Parameter(torch.randn(config.keypoints, config.cell_width))
        self.aim = nn.Linear(config.width, 3 * config.gazes)  # centre x, y and sharpness of each gaze
        self.content = nn.Linear(config.width, config.gazes * config.cell_width)
        nn.init.zeros_(self.content.weight)
        nn.init.zeros_(self.content.bias)
        joined = config.gazes * config.cell_width + 3 * config.keypoints + config.width
        self.first = nn.Linear(joined, config.width)
        self.second = nn.Linear(config.width, config.width)
        self.drop = nn.Dropout(config.dropout)
        self.glance = nn.Linear(config.width, config.actions)

    def forward(self, feature: Tensor, joints: Tensor, joints_valid: Tensor) -> Tensor:
        """Return the output (B, T, E) for feature (B, T, D), joints and joints_valid (B, T, V)."""
        return self.attend(self.encode(feature), joints, joints_valid)

    def encode(self, feature: Tensor) -> tuple[Tensor, Tensor]:
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
        return cells, self._keypoints(cells).reshape(-1, 3 * config.keypoints)

    def attend(self, encoded: tuple[Tensor, Tensor], joints: Tensor, joints_valid: Tensor) -> Tensor:
        """Return the output (B, T, E) where joints and joints_valid (B, T, V) point in encoded pictures."""
        cells, keypoints = encoded
        batch, ticks = joints.shape[0], joints.shape[1]
        arm = self._arm(joints, joints_valid).reshape(batch * ticks, self.config.width)
        attended = self._gazes(cells, arm).reshape(batch * ticks, -1)
        joined = torch.cat([self.drop(attended), keypoints, arm], -1)
        return self.second(nn.functional.silu(self.first(joined))).reshape(batch, ticks, self.config.width)

    def _arm(self, joints: Tensor, joints_valid: Tensor) -> Tensor:
        """Return (B, T, E): the embedded joints, or what stands in for them."""
        if self.config.joint_values:
            embedded: Tensor = self.joints(joints, joints_valid)
            return embedded
        batch, ticks = joints.shape[0], joints.shape[1]
        if batch * ticks == 1:  # a step graph has no Expand
            return self.constant[None, None]
        return self.constant.expand(batch, ticks, -1)

    def head(self, output: Tensor) -> Tensor:
        """Return the log-probabilities (B, T, K) of each tick's action by its own output (B, T, E) alone."""
        return torch.log_softmax(self.glance(nn.functional.silu(output)), -1)

    def _gazes(self, cells: Tensor, arm: Tensor) -> Tensor:
        """Return the attended cells (BT, gazes, cell) for embedded joints (BT, E)."""
        gazes, cell_width = self.config.gazes, self.config.cell_width
        aim = self.aim(arm).reshape(-1, gazes, 3)
        # sharpness from 0.6 (the whole picture) to 90 (about one cell); -|p - centre|^2 is linear in (x, y, x^2 + y^2)
        sharpness = torch.exp(2.0 + 2.5 * torch.tanh(aim[:, :, 2:]))
        position = torch.cat([aim[:, :, :2] * sharpness, sharpness * -0.5], -1)
        content = self.content(arm).reshape(-1, gazes, cell_width)
        scores = torch.matmul(position, self.keys) + torch.matmul(content, cells.transpose(1, 2))  # (BT, gazes, N)
        return torch.matmul(torch.softmax(scores, -1), cells)

    def _keypoints(self, cells: Tensor) -> Tensor:
        """Return x, y in [-1, 1] and the highest score of each keypoint, (BT, keypoints, 3)."""
        scores = torch.matmul(self.pattern * 0.5, cells.transpose(1, 2))  # (BT, keypoints, N)
        position = torch.matmul(torch.softmax(scores, -1), self.keys[:2].t())
        return torch.cat([position, scores.amax(-1, keepdim=True) * 0.25], -1)


def attend(eyes: Sequence[Eye], feature: Tensor, joints: Tensor, joints_valid: Tensor) -> Tensor:
    """Return what all cameras' eyes give, one after the other, (B, T, C * E), for feature (B, T, C * D).

    joints and joints_valid are (B, T, V); without cameras nothing is returned, (B, T, 0).
    """
    views = zip(eyes, columns(feature, len(eyes)), strict=True)
    seen = [eye(view, joints, joints_valid) for eye, view in views]
    if not seen:
        return feature
    attended: Tensor = seen[0] if len(seen) == 1 else torch.cat(seen, -1)
    return attended


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
