"""One training run's settings: a YAML file read into frozen dataclasses; an unknown or mistyped key is an error."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hal_ros.core.decoding.decode import KINDS
from hal_ros.core.errors import ConfigError
from hal_ros.core.printable import one_line
from hal_ros.datasets.config import EPISODES, DataConfig, NamedStreams, check_encoder, check_groups, check_streams
from hal_ros.fit.settings import Names, build, merged
from hal_ros.fit.settings_file import read_settings
from hal_ros.labels.teacher.config import TeacherConfig

ANNOTATIONS, TRANSCRIPTS, MIXED = "annotations", "transcripts", "mixed"
"""What a run learns from: frame labels, the ordered actions alone, or all that there is of either, and marks."""
RETIRED = {"realign": False}
"""Settings that there are no longer, with the values under which older checkpoints stay readable."""
RENAMED = {
    "eye.numb": "joints_masked",
    "batches.numb": "joints_masked",
    "batches.blind": "camera_masked",
    "model.seen_dropout": "attended_dropout",
}
"""What settings were called in 0.1.0: files may say so, and checkpoints do."""
TRUNKS = ("band", "mingru", "rg_lru", "gru")
"""What reads sequences: attention over a band of ticks, or recurrent layers (`nn.recurrence.CELLS`)."""
FEWEST_EPOCHS = 12
"""How often the student goes through its clips where nobody says so, and where these are many."""
AUTO = "auto"
"""Of the decoder: the kind that does best on validation."""
ADDED: dict[str, Any] = {
    "data.streams": NamedStreams(),
    "data.encoder": "",
    "data.groups": "",
    "data.group_by": "",
    "data.background": (),
    "teacher.doubt_discount": 0.0,
    "teacher.pseudo_labels": 0.0,
    "eye.stream_masked": 0.1,
    "batches.stream_masked": 0.2,
    "batches.offset": 0.0,
    "batches.scale": 0.0,
    "batches.noise": 0.0,
    "batches.warp": 0.0,
    "model.differences": (),
    "model.trunk": "band",
    "model.recurrent_layers": 2,
    "model.short_lookback": (),
    "model.context_gate": "scalar",
    "model.context_every": 1,
    "optimiser.least_steps": 1000,  # which count where `epochs` is 0 alone, as it could not be
    "optimiser.patience": 0.0,
    "optimiser.average": 0.0,
}
"""Settings that 0.1.0 did not have, and what it did: stored where they differ, so that its runs keep their hashes."""

WIDEST = 100_000
"""Values in a network's layer."""


@dataclass(frozen=True)
class EyeSettings:
    """The eye (`nn.joint_guided_attention.EyeConfig` adds what the data decides) and its training on ticks."""

    width: int = 128  # of what it sees
    cell_width: int = 32
    gazes: int = 12
    keypoints: int = 24
    dropout: float = 0.1
    noise: float = 0.5
    epochs: int = 10
    share: float = 0.5  # of the ticks, how many an epoch shows: neighbours look alike
    batch_ticks: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.0
    joint_dropout: float = 0.1  # per tick and name of a state: it is away
    joints_masked: float = 0.1  # per tick: all states are away
    stream_masked: float = 0.1  # per tick: one of several states is away


@dataclass(frozen=True)
class ModelConfig:
    """The architecture of what reads sequences; see `nn.hal.HalConfig`, which adds what the data decides."""

    width: int = 96
    heads: int = 4
    lookback: tuple[int, ...] = (3, 5, 9, 17, 33, 65)
    feed_forward: int = 192
    visual_width: int = 32
    dropout: float = 0.1
    attended_dropout: float = 0.1
    classifier_reads: str = "context"
    gate: bool = True
    differences: tuple[int, ...] = (1, 4)  # ticks: state values are also read as their change since so long ago
    trunk: str = "rg_lru"  # or "mingru", "gru": recurrent layers over attention of `short_lookback`; or "band"
    recurrent_layers: int = 2
    short_lookback: tuple[int, ...] = ()
    context_gate: str = "scalar"  # or "vector"
    context_every: int = 1  # ticks: the action latent changes at every n-th tick alone


