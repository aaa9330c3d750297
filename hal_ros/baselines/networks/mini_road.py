"""MiniROAD (An et al., ICCV 2023) in its published shape: an embedding twice as wide as the state of its one GRU layer.

Published: embedding 2048, hidden state 1024, dropout 0.2, every four ticks a window of 128 with the loss on its last
tick alone, ten epochs of AdamW with learning rate 1e-4 and decay 0.05, batches of 16. `gru.py` is the same idea as
small as our clips need it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hal_ros.baselines.sequence import CausalModel, Size, State

EMBEDDING = 2
"""How many times as wide as the hidden state the embedding is."""


class MiniRoad(CausalModel):
    """Inputs -> linear, norm, ReLU, dropout -> GRU -> ReLU -> linear to two heads. One stage; the state is O(1)."""

    def __init__(self, inputs: int, actions: int, size: Size) -> None:
        super().__init__(inputs, actions, size.input_dropout)
        embedding = EMBEDDING * size.width
        self.embed = nn.Sequential(
            nn.Linear(inputs, embedding), nn.LayerNorm(embedding), nn.ReLU(), nn.Dropout(size.dropout)
        )
        self.gru = nn.GRU(embedding, size.width, batch_first=True)
        self.heads = nn.Linear(size.width, 2 * actions)

    @property
    def receptive_field_ticks(self) -> None:
        """The hidden state may keep anything for ever."""
        return

    def initial_state(self, streams: int = 1) -> State:
        """Return the hidden state (1, B, width), all zeros."""
        return (torch.zeros(1, streams, self.gru.hidden_size),)

    def advance(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return logits (1, B, T, 2, K) and the hidden state."""
        outputs, hidden = self.gru(self.embed(self.standard(inputs)), state[0])
        return self.two_heads(self.heads(torch.relu(outputs)))[None], (hidden,)
