"""The learned baselines by name: how each network is made, and the numbers of its training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hal_ros.baselines.networks.asformer import AsFormer
from hal_ros.baselines.networks.causal_asformer import CausalAsFormer
from hal_ros.baselines.networks.causal_tcn import CausalTcn
from hal_ros.baselines.networks.diffact import DiffAct
from hal_ros.baselines.networks.gru import GruModel
from hal_ros.baselines.networks.mini_road import MiniRoad
from hal_ros.baselines.networks.ms_tcn import MsTcn
from hal_ros.baselines.networks.online_tas import OnlineTas
from hal_ros.baselines.networks.pro_tas import ProTas
from hal_ros.baselines.sequence import SequenceModel, Size
from hal_ros.baselines.sequence_batches import Sampling, plan
from hal_ros.baselines.sequence_loss import TermWeights
from hal_ros.core.errors import ConfigError

NETWORKS: Mapping[str, Callable[[int, int, int, Size], SequenceModel]] = {
    "gru": lambda inputs, actions, _, size: GruModel(inputs, actions, size),
    "causal_tcn": lambda inputs, actions, _, size: CausalTcn(inputs, actions, size),
    "causal_asformer": lambda inputs, actions, _, size: CausalAsFormer(inputs, actions, size),
    "mini_road": lambda inputs, actions, _, size: MiniRoad(inputs, actions, size),
    "online_tas": lambda inputs, actions, _, size: OnlineTas(inputs, actions, size),
    "pro_tas": ProTas,
    "ms_tcn": MsTcn,
    "asformer": AsFormer,
    "diffact": DiffAct,
}
"""How the network of each kind is made, of inputs F, actions K, the lag in ticks and its size."""


COUNTS = ("width", "layers", "stages", "epochs", "batch", "piece_ticks", "window_stride_ticks", "threads")
ADDED = ("clip_ticks", "sampling_steps", "validate_every")
"""Settings that 0.1.0 did not have: stored where they are not the default, so that its jobs keep their hashes."""


@dataclass(frozen=True)
class SequenceConfig:
    """One baseline's numbers; `presets.PRESETS` holds those of the tables."""

    kind: str = "gru"  # one of NETWORKS
    width: int = 128
    layers: int = 7  # of each stage; the GRU has one
    stages: int = 3  # likewise
    dropout: float = 0.2
    input_dropout: float = 0.0  # share of the input columns that are away for a whole piece
    epochs: int = 12
    least_batches: int = 250  # of the whole training: few clips are gone through as much oftener
    batch: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warmup: float = 0.05  # share of all batches
    gradient_clip: float = 1.0
    label_smoothing: float = 0.0
    transition: float = 0.15  # weight of T-MSE
    piece_ticks: int = 512  # longer clips are cut, at other places in every epoch
    window_ticks: int = 0  # 0: no windows but whole clips
    window_stride_ticks: int = 16
    loss_ticks: int = 0  # at each window's end; 0: all
    threads: int = 1
    clip_ticks: int = 128  # w of OnlineTAS: its window, its memory
    sampling_steps: int = 25  # of DiffAct: how often an answer is denoised
    validate_every: int = 1  # ticks; in validation an answer is held so long, where a new one is costly (OnlineTAS)

    def __post_init__(self) -> None:
        """Raise ConfigError for values that no run could use."""
        if self.kind not in NETWORKS:
            raise ConfigError(f"kind is {self.kind!r}; expected one of {', '.join(NETWORKS)}")
        for name in (
            "width",
            "layers",
            "stages",
            "epochs",
            "batch",
            "piece_ticks",
            "window_stride_ticks",
            "threads",
            *ADDED,
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 1 or more")
        if self.window_ticks < 0 or not 0 <= self.loss_ticks <= self.window_ticks:
            raise ConfigError(
                f"window_ticks is {self.window_ticks} and loss_ticks {self.loss_ticks}; expected 0 <= loss <= window"
            )

    @property
    def loss_weights(self) -> TermWeights:
        """How the terms of the loss count."""
        return TermWeights(self.label_smoothing, self.transition)

    @property
    def sampling(self) -> Sampling:
        """How the clips are cut."""
        return Sampling(self.batch, self.piece_ticks, self.window_ticks, self.window_stride_ticks, self.loss_ticks)

    def epochs_for(self, lengths: Sequence[int]) -> int:
        """Return how often clips of these lengths are gone through."""
        batches = len(plan(lengths, self.sampling, np.random.default_rng(0)))
        return max(self.epochs, math.ceil(self.least_batches / batches))


def settings_of(config: SequenceConfig) -> dict[str, Any]:
    """Return the settings as they are stored and hashed; undone by SequenceConfig(**settings)."""
    default = SequenceConfig()
    return {
        name: value
        for name, value in dataclasses.asdict(config).items()
        if name not in ADDED or value != getattr(default, name)
    }


def build(config: SequenceConfig, inputs: int, actions: int, lag_ticks: int) -> SequenceModel:
    """Return an untrained model."""
    size = Size(**{field.name: getattr(config, field.name) for field in dataclasses.fields(Size)})
    return NETWORKS[config.kind](inputs, actions, lag_ticks, size)
