"""ProTAS (Shen and Elhamifar, CVPR 2024) on a causal MS-TCN: how far each action is, and which may follow which.

Each stage has, beside its logits, a GRU that says how far every action is at this tick (0 but for the present one,
whose share rises to 1), and a linear layer that fuses both into the stage's logits. The greatest progress so far is an
action's completion. The task graph holds how often each action came right before and right after each other in the
training clips; it is learnt further from there. An action is penalised where its predecessors aren't complete or its
successors are: softly in training, and by `GRAPH_STEP` times the penalty off the last stage's logits in use.
Published: four stages of ten layers of 64 channels, dropout 0.5, Adam with learning rate 5e-4 for 50 epochs of single
videos. The background, if there is one, is an action like the others here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from hal_ros.baselines.networks.causal_tcn import CausalStage
from hal_ros.baselines.sequence import NOW, CausalModel, Size, State
from hal_ros.baselines.sequence_loss import TermWeights, WindowBatch, sequence_loss

PROGRESS_WEIGHT, GRAPH_WEIGHT = 1.0, 0.1
"""How the mean squared error of the progress and the graph's penalty count beside the answers' loss."""
CHANGE_WEIGHT = 0.01
"""How the squared change of the learnt graph counts beside its penalty."""
GRAPH_STEP = 0.01
"""How much of the penalty comes off the logits."""


class ProTas(CausalModel):
    """S stages of L layers, progress and graph. A stream carries layers, GRUs and the completion of `lag` ticks."""

    def __init__(self, inputs: int, actions: int, lag_ticks: int, size: Size) -> None:
        super().__init__(inputs, actions, size.input_dropout)
        reads = [inputs] + [2 * actions] * (size.stages - 1)
        self.stages = nn.ModuleList(ProgressStage(read, actions, size) for read in reads)
        self.graph = TaskGraph(actions)
        self.width, self.dilations = size.width, [2**index for index in range(size.layers)] * size.stages
        self.lag_ticks = lag_ticks

    @property
    def receptive_field_ticks(self) -> None:
        """Progress and completion may keep anything for ever."""
        return

    def prepare(self, orders: Sequence[Sequence[int]]) -> None:
        """Count what follows what."""
        self.graph.count(orders)

    def initial_state(self, streams: int = 1) -> State:
        """Return zeros: each layer's last values and each stage's hidden state, then completions (B, lag + 1, K)."""
        pasts = [torch.zeros(streams, 2 * dilation, self.width) for dilation in self.dilations]
        hidden = [torch.zeros(1, streams, self.width) for _ in self.stages]
        return (*pasts, *hidden, torch.zeros(streams, self.lag_ticks + 1, self.actions))

    def advance(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return logits (S, B, T, 2, K), the last ones penalised by the graph, and the state."""
        layers = len(self.dilations)
        pasts, hidden, completions = iter(state[:layers]), iter(state[layers:-1]), state[-1]
        logits, progress, after = self._run(inputs, pasts, hidden)
        completed, penalty = self._penalty(progress[-1], completions)
        final = logits[-1] - GRAPH_STEP * penalty
        return torch.cat([logits[:-1], final[None]]), (*after, completed[:, completed.shape[1] - self.lag_ticks - 1 :])

    def loss(self, batch: WindowBatch, weights: TermWeights) -> Tensor:
        """Return the answers' loss, that of the progress in every stage, and the graph's penalty in the last."""
        state, layers = self.initial_state(len(batch.mask)), len(self.dilations)
        logits, progress, _ = self._run(batch.inputs, iter(state[:layers]), iter(state[layers:-1]))
        known = batch.weight[:, :, NOW, None]
        wanted = batch.targets[:, :, NOW] * batch.progress[..., None]
        missed = ((progress - wanted).square() * known).mean(-1).sum((1, 2)) / known.sum().clamp(min=1.0)
        chances = torch.softmax(logits[-1], -1)
        told = (self._penalty(progress[-1], state[-1])[1] * chances).mean(-1) * batch.weight
        graph = told.sum() / batch.weight.sum().clamp(min=1.0) + CHANGE_WEIGHT * self.graph.change()
        return sequence_loss(logits, batch, weights) + PROGRESS_WEIGHT * missed.sum() + GRAPH_WEIGHT * graph

    def _run(
        self, inputs: Tensor, pasts: Iterator[Tensor], hidden: Iterator[Tensor]
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return logits (S, B, T, 2, K), progress (S, B, T, K), and what layers and GRUs keep."""
        reads = self.standard(inputs)
        logits, progress, kept, after = [], [], [], []
        for stage in self.stages:
            said, far, layers, last = stage(reads, pasts, next(hidden))
            kept += layers
            after.append(last)
            logits.append(self.two_heads(said))
            progress.append(far)
            reads = torch.softmax(logits[-1], -1).flatten(-2)
        return torch.stack(logits), torch.stack(progress), kept + after

    def _penalty(self, progress: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Return completions (B, lag + 1 + T, K), and the penalty of both heads' actions (B, T, 2, K)."""
        done = torch.maximum(progress.clamp(0, 1).cummax(1).values, before[:, -1:])
        completed = torch.cat([before, done], 1)
        ticks = progress.shape[1]
        heads = [done, completed[:, 1 : ticks + 1]]  # NOW: of this tick; LAGGED: of the one `lag` ticks back
        return completed, torch.stack([self.graph(each) for each in heads], 2)


class ProgressStage(nn.Module):
    """Reads (B, T, R) -> logits (B, T, 2K) fused with progress (B, T, K)."""

    def __init__(self, reads: int, actions: int, size: Size) -> None:
        super().__init__()
        self.stage = CausalStage(reads, 2 * actions, size.width, size.layers, size.dropout)
        self.progress = nn.GRU(size.width, size.width, batch_first=True)
        self.far = nn.Linear(size.width, actions)
        self.fuse = nn.Linear(3 * actions, 2 * actions)

    def forward(
        self, reads: Tensor, pasts: Iterator[Tensor], hidden: Tensor
    ) -> tuple[Tensor, Tensor, list[Tensor], Tensor]:
        """Return logits, progress, what each layer keeps and the GRU's hidden state."""
        inside, kept = self.stage.inside(reads, pasts)
        outputs, hidden = self.progress(inside, hidden)
        far = self.far(outputs)
        return self.fuse(torch.cat([self.stage.last(inside), far], -1)), far, kept, hidden


class TaskGraph(nn.Module):
    """How often each action comes right before (row) each other (column), and right after it; learnt from counts."""

    counted: Tensor

    def __init__(self, actions: int) -> None:
        super().__init__()
        self.register_buffer("counted", torch.zeros(actions, actions))  # of the predecessors, where learning began
        self.before = nn.Parameter(torch.zeros(actions, actions))
        self.behind = nn.Parameter(torch.zeros(actions, actions))

    def count(self, orders: Sequence[Sequence[int]]) -> None:
        """Start from the shares of each action's occurrences in these sequences."""
        pairs, times = torch.zeros_like(self.counted), torch.zeros(len(self.counted))
        for order in orders:
            for action in order:
                times[action] += 1
            for first, second in itertools.pairwise(order):
                pairs[first, second] += 1
        with torch.no_grad():
            self.counted.copy_(pairs / times.clamp(min=1.0))
            self.before.copy_(self.counted)
            self.behind.copy_(pairs.T / times.clamp(min=1.0))

    def forward(self, completed: Tensor) -> Tensor:
        """Return the penalty of each action (..., K) from the completion of all (..., K)."""
        return (1 - completed) @ self.before + completed @ self.behind

    def change(self) -> Tensor:
        """Return how far learning moved the predecessors, as a mean square."""
        return (self.before - self.counted).square().mean()
