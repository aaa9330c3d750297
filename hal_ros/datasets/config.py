"""Where the data of a run lies, and how bags become ticks: the settings of `data`, and the card they draft."""

from __future__ import annotations

from dataclasses import dataclass

from hal_ros.core.card import DecoderSpec, ImageSpec, JointSpec, ModelCard

TRAINING, VALIDATION = "train", "validation"
"""The splits that every training has."""
EPISODES = "episodes"
"""The layout of the project's own data: bags, one folder an episode."""


@dataclass(frozen=True)
class DataConfig:
    """Where episodes lie and how bags become ticks."""

    folder: str = "datasets/tabletop-v1"  # <split>/<episode>/, or a dataset in one of the field's layouts
    layout: str = EPISODES  # or "auto" or one of `datasets.formats.layouts.LAYOUTS`: feature vectors without bags
    split: str = "1"  # of such a layout
    stride: int = 1  # likewise: every n-th frame is a tick
    orientation: str = "auto"  # likewise: "TD" or "DT" where the files' shapes don't tell
    validation: float = 0.1  # likewise: this share of the training clips, where the split names none
    cache: str = "datasets/cache"  # ingested episodes and features; safe to delete
    actions: tuple[str, ...] = ()  # the vocabulary in id order; empty: those of the training transcripts, sorted
    joints: tuple[str, ...] = ()  # joint names in the model's order
    joints_max_age_s: float = 0.1
    image_size_px: int = 128
    encoder_stage: int = 2  # of EfficientNet-Lite0, where its map is taken; see `nn.encoder.STAGES`
    rate_hz: float = 10.0
    lag_ticks: int = 4
    max_held_ticks: int = 5
    camera_topic: str = ""  # empty: the usual name, or else the only topic with images
    joint_topic: str = ""  # likewise
    processes: int = 2


def draft_card(data: DataConfig, vocabulary: tuple[str, ...] = ()) -> ModelCard:
    """Return a card that is right in all that ingest reads; a training replaces what it says of a model."""
    return ModelCard(
        name="the dataset",
        vocabulary=vocabulary,
        image=ImageSpec(data.image_size_px),
        joints=JointSpec(data.joints, data.joints_max_age_s),
        rate_hz=data.rate_hz,
        lag_ticks=data.lag_ticks,
        max_held_ticks=data.max_held_ticks,
        feature_dim=1,
        window_ticks=1,
        decoder=DecoderSpec(),
        supervision="transcripts",
    )
