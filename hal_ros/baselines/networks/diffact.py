"""DiffAct (Liu et al., ICCV 2023): answers are denoised from noise, with the clip's features as condition. Offline.

An encoder answers by itself, and three of its layers, every second up to the last, are the condition. A decoder makes
the answer of a noisy one; in use it does so `sampling_steps` times, from pure noise (DDIM; always one draw of it, so
that a clip has one answer). In training the condition is masked in one of four ways: not at all, everywhere (where do
actions lie?), near boundaries (what is said of unclear ticks?), or wherever one random action of the clip is (what must
be between its neighbours?), the last twice as often. A layer: a convolution plus attention over the same five dilated
taps, a norm over time, two linear layers.
Published for GTEA: encoder of ten layers of 64 channels, decoder of eight of 24, 25 of 1000 steps, signal scale 0.5,
dropout 0.5, Adam with learning rate 5e-4, batches of 4 for 10 000 epochs. Left out: its weights by class and its filter
of the answers, which no other system of the tables has.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hal_ros.baselines.networks.diffusion import STEPS, denoised, disturbed, jumps, signal_shares, step_embedding
from hal_ros.baselines.networks.norms import norm_over_time
from hal_ros.baselines.sequence import NOW, Size, WholeClipModel
from hal_ros.baselines.sequence_loss import TermWeights, WindowBatch
from hal_ros.nn.losses import JUMP_CAP

TAPS = 5
MASKED = -1e4
DECODER_SHARE, DECODER_LAYERS, DECODER_DROPOUT = 3 / 8, 8, 0.1
"""The decoder's width as a share of the encoder's, and its most layers."""
STEP_WIDTH = 512
SCALE = 0.5
"""Answers in 0..1 stand as -SCALE..SCALE among the noise."""
ANSWER_WEIGHT, BOUNDARY_WEIGHT = 0.5, 0.1
BOUNDARY_SPREAD_TICKS = 1.0
NEAR_BOUNDARY = 0.3
"""From this boundary value on a tick counts as unclear."""
MASKINGS = ("none", "all", "boundaries", "action", "action")
NOISE_SEED, NOISE_PERIOD_TICKS = 0, 4096


class DiffAct(WholeClipModel):
    """Encoder and decoder. The steps stand where other systems have stages; the last one is the answer."""

    shares: Tensor

    def __init__(self, inputs: int, actions: int, lag_ticks: int, size: Size) -> None:
        super().__init__(inputs, actions, lag_ticks, size.input_dropout)
        width, layers = size.width, size.layers
        self.sampling_steps = size.sampling_steps
        self.tapped = sorted({max(0, layers - 1 - back) for back in (0, 2, 4)})
        self.drop_ticks = nn.Dropout1d(size.dropout)
        self.first = nn.Linear(inputs, width)
        self.layers = nn.ModuleList(MixedLayer(width, 0, 2**index, size.dropout) for index in range(layers))
        self.last = nn.Linear(width, actions)
        self.decoder = NoiseDecoder(actions, width, len(self.tapped) * width, min(layers, DECODER_LAYERS))
        self.register_buffer("shares", signal_shares(), persistent=False)
        # of encoder and decoder; what is denoised again reaches further, but changes less each time
        self.reach_ticks = TAPS // 2 * (sum(2**index for index in range(layers)) + self.decoder.reach)

    @property
    def receptive_field_ticks(self) -> None:
        """The norms over time see the whole clip."""
        return

    def look(self, inputs: Tensor, shown: Tensor, first_tick: int) -> Tensor:
        """Return logits (1, B, T, K) of the last step."""
        _, condition = self._encode(inputs, shown)
        noise = self._noise(first_tick, inputs.shape[1])
        x, said = noise[0], condition
        for (step, target), fresh in zip(jumps(self.sampling_steps), noise[1:], strict=True):
            x = x.expand(len(inputs), -1, -1)
            said = self._decode(x, condition, torch.full((len(inputs),), step), shown)
            if target >= 0:
                answer = SCALE * (2 * torch.softmax(said, -1) - 1)
                x = denoised(x, answer, fresh, (self.shares[step], self.shares[target]))
        return said[None]

    def loss(self, batch: WindowBatch, weights: TermWeights) -> Tensor:
        """Return the losses of the encoder's answers and of the decoder's, made of answers with noise."""
        shown, known = batch.mask[..., None], batch.weight[:, :, NOW]
        wanted = torch.where(known[..., None] > 0, batch.targets[:, :, NOW], 1 / self.actions)
        boundary = boundaries(wanted.argmax(-1), known)
        said, condition = self._encode(batch.inputs, shown)
        steps = torch.randint(STEPS, (len(wanted),))
        noisy = disturbed(SCALE * (2 * wanted - 1), self.shares[steps, None, None], torch.randn_like(wanted))
        condition = condition * self._masking(wanted.argmax(-1), boundary)[..., None]
        decoded = self._decode(noisy, condition, steps, shown)
        answers = answer_loss(said, wanted, known, weights) + answer_loss(decoded, wanted, known, weights)
        return answers + BOUNDARY_WEIGHT * boundary_loss(decoded, boundary, known)

    def _encode(self, inputs: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
        """Return the encoder's logits (B, T, K) and the condition (B, T, C)."""
        hidden, tapped = self.first(self.drop_ticks(self.standard(inputs)) * shown) * shown, []
        for index, layer in enumerate(self.layers):
            hidden = layer(hidden, None, shown)
            if index in self.tapped:
                tapped.append(hidden)
        return self.last(hidden), torch.cat(tapped, -1)

    def _decode(self, x: Tensor, condition: Tensor, steps: Tensor, shown: Tensor) -> Tensor:
        """Return logits (B, T, K) from noisy answers (B, T, K)."""
        within = (x.clamp(-SCALE, SCALE) / SCALE + 1) / 2
        return self.decoder(within * shown, condition, steps, shown)

    def _masking(self, labels: Tensor, boundary: Tensor) -> Tensor:
        """Return which ticks' features the decoder may see (B, T), in one way for the whole batch."""
        way = MASKINGS[int(torch.randint(len(MASKINGS), ()))]
        if way == "boundaries":
            return (boundary < NEAR_BOUNDARY).float()
        if way == "action":
            at = torch.randint(labels.shape[1], (len(labels), 1))
            return (labels != labels.gather(1, at)).float()
        return torch.full_like(boundary, float(way == "none"))

    def _noise(self, first_tick: int, ticks: int) -> Tensor:
        """Return (steps + 1, T, K): the start and what each step adds; a tick has the same in whatever chunk."""
        generator = torch.Generator().manual_seed(NOISE_SEED)
        drawn = torch.randn(self.sampling_steps + 1, NOISE_PERIOD_TICKS, self.actions, generator=generator)
        return drawn[:, torch.arange(first_tick, first_tick + ticks) % NOISE_PERIOD_TICKS]


