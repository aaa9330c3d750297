"""Gated recurrences over ticks: layers of a trunk that carries one vector instead of a window, and the context's gate.

Each cell is trained over a whole stretch and stepped tick by tick with the same weights and the same result. Linear
recurrences h_t = a_t h_{t-1} + b_t, whose gates see the inputs alone, are unrolled without a loop over ticks.

Shapes: B streams, T ticks, d width. Written for export like `nn.hal`: a step is products and a few elementwise maps.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hal_ros.nn.band_attention import LockedDropout

if TYPE_CHECKING:
    from hal_ros.nn.hal import HalConfig

LONGEST_TICKS = 128.0
"""Memories of fresh cells reach from one tick to about so many."""
LEAST_FRESH = 1e-6
GRU_PARTS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def scan(kept: Tensor, added: Tensor, start: Tensor) -> Tensor:
    """Return h (B, T, d) of h_t = kept_t h_{t-1} + added_t from `start` (B, d), by doubling: log2(T) rounds.

    Factors within [0, 1] only shrink, so that nothing overflows (Hillis and Steele, 1986). Of one tick, (B, d), it is
    the sum itself.
    """
    if added.dim() == start.dim():
        return added + kept * start
    h = torch.cat([added[:, :1] + kept[:, :1] * start[:, None], added[:, 1:]], 1)
    span, ticks = 1, added.shape[1]
    while span < ticks:
        h = torch.cat([h[:, :span], h[:, span:] + kept[:, span:] * h[:, :-span]], 1)
        kept = torch.cat([kept[:, :span], kept[:, span:] * kept[:, :-span]], 1)
        span *= 2
    return h


class MinGru(nn.Module):
    """h_t = (1 - z_t) h_{t-1} + z_t W x_t with z = sigmoid(V x_t): a GRU without its own past in the gates.

    Feng et al., Were RNNs All We Needed?, 2024; here in the linear scale and without their positivity.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.inputs = nn.Linear(width, 2 * width)
        with torch.no_grad():
            self.inputs.bias[:width] = -torch.log(_spans(width))

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Return h (B, T, d) from x (B, T, d) and the last tick's h (B, d); of one tick, both are (B, d)."""
        both = self.inputs(x)
        gate = torch.sigmoid(both[..., : self.width])
        return scan(1.0 - gate, gate * both[..., self.width :], hidden)


class RgLru(nn.Module):
    """Real-gated linear recurrent unit: h_t = a_t h_{t-1} + sqrt(1 - a_t^2) (i_t x_t), a_t = a^(c r_t).

    De et al., Griffin, 2024, equations 1 to 4; r and i are sigmoids of the input.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.inputs = nn.Linear(width, 2 * width)
        # log of -c log a: a decay of one part in `_spans` where the gate is half open
        self.rate = nn.Parameter(torch.log(2.0 / _spans(width).clamp(min=2.0)))

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Return h (B, T, d) from x (B, T, d) and the last tick's h (B, d); of one tick, both are (B, d)."""
        both = torch.sigmoid(self.inputs(x))
        fall = -torch.exp(self.rate) * both[..., : self.width]  # log a_t
        kept = torch.exp(fall)
        fresh = torch.sqrt((1.0 - kept * kept).clamp(min=LEAST_FRESH))
        return scan(kept, fresh * both[..., self.width :] * x, hidden)


