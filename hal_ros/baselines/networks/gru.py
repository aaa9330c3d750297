"""One gated recurrent layer, as in MiniROAD (An et al., ICCV 2023): the least that still remembers.

Trained with the loss on the last tick of random windows alone, it meets in training the states that it streams with.
That is the trainer's doing (`SequenceConfig.loss_ticks`); here is only the network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hal_ros.baselines.sequence import CausalModel, Size, State


class GruModel(CausalModel):
    """Inputs -> linear, norm, ReLU -> GRU -> ReLU -> two heads. One stage; the state is O(1)."""

    EMBEDDING = 1
    """How many times as wide as the hidden state the embedding is."""
    DROPS_STATE = True
    """Whether dropout is applied to what the heads read, too."""

    def __init__(self, inputs: int, actions: int, size: Size) -> None:
        super().__init__(inputs, actions, size.input_dropout)
        width, wide, dropout = size.width, self.EMBEDDING * size.width, size.dropout
        self.embed = nn.Sequential(nn.Linear(inputs, wide), nn.LayerNorm(wide), nn.ReLU(), nn.Dropout(dropout))
        self.gru = nn.GRU(wide, width, batch_first=True)
        late = nn.Dropout(dropout if self.DROPS_STATE else 0.0)
        self.heads = nn.Sequential(nn.ReLU(), late, nn.Linear(width, 2 * actions))

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
        return self.two_heads(self.heads(outputs))[None], (hidden,)