class NoiseDecoder(nn.Module):
    """Noisy answers (B, T, K), condition (B, T, C) and step (B,) -> logits (B, T, K)."""

    def __init__(self, actions: int, encoder_width: int, condition: int, layers: int) -> None:
        super().__init__()
        width = max(2, round(DECODER_SHARE * encoder_width))
        self.reach = sum(2**index for index in range(layers))
        self.step = nn.Sequential(
            nn.Linear(STEP_WIDTH, STEP_WIDTH), nn.SiLU(), nn.Linear(STEP_WIDTH, STEP_WIDTH), nn.SiLU()
        )
        self.at_step = nn.Linear(STEP_WIDTH, width)
        self.first, self.last = nn.Linear(actions, width), nn.Linear(width, actions)
        self.layers = nn.ModuleList(MixedLayer(width, condition, 2**index, DECODER_DROPOUT) for index in range(layers))

    def forward(self, x: Tensor, condition: Tensor, steps: Tensor, shown: Tensor) -> Tensor:
        """Return logits."""
        at_step = self.at_step(self.step(step_embedding(steps, STEP_WIDTH)))
        hidden = (self.first(x) + at_step[:, None]) * shown
        for layer in self.layers:
            hidden = layer(hidden, condition, shown)
        return self.last(hidden)