@dataclass(frozen=True)
class BatchConfig:
    """How clips become batches, and what is taken away at random so that the model lives without it."""

    streams: int = 16
    chunk_ticks: int = 48
    late_start: float = 0.5  # share of clips that are entered in the middle
    held: float = 0.01  # per tick: a gap of one to `max_held_ticks` ticks begins
    camera_masked: float = 0.05  # per chunk: all cameras are away for a stretch
    joints_masked: float = 0.03  # per chunk: all states are away for a stretch
    joint_dropout: float = 0.05  # per chunk and name of a state: it is away
    stream_masked: float = 0.2  # per chunk, of several cameras and of several states: one of them is away for a stretch
    offset: float = 0.0  # per clip and state value, in its standard deviations: another person, another calibration
    scale: float = 0.0  # likewise, the spread of the logarithm of a factor
    noise: float = 0.0  # per tick and state value, in its standard deviations
    warp: float = 0.0  # per clip, the spread of the logarithm of its speed


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW with warm-up and cosine decay."""

    epochs: int = 0  # 0: FEWEST_EPOCHS, or as many as `least_steps` need
    learning_rate: float = 2.5e-3
    weight_decay: float = 0.05
    warmup: float = 0.05  # share of all batches
    gradient_clip: float = 1.0
    least_steps: int = 1000  # without a number of epochs: few clips are gone through oftener, until there are so many
    patience: float = 0.0  # share of all epochs: the training ends where none so long was better; 0: it goes on
    average: float = 0.0  # what is kept is an average over so many steps as 1 / (1 - average); 0: the last step's


@dataclass(frozen=True)
class LossConfig:
    """Weights of the loss terms; see `nn.losses.LossWeights`."""

    lagged: float = 1.0
    label_smoothing: float = 0.05
    transition: float = 0.15
    slowness: float = 0.0
    slowness_floor: float = 0.1
    boundary: float = 0.0
    reconstruction: float = 0.0
    kl: float = 0.0
    prior: str = "transition"


@dataclass(frozen=True)
class TrainConfig:
    """One run. The same file gives the same weights on one machine with one thread."""

    name: str = "tabletop"
    seed: int = 0
    threads: int = 1
    supervision: str = ANNOTATIONS
    decoder: str = AUTO  # of the confirmed answers; its numbers are fitted on validation
    data: DataConfig = field(default_factory=DataConfig)
    eye: EyeSettings = field(default_factory=EyeSettings)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    batches: BatchConfig = field(default_factory=BatchConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    losses: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        """Raise ConfigError for values that no run could use."""
        known = (ANNOTATIONS, TRANSCRIPTS, MIXED)
        _expect(self.supervision in known, "supervision", self.supervision, " or ".join(map(repr, known)))
        decoders = (AUTO, *KINDS)
        _expect(self.decoder in decoders, "decoder", self.decoder, " or ".join(map(repr, decoders)))
        _expect(self.data.stride >= 1, "data.stride", self.data.stride, ">= 1")
        _expect(0 < self.data.validation < 1, "data.validation", self.data.validation, "within (0, 1)")
        _expect(self.threads >= 1, "threads", self.threads, ">= 1")
        _expect(0 < self.data.rate_hz <= 100, "data.rate_hz", self.data.rate_hz, "within (0, 100]")
        _expect(0 <= self.data.lag_ticks <= 10_000, "data.lag_ticks", self.data.lag_ticks, "0 to 10000")
        _expect(0 <= self.data.encoder_stage <= 6, "data.encoder_stage", self.data.encoder_stage, "0 to 6")
        _expect(1 <= self.data.processes <= 64, "data.processes", self.data.processes, "1 to 64")
        self._check_sizes()
        _expect(len(self.model.lookback) >= 2, "model.lookback", self.model.lookback, "two layers or more")
        _expect(min(self.model.lookback) >= 2, "model.lookback", self.model.lookback, "two ticks or more each")
        self._check_trunk()
        reads = self.model.classifier_reads
        _expect(reads in ("context", "trunk"), "model.classifier_reads", reads, "'context' or 'trunk'")
        prior = self.losses.prior
        _expect(prior in ("standard", "transition"), "losses.prior", prior, "'standard' or 'transition'")
        _expect(0 < self.eye.share <= 1, "eye.share", self.eye.share, "within (0, 1]")
        _expect(self.eye.batch_ticks >= 1, "eye.batch_ticks", self.eye.batch_ticks, ">= 1")
        _expect(self.batches.streams >= 1, "batches.streams", self.batches.streams, ">= 1")
        _expect(self.batches.chunk_ticks >= 2, "batches.chunk_ticks", self.batches.chunk_ticks, ">= 2")
        for name in ("offset", "scale", "noise", "warp"):
            value = getattr(self.batches, name)
            _expect(0 <= value <= 2, f"batches.{name}", value, "within [0, 2]")
        _expect(self.optimiser.epochs >= 0, "optimiser.epochs", self.optimiser.epochs, ">= 0")
        steps = self.optimiser.least_steps
        _expect(0 <= steps <= 1_000_000, "optimiser.least_steps", steps, "0 to 1000000")
        for name in ("patience", "average"):
            value = getattr(self.optimiser, name)
            _expect(0 <= value < 1, f"optimiser.{name}", value, "within [0, 1)")
        actions = self.data.actions
        named = all(action.strip() for action in actions) and len(set(actions)) == len(actions)
        _expect(named, "data.actions", actions, "names that are not empty, all different")
        check_streams(self.data)
        check_encoder(self.data)
        check_groups(self.data)

    def _check_sizes(self) -> None:
        plain = self.name not in ("", ".", "..") and "/" not in self.name and one_line(self.name) == self.name
        _expect(plain, "name", self.name, "the plain name of a folder")
        _expect(0 <= self.seed < 1 << 32, "seed", self.seed, "0 to 4294967295")
        for part, name in ((self.model, "model"), (self.teacher, "teacher")):
            _expect(1 <= part.width <= WIDEST, f"{name}.width", part.width, f"1 to {WIDEST}")
            fits = part.heads >= 1 and part.width % part.heads == 0
            _expect(fits, f"{name}.heads", part.heads, f"a divisor of {name}.width")

    def _check_trunk(self) -> None:
        model = self.model
        _expect(model.trunk in TRUNKS, "model.trunk", model.trunk, " or ".join(map(repr, TRUNKS)))
        _expect(1 <= model.recurrent_layers <= 16, "model.recurrent_layers", model.recurrent_layers, "1 to 16")
        short = model.short_lookback
        _expect(all(ticks >= 2 for ticks in short), "model.short_lookback", short, "two ticks or more each")
        gates = ("scalar", "vector")
        _expect(model.context_gate in gates, "model.context_gate", model.context_gate, " or ".join(map(repr, gates)))
        _expect(1 <= model.context_every <= 64, "model.context_every", model.context_every, "1 to 64 ticks")
        lags = model.differences
        _expect(all(1 <= ticks <= 1000 for ticks in lags), "model.differences", lags, "1 to 1000 ticks each")


def _expect(holds: bool, key: str, value: object, expected: str) -> None:
    if not holds:
        raise ConfigError(f"{key} is {value!r}; expected {expected}")


def load_config(path: Path) -> TrainConfig:
    """Read a YAML file; keys that are left out keep their defaults, or the values of the file that `base` names.

    Raises ConfigError naming the nearest valid key, and for feature vectors whose rate nobody says.
    """
    mapping = read_settings(path)
    if isinstance(mapping, dict) and "base" in mapping:
        own = {key: value for key, value in mapping.items() if key != "base"}
        mapping = merged(read_settings(path.parent / str(mapping["base"])), own)
    config = config_from_mapping(mapping)
    if config.data.layout != EPISODES and "rate_hz" not in mapping["data"]:
        raise ConfigError(
            f"data.rate_hz is missing in {path}; expected the ticks a second of the features, every data.stride-th "
            "frame of which is one: latencies and seconds depend on it"
        )
    return config


def config_from_mapping(mapping: dict[str, Any]) -> TrainConfig:
    """Build the configuration from nested mappings (of YAML, or of a checkpoint's JSON)."""
    if isinstance(mapping, dict):
        mapping = {key: value for key, value in mapping.items() if (key, value) not in RETIRED.items()}
    config = build(TrainConfig, mapping, Names(RENAMED, RETIRED))
    assert isinstance(config, TrainConfig)
    return config


def config_from_saved(mapping: Mapping[str, Any]) -> TrainConfig:
    """Build the configuration from what `to_mapping` or `in_saved_names` gave: what is not in it is as it was in 0.1.0.

    A file that a person writes has today's defaults instead; see `config_from_mapping`.
    """
    sections = {name: dict(part) if isinstance(part, Mapping) else part for name, part in mapping.items()}
    for key, before in ADDED.items():
        section, name = key.split(".")
        if name not in sections.setdefault(section, {}) and not dataclasses.is_dataclass(before):
            sections[section][name] = before
    return config_from_mapping(sections)


def to_mapping(config: TrainConfig) -> dict[str, Any]:
    """Return the settings as checkpoints and hashes hold them: as 0.1.0 did, so that its runs are found and go on."""
    saved = in_saved_names(dataclasses.asdict(config))
    before = list(saved)[: list(saved).index("data")]
    return {**{key: saved[key] for key in before}, **RETIRED, **saved}


def in_saved_names(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Return sections of a run's settings by the names under which they are stored, in the same order."""
    saved = {(old.split(".")[0], new): old.split(".")[1] for old, new in RENAMED.items()}
    return {
        section: {saved.get((section, key), key): each for key, each in value.items() if _is_stored(section, key, each)}
        if isinstance(value, Mapping)
        else value
        for section, value in sections.items()
    }


def _is_stored(section: str, key: str, value: Any) -> bool:
    """Tell whether a setting differs from what there was before it."""
    if f"{section}.{key}" not in ADDED:
        return True
    before = ADDED[f"{section}.{key}"]
    before = dataclasses.asdict(before) if dataclasses.is_dataclass(before) and not isinstance(before, type) else before
    value = tuple(value) if isinstance(value, list) else value
    return bool(value != before)
