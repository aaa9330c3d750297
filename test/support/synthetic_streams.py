"""Small clips of a robot with two cameras and two states, each of which tells the action by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hal_ros.core.segments import transcript
from hal_ros.core.streams.columns import groups_of
from hal_ros.datasets.config import streams_of
from hal_ros.datasets.encoded_clips import EncodedClip
from hal_ros.train import chain
from hal_ros.train.clips import annotated, attended_clips
from hal_ros.train.config import TrainConfig, config_from_mapping
from hal_ros.train.eye import load_eye
from hal_ros.train.stages import eye_folders
from hal_ros.train.student import Trained, validate
from synthetic_episodes import ACTIONS, GRID, SETTINGS

CAMERAS, STATES = ("front", "wrist"), ("arm", "hand")
TEACHER = {"width": 16, "heads": 2, "feed_forward": 16, "visual_width": 8, "action_width": 8, "start_epochs": 2}
DECLARED = {
    "front": {"size_px": 32},
    "wrist": {"size_px": 32},
    "arm": {"names": ["a", "b"], "fields": ["position"]},
    "hand": {"names": ["finger"], "fields": ["position", "velocity"]},
}
FAINT, NOISE = 0.4, 1.5
"""How bright what is not the front camera shows, and how noisy states are: who trusts that camera needs little else."""
CODE = np.array([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])
"""What both values of a state are at each action."""


def settings(
    cache: Path, cameras: Sequence[str] = CAMERAS, states: Sequence[str] = STATES, **changes: Any
) -> TrainConfig:
    """The settings of a robot with some of the streams, for a short training."""
    streams = {
        "cameras": {name: DECLARED[name] for name in cameras},
        "states": {name: DECLARED[name] for name in states},
    }
    given: dict[str, Any] = SETTINGS
    base = {
        **given,
        "data": {"lag_ticks": 2, "max_held_ticks": 2, "cache": str(cache), "streams": streams},
        "eye": {**given["eye"], "epochs": 4},
        "optimiser": {"epochs": 2, "learning_rate": 0.01},
        "teacher": TEACHER,
    }
    return config_from_mapping(merged(base, changes))


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Settings with some sections completed or replaced."""
    own = {key: {**base.get(key, {}), **value} if isinstance(value, dict) else value for key, value in changes.items()}
    return {**base, **own}


def make_clips(count: int, seed: int, config: TrainConfig, ticks: int = 60) -> list[EncodedClip]:
    """Each camera shows the action as a bright channel, each state as two numbers; the first clip has gaps."""
    random, streams = np.random.default_rng(seed), streams_of(config.data)
    clips = []
    for index in range(count):
        actions = np.repeat(random.integers(0, ACTIONS, ticks // 10 + 1), 10)[:ticks].astype(np.int64)
        features = []
        for camera in streams.cameras:
            feature = random.normal(0, 0.3, (ticks, *GRID))
            feature[np.arange(ticks), 0, 0, actions] += 2 if camera == "front" else FAINT
            features.append(feature.reshape(ticks, -1).astype(np.float16))
        values = np.concatenate([np.zeros((ticks, 0)), *(CODE[actions] for _ in streams.states)], 1)
        values = (values + random.normal(0, NOISE, values.shape)).astype(np.float32)
        lit, known = np.ones((ticks, len(features)), np.float32), np.ones_like(values)
        if not index:
            lit[5:8, :1], known[7:12, 1:] = 0, 0
        order = tuple(transcript(actions))
        clips.append(EncodedClip(f"clip-{seed}-{index}", tuple(features), lit, values, known, actions, order))
    return clips


def without(clips: Sequence[EncodedClip], stream: str, config: TrainConfig) -> list[EncodedClip]:
    """The clips as the robot gives them when one of its streams is lost."""
    streams = streams_of(config.data)
    found = []
    for clip in clips:
        image_valid, joints_valid = clip.image_valid.copy(), clip.joints_valid.copy()
        if stream in streams.cameras:
            image_valid[:, list(streams.cameras).index(stream)] = 0
        else:
            joints_valid[:, streams.columns(stream)] = 0
        found.append(replace(clip, image_valid=image_valid, joints_valid=joints_valid))
    return found


def train(config: TrainConfig, folder: Path, training: list[EncodedClip], validation: list[EncodedClip]) -> Trained:
    """Train the whole chain in a folder."""
    return chain.train_on_encoded_clips(
        chain.RunSettings(config, folder, lambda _: None), ACTIONS, training, validation
    )


def accuracy(config: TrainConfig, folder: Path, trained: Trained, clips: list[EncodedClip]) -> float:
    """How often the student of a run names the action at once, 0..1."""
    groups = groups_of(streams_of(config.data))
    eyes = [load_eye(part) for part in eye_folders(folder, config.data)]
    return validate(trained.model, annotated(attended_clips(eyes, clips, groups), groups), config.data.lag_ticks)[0]