class MixedLayer(nn.Module):
    """x + W relu(V norm(convolution + attention)), both over the same dilated taps around a tick."""

    def __init__(self, width: int, condition: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilation = dilation
        self.convolve = nn.Linear(TAPS * width, width)
        self.query, self.key = nn.Linear(width + condition, width), nn.Linear(width + condition, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, condition: Tensor | None, shown: Tensor) -> Tensor:
        """Return (B, T, width)."""
        inside = self.drop(x)
        asks = inside if condition is None else torch.cat([inside, self.drop(condition)], -1)
        there = self._taps(shown)[..., 0]  # (B, T, taps)
        scores = (self.query(asks)[:, :, None] * self._taps(self.key(asks))).sum(-1) * x.shape[-1] ** -0.5
        attention = torch.softmax(scores.masked_fill(there == 0, MASKED), -1)
        seen = (attention[..., None] * self._taps(self.value(inside))).sum(2)
        both = self.convolve(self._taps(inside * shown).flatten(2)) + seen
        return (x + self.out(norm_over_time(both, shown))) * shown

    def _taps(self, x: Tensor) -> Tensor:
        """Return (B, T, taps, C) from (B, T, C); beyond either end stand zeros."""
        side, ticks = TAPS // 2 * self.dilation, x.shape[1]
        whole = nn.functional.pad(x, (0, 0, side, side))
        return torch.stack([whole[:, tap * self.dilation : tap * self.dilation + ticks] for tap in range(TAPS)], 2)


# --- losses -----------------------------------------------------------------------------------------------------------


def boundaries(labels: Tensor, known: Tensor) -> Tensor:
    """Return (B, T) 1 at either side of a change of labels (B, T), less with distance, as a Gaussian."""
    moved = ((labels[:, 1:] != labels[:, :-1]) & (known[:, 1:] * known[:, :-1] > 0)).float()
    edge = torch.maximum(nn.functional.pad(moved, (1, 0)), nn.functional.pad(moved, (0, 1)))
    side = round(3 * BOUNDARY_SPREAD_TICKS)
    whole, ticks = nn.functional.pad(edge, (side, side)), edge.shape[1]
    away = [(abs(shift - side) / BOUNDARY_SPREAD_TICKS) ** 2 / 2 for shift in range(2 * side + 1)]
    near = [whole[:, shift : shift + ticks] * torch.tensor(-far).exp() for shift, far in enumerate(away)]
    return torch.stack(near).amax(0)


def answer_loss(logits: Tensor, wanted: Tensor, known: Tensor, weights: TermWeights) -> Tensor:
    """Return cross-entropy and truncated jumps of logits (B, T, K), as means over the ticks that count (B, T)."""
    log_probs = torch.log_softmax(logits, -1)
    wanted = (1 - weights.label_smoothing) * wanted + weights.label_smoothing / logits.shape[-1]
    told = (-(wanted * log_probs).sum(-1) * known).sum() / known.sum().clamp(min=1.0)
    jump = (log_probs[:, 1:] - log_probs[:, :-1].detach()).abs().clamp(max=JUMP_CAP).square().mean(-1)
    pair = (known[:, 1:] * known[:, :-1] > 0).float()
    return ANSWER_WEIGHT * (told + weights.transition * (jump * pair).sum() / pair.sum().clamp(min=1.0))


def boundary_loss(logits: Tensor, boundary: Tensor, known: Tensor) -> Tensor:
    """Return the cross-entropy between boundaries (B, T) and how unlike each tick is to the one before."""
    chances = torch.softmax(logits, -1)
    alike = (chances[:, 1:] * chances[:, :-1].detach()).sum(-1).clamp(1e-6, 1 - 1e-6)
    each = nn.functional.binary_cross_entropy(1 - alike, boundary[:, 1:], reduction="none")
    pair = (known[:, 1:] * known[:, :-1] > 0).float()
    return (each * pair).sum() / pair.sum().clamp(min=1.0)
