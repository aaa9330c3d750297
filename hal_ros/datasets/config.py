"""Where the data of a run lies, and how bags become ticks: the settings of `data`, and the card they draft."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from hal_ros.bags.inputs import AskedTopics
from hal_ros.core.card import DecoderSpec, EncoderSpec, ModelCard
from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.check import streams_fault
from hal_ros.core.streams.spec import CAMERA, JOINTS, CameraSpec, StateSpec, StreamSpec, single

TRAINING, VALIDATION = "train", "validation"
"""The splits that every training has."""
EPISODES = "episodes"
"""The layout of the project's own data: bags, one folder an episode."""

ALL_SPLITS, EACH_GROUP, LEAVE_OUT = "all", "groups", "leave-out:"
"""What `split` may say instead of a name: all in turn; each group left out for test in turn; one group left out."""

ONNX = "onnx:"
"""What stands before the path of a user's own encoder."""

OF_ONE_CAMERA = {
    "joints": "names of a state",
    "joints_max_age_s": "max_age_s of a state",
    "image_size_px": "size_px of a camera",
    "camera_topic": "topic of a camera",
    "joint_topic": "topic of a state",
}
"""Settings of a robot whose streams have no names, and what says the same of a named one."""


@dataclass(frozen=True)
class NamedStreams:
    """What a model takes, by name: see `core.streams.spec`. Empty: one camera and the joints of `data.joints`."""

    clock: str = ""  # the stream whose stamps make the ticks; empty: the first camera, or else the first state
    cameras: Mapping[str, CameraSpec] = field(default_factory=dict)
    states: Mapping[str, StateSpec] = field(default_factory=dict)


@dataclass(frozen=True)
class DataConfig:
    """Where episodes lie and how bags become ticks."""

    folder: str = "datasets/tabletop-v1"  # <split>/<episode>/, or a dataset in one of the field's layouts
    layout: str = EPISODES  # or "auto" or one of `datasets.formats.layouts.LAYOUTS`: feature vectors without bags
    split: str = "1"  # of such a layout; also ALL_SPLITS, EACH_GROUP, or LEAVE_OUT with a group's name behind it
    stride: int = 1  # likewise: every n-th frame is a tick
    orientation: str = "auto"  # likewise: "TD" or "DT" where the files' shapes don't tell
    validation: float = 0.1  # likewise: this share of the training clips, where the split names none
    background: tuple[str, ...] = ()  # likewise: actions that are none, if not as published for the layout
    groups: str = ""  # file with the group of each clip or episode, as who is seen: validation takes whole groups
    group_by: str = ""  # which column of that file; empty: the first one behind the names
    cache: str = "datasets/cache"  # ingested episodes and features; safe to delete
    actions: tuple[str, ...] = ()  # the vocabulary in id order; empty: those of the training transcripts, sorted
    joints: tuple[str, ...] = ()  # joint names in the model's order
    joints_max_age_s: float = 0.1
    image_size_px: int = 128
    encoder: str = ""  # onnx:PATH, a user's own (docs/training.md); empty: EfficientNet-Lite0
    encoder_stage: int = 2  # of EfficientNet-Lite0, where its map is taken; see `nn.encoder.STAGES`
    rate_hz: float = 10.0
    lag_ticks: int = 4
    max_held_ticks: int = 5
    camera_topic: str = ""  # empty: the usual name, or else the only topic with images
    joint_topic: str = ""  # likewise
    processes: int = 2
    streams: NamedStreams = field(default_factory=NamedStreams)

    @property
    def names_streams(self) -> bool:
        """Whether the streams are named, instead of the one camera and the joints of `joints`."""
        return bool(self.streams.cameras or self.streams.states)


