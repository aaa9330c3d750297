"""One training run's settings: a YAML file read into frozen dataclasses; an unknown or mistyped key is an error."""

from __future__ import annotations

import dataclasses
import difflib
import re
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hal_ros.core.decoding.decode import KINDS
from hal_ros.core.errors import ConfigError
from hal_ros.datasets.config import EPISODES, DataConfig, check_encoder, check_groups, check_streams
from hal_ros.fit.settings_file import WrittenNumber, read_settings
from hal_ros.labels.teacher.config import TeacherConfig

NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""What no file's name and no message may hold: NUL, and halves of characters."""
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
ADDED = (
    *("data.streams", "data.encoder", "eye.stream_masked", "batches.stream_masked"),
    *("data.groups", "data.group_by", "data.background"),
    *("teacher.doubt_discount", "teacher.pseudo_labels"),
)
"""Settings that 0.1.0 did not have: stored where they are not the default, so that its runs keep their hashes."""


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


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW with warm-up and cosine decay."""

    epochs: int = 12
    learning_rate: float = 2.5e-3
    weight_decay: float = 0.05
    warmup: float = 0.05  # share of all batches
    gradient_clip: float = 1.0


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
    decoder: str = "hysteresis"  # of the confirmed answers; its numbers are fitted on validation
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
        _expect(self.decoder in KINDS, "decoder", self.decoder, " or ".join(map(repr, KINDS)))
        _expect(self.data.stride >= 1, "data.stride", self.data.stride, ">= 1")
        _expect(0 < self.data.validation < 1, "data.validation", self.data.validation, "within (0, 1)")
        _expect(self.threads >= 1, "threads", self.threads, ">= 1")
        _expect(0 < self.data.rate_hz <= 100, "data.rate_hz", self.data.rate_hz, "within (0, 100]")
        _expect(0 <= self.data.lag_ticks <= 10_000, "data.lag_ticks", self.data.lag_ticks, "0 to 10000")
        _expect(0 <= self.data.encoder_stage <= 6, "data.encoder_stage", self.data.encoder_stage, "0 to 6")
        _expect(1 <= self.data.processes <= 64, "data.processes", self.data.processes, "1 to 64")
        _expect(self.model.width % self.model.heads == 0, "model.heads", self.model.heads, "a divisor of model.width")
        _expect(len(self.model.lookback) >= 2, "model.lookback", self.model.lookback, "two layers or more")
        _expect(min(self.model.lookback) >= 2, "model.lookback", self.model.lookback, "two ticks or more each")
        reads = self.model.classifier_reads
        _expect(reads in ("context", "trunk"), "model.classifier_reads", reads, "'context' or 'trunk'")
        prior = self.losses.prior
        _expect(prior in ("standard", "transition"), "losses.prior", prior, "'standard' or 'transition'")
        _expect(0 < self.eye.share <= 1, "eye.share", self.eye.share, "within (0, 1]")
        _expect(self.eye.batch_ticks >= 1, "eye.batch_ticks", self.eye.batch_ticks, ">= 1")
        _expect(self.batches.streams >= 1, "batches.streams", self.batches.streams, ">= 1")
        _expect(self.batches.chunk_ticks >= 2, "batches.chunk_ticks", self.batches.chunk_ticks, ">= 2")
        _expect(self.optimiser.epochs >= 1, "optimiser.epochs", self.optimiser.epochs, ">= 1")
        actions = self.data.actions
        named = all(action.strip() for action in actions) and len(set(actions)) == len(actions)
        _expect(named, "data.actions", actions, "names that are not empty, all different")
        check_streams(self.data)
        check_encoder(self.data)
        check_groups(self.data)


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
        mapping = _merged(read_settings(path.parent / str(mapping["base"])), own)
    config = config_from_mapping(mapping)
    if config.data.layout != EPISODES and "rate_hz" not in mapping["data"]:
        raise ConfigError(
            f"data.rate_hz is missing in {path}; expected the ticks a second of the features, every data.stride-th "
            "frame of which is one: latencies and seconds depend on it"
        )
    return config


def _merged(base: Any, own: Any) -> Any:
    """Return `own`, completed by `base` wherever both are mappings."""
    if not (isinstance(base, dict) and isinstance(own, dict)):
        return own
    return {**base, **{key: _merged(base.get(key), value) for key, value in own.items()}}


def config_from_mapping(mapping: dict[str, Any]) -> TrainConfig:
    """Build the configuration from nested mappings (of YAML, or of a checkpoint's JSON)."""
    if isinstance(mapping, dict):
        mapping = {key: value for key, value in mapping.items() if (key, value) not in RETIRED.items()}
    config = _build(TrainConfig, mapping, "")
    assert isinstance(config, TrainConfig)
    return config


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
    return bool(value != dataclasses.asdict(TrainConfig())[section][key])


def _build(kind: type, mapping: Any, prefix: str) -> Any:
    if not isinstance(mapping, dict):
        raise ConfigError(f"{prefix.rstrip('.') or 'config'} is {mapping!r}; expected a mapping of settings")
    hints = typing.get_type_hints(kind)
    values = {}
    for given, value in mapping.items():
        key = RENAMED.get(f"{prefix}{given}", given)
        if key in values:
            old = next(name for name, new in RENAMED.items() if name.startswith(prefix) and new == key)
            raise ConfigError(f"{old} and {prefix}{key} are one setting; expected one of them")
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"expected one of {', '.join(hints)}"
            hint = "it is there no longer" if key in RETIRED else hint
            raise ConfigError(f"{prefix}{key} is not a setting; {hint}")
        values[key] = _read_as(hints[key], value, f"{prefix}{key}")
    return kind(**values)


def _read_as(wanted: Any, value: Any, key: str) -> Any:
    """Read a section, named sections of one kind, or a single value."""
    if dataclasses.is_dataclass(wanted):
        return _build(typing.cast("type", wanted), value, f"{key}.")
    if typing.get_origin(wanted) is not Mapping:
        return _typed(value, wanted, key)
    _, item = typing.get_args(wanted)
    value = {} if value is None else value  # as it is left when the last of them is deleted
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ConfigError(f"{key} is {value!r}; expected names, each with settings")
    return {name: _read_as(item, each, f"{key}.{name}") for name, each in value.items()}


def _typed(value: Any, wanted: Any, key: str) -> Any:
    """Check one value's type; whole numbers pass as float, lists as tuple, a single topic as a list of one.

    A number of a file passes as the text that it was written as.
    """
    if isinstance(value, WrittenNumber):
        value = value.text if wanted is str or isinstance(wanted, types.UnionType) else value.value
    if isinstance(wanted, types.UnionType):
        text, several = typing.get_args(wanted)
        if not isinstance(value, str | list | tuple):
            raise ConfigError(f"{key} is {value!r}; expected a word or a list")
        return _typed(value, text if isinstance(value, str) else several, key)
    if isinstance(wanted, types.GenericAlias):
        value = [value] if isinstance(value, str) and key.endswith(".topic") else value
        (item, _) = typing.get_args(wanted)
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{key} is {value!r}; expected a list of {item.__name__}")
        return tuple(_typed(entry, item, f"{key}[{index}]") for index, entry in enumerate(value))
    if wanted is float and type(value) in (int, float):
        if not -sys.float_info.max <= value <= sys.float_info.max:  # YAML knows .nan, and whole numbers of any size
            raise ConfigError(f"{key} is {_shortly(value)}; expected a finite number")
        return float(value)
    if type(value) is not wanted:
        quotes = "; on, off, yes and no are words only in quotes" if wanted is str and type(value) is bool else ""
        raise ConfigError(f"{key} is {_shortly(value)}; expected {wanted.__name__}{quotes}")
    if isinstance(value, str) and NO_TEXT.search(value):
        raise ConfigError(f"{key} is {_shortly(value)}; expected whole characters, none of them NUL")
    return value


def _shortly(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
