"""OnlineTAS (Zhong et al., NeurIPS 2024) in its online mode: the last w ticks, and a memory of what was before them.

A GRU runs over the stream. Of its last w outputs, the window, and a memory of w tokens `context.ContextBlock` makes
augmented features in two iterations, and one stage of a causal TCN makes answers of these; the last one counts. The
window is worked on anew at every tick: that is what this system costs. The memory changes whenever w more ticks are
over: their features become its short part, a convolution over all of them one more token of its long part, which may
hold two thirds of it. Until the first w ticks are over, the window is its own memory.
Trained as published on clips of w ticks that don't overlap, each answered at all its ticks: there an answer sees the
rest of its clip, which the last tick of a window does not have. Published: w = 128, ten layers, learning rate 5e-4 for
50 epochs; the width is not told, 64 is that of the TCN it builds on. Its rule for short segments is a decoder; ours
stands in its place, as with all systems.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hal_ros.baselines.networks.causal_tcn import CausalStage
from hal_ros.baselines.networks.context import ContextBlock
from hal_ros.baselines.sequence import CausalModel, Size, State

ITERATIONS = 2
MOST_LONG = 2 / 3
"""Share of the memory beyond which the oldest token of its long part is forgotten."""
WINDOWS_AT_ONCE = 32


class OnlineTas(CausalModel):
    """One stage. All streams of a batch begin together: they share the place in the present clip."""

    def __init__(self, inputs: int, actions: int, size: Size) -> None:
        super().__init__(inputs, actions, size.input_dropout)
        width, self.clip_ticks = size.width, size.clip_ticks
        self.gru = nn.GRU(inputs, width, batch_first=True)
        self.blocks = nn.ModuleList(ContextBlock(width, size.clip_ticks, size.dropout) for _ in range(ITERATIONS))
        self.token = nn.Linear(size.clip_ticks * width, width)  # a convolution over the whole clip
        self.stage = CausalStage(width, 2 * actions, width, size.layers, size.dropout)
        self.dilations = [2**index for index in range(size.layers)]

    @property
    def receptive_field_ticks(self) -> None:
        """The GRU and the memory may keep anything for ever."""
        return

    def initial_state(self, streams: int = 1) -> State:
        """Return zeros: the GRU's state, its last w - 1 outputs and which exist, the memory, ticks and long tokens."""
        w, width = self.clip_ticks, self.gru.hidden_size
        return (
            torch.zeros(1, streams, width),
            torch.zeros(streams, w - 1, width),
            torch.zeros(streams, w - 1),
            torch.zeros(streams, w, width),
            torch.zeros(streams, 2),
        )

    def advance(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return logits (1, B, T, 2, K) and the state."""
        hidden, recent, known, memory, counts = state
        outputs, hidden = self.gru(self.standard(inputs), hidden)
        series = torch.cat([recent, outputs], 1)
        there = torch.cat([known, torch.ones(outputs.shape[:2])], 1)
        windows, shown = (x.unfold(1, self.clip_ticks, 1) for x in (series, there))  # (B, T, D, w), (B, T, w)
        (over, long), said, start = counts[0].long().tolist(), [], 0
        while start < outputs.shape[1]:
            stop = min(outputs.shape[1], start + self.clip_ticks - over)
            logits, last = self._answer(windows[:, start:stop], shown[:, start:stop], memory if long else None)
            said.append(logits)
            over, start = over + stop - start, stop
            if over == self.clip_ticks:
                memory, long = self._remember(last, memory, long)
                over = 0
        keep = series.shape[1] - self.clip_ticks + 1
        counts = torch.tensor([[over, long]], dtype=torch.float32).expand(len(inputs), 2).clone()
        return torch.cat(said, 1)[None], (hidden, series[:, keep:], there[:, keep:], memory, counts)

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Stream as `advance` does; in training, answer clip by clip at all ticks, as published."""
        if not self.training:
            return super().forward(inputs, mask)
        outputs, _ = self.gru(self.standard(inputs))
        memory, long, said = outputs[:, :0], 0, []
        for start in range(0, outputs.shape[1], self.clip_ticks):
            clip, shown = (x[:, start : start + self.clip_ticks] for x in (outputs, mask))
            ticks = clip.shape[1]
            clip = nn.functional.pad(clip, (0, 0, 0, self.clip_ticks - ticks))
            shown = nn.functional.pad(shown, (0, self.clip_ticks - ticks))
            augmented, logits = self._augment(clip, shown, memory if long else None)
            said.append(logits[:, :ticks])
            memory, long = self._remember(augmented, memory, long)
        return torch.cat(said, 1)[None]

    def _answer(self, windows: Tensor, shown: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return logits (B, n, 2, K) of the last tick of each window, and the last window's features (B, w, D).

        Between windows that are not worked on (`answer_every`) an answer is held.
        """
        batch, ticks = windows.shape[:2]
        chosen = sorted({*range(0, ticks, self.answer_every), ticks - 1})
        logits = []
        for start in range(0, len(chosen), WINDOWS_AT_ONCE):
            some = chosen[start : start + WINDOWS_AT_ONCE]
            flat = windows[:, some].transpose(2, 3).flatten(0, 1)
            own = None if memory is None else memory.repeat_interleave(len(some), 0)
            augmented, said = self._augment(flat, shown[:, some].flatten(0, 1), own)
            logits.append(said[:, -1].unflatten(0, (batch, -1)))
        held = torch.diff(torch.tensor([*chosen, ticks]))
        return torch.cat(logits, 1).repeat_interleave(held, 1), augmented.unflatten(0, (batch, -1))[:, -1]

    def _augment(self, clip: Tensor, shown: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return features (N, w, D) and logits (N, w, 2, K) of clips (N, w, D); without a memory they are their own."""
        tokens, kept = (clip, shown) if memory is None else (memory, torch.ones(memory.shape[:2]))
        for block in self.blocks:
            clip, tokens = block(clip, shown, tokens, kept)
        pasts = iter([clip.new_zeros(len(clip), 2 * dilation, clip.shape[2]) for dilation in self.dilations])
        return clip, self.two_heads(self.stage(clip, pasts)[0])

    def _remember(self, augmented: Tensor, memory: Tensor, long: int) -> tuple[Tensor, int]:
        """Return the memory after a clip with these features, and how many tokens of it are long-term."""
        oldest = int(long > MOST_LONG * self.clip_ticks)
        token = self.token(augmented.flatten(1))[:, None]
        kept = torch.cat([memory[:, oldest:long], token], 1)
        return torch.cat([kept, augmented[:, kept.shape[1] :]], 1), kept.shape[1]
