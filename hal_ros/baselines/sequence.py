"""What the learned sequence baselines share: standardised inputs, two heads, and how a causal one is streamed.

Every system answers twice at each tick t: of t itself, and of t - lag, as HAL does, so that both are compared at equal
latency. Shapes: B clips or streams, T ticks, F inputs, K actions, S stages (the last one is the answer).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hal_ros.baselines.sequence_loss import TermWeights, WindowBatch, sequence_loss
from hal_ros.core.arrays import FloatArray

NOW, LAGGED = 0, 1
"""The two heads: of this tick, and of the one that lies lag ticks back."""
State = tuple[Tensor, ...]
"""What a stream carries from tick to tick."""


@dataclass(frozen=True)
class Size:
    """The numbers of a sequence model, whichever it is."""

    width: int = 64
    layers: int = 7  # of each stage; the GRU has one
    stages: int = 3  # likewise
    dropout: float = 0.2
    input_dropout: float = 0.0  # share of the input columns that are away for a whole clip
    clip_ticks: int = 128  # w of OnlineTAS; others have none
    sampling_steps: int = 25  # of DiffAct; others have none


class SequenceModel(nn.Module, ABC):
    """Inputs (B, T, F) with NaN where a value is missing -> logits (S, B, T, 2, K)."""

    mean: Tensor
    spread: Tensor
    answer_every = 1
    """Ticks from one answer to the next that is computed anew; more in validation, of a system that is costly there."""

    def __init__(self, inputs: int, actions: int, input_dropout: float) -> None:
        super().__init__()
        self.inputs, self.actions = inputs, actions
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("spread", torch.ones(inputs))
        self.drop_inputs = nn.Dropout1d(input_dropout)

    @property
    @abstractmethod
    def receptive_field_ticks(self) -> int | None:
        """How many ticks an answer depends on, its own included; None where the state forgets nothing for sure."""

    @property
    def parameter_count(self) -> int:
        """How many numbers training sets."""
        return sum(parameter.numel() for parameter in self.parameters())

    @abstractmethod
    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Return logits (S, B, T, 2, K); mask (B, T) is 1 at a clip's ticks and 0 in the padding behind its end."""

    def loss(self, batch: WindowBatch, weights: TermWeights) -> Tensor:
        """Return what training minimises, of the answers to a batch; systems with further terms add them."""
        return sequence_loss(self(batch.inputs, batch.mask), batch, weights)

    def prepare(self, orders: Sequence[Sequence[int]]) -> None:
        """Hear, before training, the order of actions in each training clip; most have no use for it."""

    def standardise_by(self, mean: FloatArray, spread: FloatArray) -> None:
        """Set the training split's means and standard deviations, (F,) each."""
        with torch.no_grad():
            self.mean.copy_(torch.from_numpy(mean))
            self.spread.copy_(torch.from_numpy(spread))

    def standard(self, inputs: Tensor) -> Tensor:
        """Return standardised inputs, 0 where a value is missing; in training some columns are away for whole clips."""
        values = torch.nan_to_num((inputs - self.mean) / self.spread, nan=0.0, posinf=0.0, neginf=0.0)
        if not self.training:
            return values
        return self.drop_inputs(values.transpose(1, 2)).transpose(1, 2)

    def two_heads(self, flat: Tensor) -> Tensor:
        """Return (..., 2, K) from (..., 2K)."""
        return flat.reshape(*flat.shape[:-1], 2, self.actions)


class CausalModel(SequenceModel):
    """One code path: `advance` by a whole clip or by one tick, carrying the same state, gives the same answers."""

    @abstractmethod
    def initial_state(self, streams: int = 1) -> State:
        """Return the state of streams that have seen nothing."""

    @abstractmethod
    def advance(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return logits (S, B, T, 2, K) of the next T ticks, and the state after them."""

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """As `SequenceModel.forward`; nothing behind a clip's end can reach its answers, so `mask` is not needed."""
        return self.advance(inputs, self.initial_state(len(mask)))[0]


class WholeClipModel(SequenceModel):
    """Sees what comes later, and so can't run on a robot: an upper reference.

    It has one answer for a tick, and both heads give that one. A clip that is too long for memory is answered in
    chunks, each with the ticks to either side that convolutions and attention reach.
    """

    reach_ticks: int
    """How many ticks an answer looks to either side, norms over time left out."""

    def __init__(self, inputs: int, actions: int, lag_ticks: int, input_dropout: float) -> None:
        super().__init__(inputs, actions, input_dropout)
        self.lag_ticks = lag_ticks

    @property
    def receptive_field_ticks(self) -> int | None:
        """Both sides and the tick itself; None where norms over time see the whole clip."""
        return 2 * self.reach_ticks + 1

    @abstractmethod
    def look(self, inputs: Tensor, shown: Tensor, first_tick: int) -> Tensor:
        """Return logits (S, B, T, K); shown (B, T, 1) is the mask, `first_tick` where in the clip the inputs begin."""

    def forward(self, inputs: Tensor, mask: Tensor, first_tick: int = 0) -> Tensor:
        """Return logits (S, B, T, 2, K); row t of the lagged head repeats what was said of tick t - lag."""
        return self.repeated(self.look(inputs, mask[..., None], first_tick))

    def repeated(self, now: Tensor) -> Tensor:
        """Return (S, B, T, 2, K) from what is said of each tick, (S, B, T, K)."""
        earlier = (torch.arange(now.shape[2]) - self.lag_ticks).clamp(min=0)
        return torch.stack([now, now[:, :, earlier]], 3)
