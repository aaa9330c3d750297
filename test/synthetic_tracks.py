"""Small tracks whose actions need both eyes and joints: joints say which cell matters, the cell says which action."""

from __future__ import annotations

import numpy as np

from hal_ros.model.hal import HalConfig
from hal_ros.train.tracks import Track

HAL = HalConfig(
    actions=4,
    joints=2,
    grid=(2, 2, 4),
    width=16,
    heads=2,
    lookback=(3, 5),
    feed_forward=32,
    cell_width=8,
    gazes=2,
    keypoints=3,
    dropout=0.0,
    eye_dropout=0.0,
    eye_noise=0.0,
)
SETTINGS = {
    "name": "small",
    "data": {"joints": ["a", "b"], "lag_ticks": 2, "max_held_ticks": 2},
    "model": {
        "width": 16,
        "heads": 2,
        "lookback": [3, 5],
        "feed_forward": 32,
        "cell_width": 8,
        "gazes": 2,
        "keypoints": 3,
    },
    "batches": {"streams": 3, "chunk_ticks": 16, "held": 0.05},
    "optimiser": {"warmup_epochs": 1, "epochs": 3, "learning_rate": 0.01},
    "losses": {"label_smoothing": 0.0},
}


def make_tracks(count: int, seed: int, ticks: int = 60) -> list[Track]:
    """Action = 2 * (which cell the joints point at) + (whether that cell is bright)."""
    random = np.random.default_rng(seed)
    tracks = []
    for index in range(count):
        actions = np.repeat(random.integers(0, 4, ticks // 10 + 1), 10)[:ticks].astype(np.int64)
        feature = random.normal(0, 0.3, (ticks, 4, 4))
        feature[:, :, 0] += random.choice([-1, 1], (ticks, 4))  # brightness of the cells that do not matter
        pointed = actions // 2
        feature[np.arange(ticks), pointed, 0] = np.where(actions % 2, 1.0, -1.0)
        joints = random.normal(0, 0.1, (ticks, 6))
        joints[:, 0] += pointed * 2.0
        flags = np.ones((ticks, 6), np.float32)
        tracks.append(
            Track(
                f"track-{index}",
                feature.reshape(ticks, -1).astype(np.float16),
                np.ones(ticks, np.float32),
                joints.astype(np.float32),
                flags,
                actions,
            )
        )
    return tracks
