"""Small tracks whose actions need both eyes and joints: joints say which cell matters, the cell says which action."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hal_ros.core.streams.columns import ValueGroups
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.encoded_clips import EncodedClip, measure
from hal_ros.train.clips import AttendedClips, Columns, Supervised, attended_clips
from hal_ros.train.config import TrainConfig
from hal_ros.train.eye import fit_eye, gather, new_eye

ACTIONS = 4
GRID = (2, 2, 4)
GROUPS = ValueGroups((0, 1) * 3, (0,) * 6)
COLUMNS = Columns(attended=16, values=6, groups=GROUPS)
SETTINGS = {
    "name": "small",
    "data": {"joints": ["a", "b"], "lag_ticks": 2, "max_held_ticks": 2},
    "eye": {
        "width": 16,
        "cell_width": 8,
        "gazes": 2,
        "keypoints": 3,
        "dropout": 0.0,
        "noise": 0.0,
        "epochs": 40,
        "batch_ticks": 32,
        "learning_rate": 0.01,
    },
    "model": {"width": 16, "heads": 2, "lookback": [3, 5], "feed_forward": 32, "dropout": 0.0, "seen_dropout": 0.0},
    "batches": {"streams": 3, "chunk_ticks": 16, "held": 0.05},
    "optimiser": {"epochs": 3, "learning_rate": 0.01},
    "losses": {"label_smoothing": 0.0, "transition": 0.05},
}


def make_encoded_clips(count: int, seed: int, ticks: int = 60) -> list[EncodedClip]:
    """Action = 2 * (which cell the joints point at) + (whether that cell is bright)."""
    random = np.random.default_rng(seed)
    encoded_clips = []
    for index in range(count):
        actions = np.repeat(random.integers(0, 4, ticks // 10 + 1), 10)[:ticks].astype(np.int64)
        feature = random.normal(0, 0.3, (ticks, 4, 4))
        feature[:, :, 0] += random.choice([-1, 1], (ticks, 4))  # brightness of the cells that do not matter
        pointed = actions // 2
        feature[np.arange(ticks), pointed, 0] = np.where(actions % 2, 1.0, -1.0)
        joints = random.normal(0, 0.1, (ticks, 6))
        joints[:, 0] += pointed * 2.0
        flags = np.ones((ticks, 6), np.float32)
        encoded_clips.append(
            EncodedClip(
                f"track-{index}",
                (feature.reshape(ticks, -1).astype(np.float16),),
                np.ones((ticks, 1), np.float32),
                joints.astype(np.float32),
                flags,
                actions,
                tuple(actions[np.flatnonzero(np.diff(actions, prepend=-1))].tolist()),
            )
        )
    return encoded_clips


def restrict(encoded_clips: list[EncodedClip], modalities: str) -> list[EncodedClip]:
    """Return the tracks as a robot without camera ("joints") or without joints ("camera") gives them."""
    return [
        replace(
            encoded,
            image_valid=encoded.image_valid * np.float32(modalities != "joints"),
            joints_valid=encoded.joints_valid * np.float32(modalities != "camera"),
        )
        for encoded in encoded_clips
    ]


def look_at(config: TrainConfig, *groups: list[EncodedClip]) -> list[AttendedClips]:
    """Train an eye on the annotations of the first group, and show it all groups."""
    eye = new_eye(config, ACTIONS, GRID, measure(groups[0], GRID[2]))
    ticks = gather(groups[0], {encoded.name: encoded.actions for encoded in groups[0]}, ACTIONS)
    fit_eye(config, eye, ticks, report=lambda _: None)
    return [attended_clips([eye], encoded_clips, GROUPS) for encoded_clips in groups]


def random_clips(count: int, seed: int, ticks: int = 60) -> Supervised:
    """Clips in the columns of `COLUMNS` whose action can be read off any of three places: for what needs no eye."""
    random = np.random.default_rng(seed)
    clips, joints_masked = [], {}
    for index in range(count):
        actions = np.repeat(random.integers(0, ACTIONS, ticks // 10 + 1), 10)[:ticks].astype(np.int64)
        inputs = np.ones((ticks, COLUMNS.width), np.float32)
        inputs[:, : COLUMNS.attended] = random.normal(0, 0.5, (ticks, COLUMNS.attended))
        inputs[np.arange(ticks), actions] += 1.5
        inputs[:, COLUMNS.attended + 1 : -COLUMNS.values] = random.normal(0, 0.5, (ticks, COLUMNS.values))
        inputs[np.arange(ticks), COLUMNS.attended + 1 + actions] += 1.5
        name = f"clip-{index}"
        clips.append(Clip(name, inputs, actions, tuple(actions[np.flatnonzero(np.diff(actions, prepend=-1))].tolist())))
        joints_masked[name] = inputs[:, : COLUMNS.attended] + 100  # plainly not what is seen with joints
    return AttendedClips(clips, joints_masked).supervised({clip.name: clip.actions for clip in clips}, GROUPS)
