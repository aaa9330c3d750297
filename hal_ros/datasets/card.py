"""What a card says before there is a model: how bags become ticks."""

from __future__ import annotations

from hal_ros.core.card import DecoderSpec, ImageSpec, JointSpec, ModelCard
from hal_ros.datasets.config import DataConfig


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