def streams_of(data: DataConfig) -> StreamSpec:
    """Return what the settings say that a model takes; ConfigError for streams that can't be."""
    given = data.streams
    if not data.names_streams:
        camera, joints = (
            CameraSpec(size_px=data.image_size_px),
            StateSpec(names=data.joints, max_age_s=data.joints_max_age_s),
        )
        only = single(camera, joints if data.joints else None, data.rate_hz, data.max_held_ticks)
        if fault := streams_fault(only):
            raise ConfigError(_by_old_key(fault))
        return only
    clock = given.clock or next(iter((*given.cameras, *given.states)))
    spec = StreamSpec(clock, given.cameras, given.states, data.rate_hz, data.max_held_ticks)
    if fault := streams_fault(spec):
        raise ConfigError(_by_key(fault))
    return spec


def asked_topics(data: DataConfig) -> AskedTopics:
    """Return the topics that settings without named streams ask for."""
    topics = {CAMERA: data.camera_topic, JOINTS: data.joint_topic}
    return {} if data.names_streams else {stream: (topic,) for stream, topic in topics.items() if topic}


def check_streams(data: DataConfig) -> None:
    """Refuse streams that can't be, and settings of a robot without named streams beside them; ConfigError."""
    if not data.names_streams:
        if data.streams.clock:
            raise ConfigError(f"data.streams.clock is {data.streams.clock!r}; expected cameras or states beside it")
        streams_of(data)
        return
    usual = {each.name: each.default for each in fields(DataConfig)}
    for key, instead in OF_ONE_CAMERA.items():
        if getattr(data, key) != usual[key]:
            raise ConfigError(f"data.{key} is {getattr(data, key)!r} beside data.streams; expected {instead} there")
    streams_of(data)


def check_encoder(data: DataConfig) -> None:
    """Refuse an encoder that is none, and settings that mean nothing beside it; ConfigError."""
    if not data.encoder:
        return
    if not data.encoder.startswith(ONNX) or data.encoder == ONNX:
        raise ConfigError(f"data.encoder is {data.encoder!r}; expected {ONNX}PATH, or nothing for the built-in one")
    if data.encoder_stage != DataConfig.encoder_stage:
        raise ConfigError(f"data.encoder_stage is {data.encoder_stage} beside data.encoder; it is the built-in one's")
    if data.layout != EPISODES or not streams_of(data).cameras:
        raise ConfigError(f"data.encoder is {data.encoder!r}, but there are no pictures; expected bags with cameras")


def check_groups(data: DataConfig) -> None:
    """Refuse to leave a group out where there is no file of groups, and a column of no file; ConfigError."""
    if not data.groups and data.group_by:
        raise ConfigError(f"data.group_by is {data.group_by!r}, but data.groups is empty; expected a file of groups")
    if not data.groups and (data.split == EACH_GROUP or data.split.startswith(LEAVE_OUT)):
        raise ConfigError(f"data.split is {data.split!r}, but data.groups is empty; expected a file of groups")


def _by_key(fault: str) -> str:
    """Return what `streams_fault` says with the setting's key in front, as far as it names one."""
    key, rest = re.fullmatch(r"((?:cameras|states) \w+ \w+|clock|rate_hz|max_held_ticks|)(.*)", fault).groups()  # type: ignore[union-attr]  # always fits
    if key in ("rate_hz", "max_held_ticks"):
        return f"data.{fault}"
    return f"data.streams.{key.replace(' ', '.')}{rest}" if key else f"data.streams: {fault}"


def _by_old_key(fault: str) -> str:
    """Return what `streams_fault` says of one camera and its joints with the settings' keys for them in front."""
    for where, key in (("cameras camera size_px", "image_size_px"), ("states joints names", "joints")):
        fault = fault.replace(where, key)
    return "data." + fault.replace("states joints max_age_s", "joints_max_age_s")


def draft_card(data: DataConfig, vocabulary: tuple[str, ...] = ()) -> ModelCard:
    """Return a card that is right in all that ingest reads; a training replaces what it says of a model."""
    streams = streams_of(data)
    return ModelCard(
        name="the dataset",
        vocabulary=vocabulary,
        streams=streams,
        encoder=EncoderSpec(1) if streams.cameras else None,
        lag_ticks=data.lag_ticks,
        window_ticks=1,
        decoder=DecoderSpec(),
        supervision="transcripts",
    )
