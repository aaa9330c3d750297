"""Labels of new feature vectors by a bundle without cameras, whose state values they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.card import ModelCard
from hal_ros.core.errors import ConfigError
from hal_ros.core.segmenter import Segmenter
from hal_ros.datasets.episodes import Episode
from hal_ros.metrics.predictions import CONFIRMED, PROVISIONAL
from hal_ros.offline.episodes import run_segmenter


def check_takes_vectors(card: ModelCard) -> None:
    """Raise ConfigError for a bundle that needs pictures."""
    if card.streams.cameras:
        cameras = ", ".join(card.streams.cameras)
        raise ConfigError(f"{card.name} takes pictures ({cameras}), not feature vectors; `hal label` labels its bags")


def label_vectors(segmenter: Segmenter, values: NDArray[np.floating[Any]]) -> list[str]:
    """Return a confirmed action's name for each tick of state values (T, V), NaN where one is missing.

    What was never confirmed, as all of a clip shorter than the lag, keeps its provisional action.
    """
    card, ticks = segmenter.card, len(values)
    valid = np.isfinite(values)
    nothing = np.zeros((ticks, 0), np.float32)
    fresh = np.zeros(ticks, bool)
    fresh[0] = True
    episode = Episode(
        name="",
        stamp_ns=np.arange(ticks, dtype=np.int64) * card.period_ns,
        fresh=fresh,
        held=np.zeros(ticks, bool),
        image_valid=nothing,
        images={},
        joints=np.where(valid, values, 0).astype(np.float32),
        joints_valid=valid.astype(np.float32),
        actions=None,
        transcript=(),
        counters={},
    )
    said = run_segmenter(segmenter, episode).streams
    confirmed, provisional = said[CONFIRMED].labels, said[PROVISIONAL].labels
    actions = np.where(confirmed < len(card.vocabulary), confirmed, provisional)
    return [card.vocabulary[action] for action in actions.tolist()]