class Gru(nn.Module):
    """The gated recurrent unit (Cho et al., 2014); over stretches torch's own, one tick written out for export."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.cell = nn.GRU(width, width, batch_first=True)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Return h (B, T, d) from x (B, T, d) and the last tick's h (B, d); of one tick, both are (B, d)."""
        if x.dim() == hidden.dim():
            return self._step(x, hidden)
        h: Tensor = self.cell(x, hidden[None].contiguous())[0]
        return h

    def _step(self, x: Tensor, hidden: Tensor) -> Tensor:
        cell, d = self.cell, self.width
        of_inputs, of_hidden, bias_inputs, bias_hidden = (cell.get_parameter(name) for name in GRU_PARTS)
        given = nn.functional.linear(x, of_inputs, bias_inputs)
        held = nn.functional.linear(hidden, of_hidden, bias_hidden)
        reset = torch.sigmoid(given[:, :d] + held[:, :d])
        keep = torch.sigmoid(given[:, d : 2 * d] + held[:, d : 2 * d])
        fresh = torch.tanh(given[:, 2 * d :] + reset * held[:, 2 * d :])
        return fresh + keep * (hidden - fresh)


CELLS = {"mingru": MinGru, "rg_lru": RgLru, "gru": Gru}
"""The recurrent trunks by the word that `model.trunk` says."""


class RecurrentLayer(nn.Module):
    """Pre-norm recurrence beside a gate of the present tick, then a feed-forward: a band layer's place in a trunk."""

    def __init__(self, config: HalConfig) -> None:
        super().__init__()
        d = config.width
        self.norm = nn.LayerNorm(d)
        self.cell = CELLS[config.trunk](d)
        self.beside = nn.Linear(d, d)
        self.out = nn.Linear(d, d)
        self.norm_wide = nn.LayerNorm(d)
        self.wide = nn.Linear(d, config.feed_forward)
        self.narrow = nn.Linear(config.feed_forward, d)
        self.drop = LockedDropout(config.dropout)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return x (B, T, d), or (B, d) of one tick, and the cell's vector (B, d) after it."""
        normed = self.norm(x)
        h = self.cell(normed, hidden)
        x = x + self.drop(self.out(h * nn.functional.silu(self.beside(normed))))
        x = x + self.drop(self.narrow(nn.functional.silu(self.wide(self.norm_wide(x)))))
        return x, h if h.dim() == hidden.dim() else h[:, -1]


def _spans(width: int) -> Tensor:
    """Return (d,) memories in ticks, evenly spread over their logarithms."""
    return torch.exp(torch.linspace(0.0, math.log(LONGEST_TICKS), width))


def leak(gates: Tensor, candidate: Tensor, context: Tensor) -> Tensor:
    """Unroll c_t = (1 - g_t) c_{t-1} + g_t c~_t over gates (B, T, 1) as one weighted sum instead of T steps.

    The weight of tick s at tick t is g_s times the product of (1 - g) over the ticks behind s up to t. Sums of
    logarithms are taken in double precision: over long stretches they grow, and their differences count.
    """
    kept = torch.log((1.0 - gates[..., 0].double()).clamp(min=1e-30)).cumsum(1)  # (B, T) from the stretch's start
    ticks = gates.shape[1]
    past = torch.ones(ticks, ticks, dtype=torch.bool).tril()
    share = torch.exp((kept[:, :, None] - kept[:, None, :]).masked_fill(~past, -torch.inf)).float()  # (B, T, T)
    return (
        torch.matmul(share * gates.transpose(1, 2), candidate) + torch.exp(kept).float()[..., None] * context[:, None]
    )


def due_ticks(clock: Tensor, continued: Tensor, ticks: int) -> tuple[Tensor, Tensor]:
    """Return which of T ticks are every n-th of their stream, (B, T, 1) of 0 and 1, and the clock (B, n) after them.

    The clock is 1 at the place of the tick that is next, counted round; a stream that begins, whose `continued` (B, 1)
    is 0, is at its first.
    """
    count = clock.shape[1]
    begun = torch.cat([torch.ones_like(continued), torch.zeros_like(clock[:, 1:])], 1)
    now = continued * clock + (1.0 - continued) * begun
    due = torch.cat([now[:, place : place + 1] for place in (-tick % count for tick in range(ticks))], 1)
    turned = ticks % count
    following = torch.cat([now[:, count - turned :], now[:, : count - turned]], 1) if turned else now
    return due[:, :, None], following
