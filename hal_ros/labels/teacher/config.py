"""The teacher's settings. Reading them needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hal_ros.core.errors import ConfigError

if TYPE_CHECKING:
    from hal_ros.labels.teacher.network import PyramidConfig

CHOICES = {
    "bands": ("pyramid", "flat"),
    "start": ("durations", "uniform", "video"),
    "aligner": ("durations", "boundaries", "posterior"),
    "prior": ("transition", "standard"),
}


@dataclass(frozen=True)
class TeacherConfig:
    """One teacher. A weight of 0 switches a loss term off; with elbo and slowness 0 nothing of HAL is in it."""

    # the network
    width: int = 64
    heads: int = 4
    layers: int = 5
    bands: str = "pyramid"  # or "flat"
    feed_forward: int = 128
    visual_layer: int = 2
    visual_width: int = 48
    action_width: int = 48
    dropout: float = 0.1
    literal: bool = False  # the published variant: the classifier reads the trunk, both latents are side branches
    # the schedule: first epochs on the start's labels, the others on alignments that are refreshed
    start: str = "durations"  # "uniform" lengths, or "video": no frame labels at first, as published
    start_epochs: int = 10
    epochs: int = 0  # refreshed alignments drift away from a good start (docs/log.md)
    refresh_epochs: int = 1
    stride_ticks: int = 2
    batch_clips: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup: float = 0.03  # share of all batches
    gradient_clip: float = 1.0
    threads: int = 1
    # the alignment
    aligner: str = "durations"  # "boundaries": transition-aware, as published; "posterior": lengths at will
    soft: bool = True  # learn from posteriors, not from the labels of the likeliest alignment
    temper: float = 0.5  # of frame-wise evidence, for neighbouring ticks tell the same
    prior_share: float = 0.5  # how much of the actions' frequency is divided out of the network's probabilities
    # the targets, where not all is told (docs/training.md)
    doubt_discount: float = 0.0  # an aligned tick weighs the probability of its likeliest action to this power
    pseudo_labels: float = 0.0  # in mixed supervision: weight of the teacher's answers where nothing is told; 0: none
    # the losses
    video: float = 0.1  # L_vid
    contrast: float = 0.0  # L_glc
    elbo: float = 0.0  # alpha
    kl: float = 0.01  # of the divergences inside the bound
    kl_warmup: float = 0.3  # share of the epochs until the divergences count in full
    free_bits: float = 0.1  # nats per dimension
    prior: str = "transition"  # of the latents, or "standard"
    slowness: float = 0.0  # beta
    slowness_floor: float = 0.1  # delta
    background: tuple[int, ...] = ()  # action ids that count less in the frame loss
    background_weight: float = 0.8

    def __post_init__(self) -> None:
        """Raise ConfigError for values that no run could use."""
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"teacher.{name} is {getattr(self, name)!r}; expected {' or '.join(allowed)}")
        above = self.literal + 1
        if not 1 <= self.visual_layer <= self.layers - above:
            raise ConfigError(f"teacher.visual_layer is {self.visual_layer}; expected 1 to {self.layers - above}")
        if self.width % self.heads:
            raise ConfigError(f"teacher.heads is {self.heads}; expected a divisor of teacher.width, {self.width}")
        for name in (
            "start_epochs",
            "epochs",
            "video",
            "contrast",
            "elbo",
            "kl",
            "free_bits",
            "slowness",
            "doubt_discount",
        ):
            _expect(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        for name in ("stride_ticks", "batch_clips", "refresh_epochs", "threads"):
            _expect(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        _expect(0 <= self.pseudo_labels <= 1, "pseudo_labels", self.pseudo_labels, "within [0, 1]")
        _expect(0 < self.temper <= 1, "temper", self.temper, "within (0, 1]")
        _expect(self.start_epochs + self.epochs >= 1, "epochs", self.epochs, "an epoch at least, start_epochs included")

    def pyramid(self, actions: int, features: int) -> PyramidConfig:
        """Return the architecture for K actions and F features."""
        from hal_ros.labels.teacher.network import PyramidConfig  # late: it needs torch

        return PyramidConfig(
            actions,
            features,
            width=self.width,
            heads=self.heads,
            layers=self.layers,
            bands=self.bands,
            feed_forward=self.feed_forward,
            visual_layer=self.visual_layer,
            visual_width=self.visual_width,
            action_width=self.action_width,
            dropout=self.dropout,
            literal=self.literal,
        )


def _expect(holds: bool, key: str, value: object, expected: str) -> None:
    if not holds:
        raise ConfigError(f"teacher.{key} is {value}; expected {expected}")
