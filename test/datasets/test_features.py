"""Pictures are encoded once: camera by camera, held ones and those that a slow camera repeats included."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hal_ros.core.arrays import ByteArray, FloatArray
from hal_ros.core.errors import DatasetError
from hal_ros.datasets import features
from hal_ros.datasets.episodes import Episode, save

TICKS = 6
SLOW = np.repeat([1, 2, 3], 2)  # a picture every second tick


def pictures(values: Any) -> ByteArray:
    return np.asarray(values, np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)


EPISODE = Episode(
    name="demo",
    stamp_ns=np.arange(TICKS),
    fresh=np.eye(1, TICKS, dtype=bool)[0],
    held=np.zeros(TICKS, bool),
    image_valid=np.ones((TICKS, 2), np.float32),
    images={"front": pictures(range(10, 10 + TICKS)), "wrist": pictures(SLOW)},
    joints=np.zeros((TICKS, 3), np.float32),
    joints_valid=np.ones((TICKS, 3), np.float32),
    actions=None,
    transcript=(),
    counters={},
)


class CountingEncoder:
    """The feature is the picture's brightness."""

    feature_dim = 1

    def __init__(self) -> None:
        self.seen: list[int] = []

    def encode(self, image: ByteArray) -> FloatArray:
        self.seen.append(int(image.max()))
        return np.array([image.max()], np.float32)


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CountingEncoder:
    made = CountingEncoder()
    monkeypatch.setattr(features, "_opened", lambda _: made)
    (tmp_path / "encoder.onnx").write_bytes(b"weights")
    return made


def encoded(folder: Path, episode: Episode) -> list[list[float]]:
    save(episode, folder)
    paths = features.cached(folder, folder / "encoder.onnx", tuple(episode.images))
    return [features.load(path)[:, 0].tolist() for path in paths]


def test_each_camera_has_features_of_its_own_and_a_repeated_picture_is_encoded_once(
    encoder: CountingEncoder, tmp_path: Path
) -> None:
    assert encoded(tmp_path, EPISODE) == [[10, 11, 12, 13, 14, 15], [1, 1, 2, 2, 3, 3]]
    assert encoder.seen == [10, 11, 12, 13, 14, 15, 1, 2, 3]
    assert encoded(tmp_path, EPISODE)[1] == [1, 1, 2, 2, 3, 3]
    assert len(encoder.seen) == 9  # the files are there


def test_a_missing_picture_is_zeros_and_a_held_tick_has_the_feature_before(
    encoder: CountingEncoder, tmp_path: Path
) -> None:
    image_valid, held = EPISODE.image_valid.copy(), EPISODE.held.copy()
    image_valid[1, 1] = 0
    held[4] = True
    found = encoded(tmp_path, replace(EPISODE, image_valid=image_valid, held=held))
    assert found == [[10, 11, 12, 13, 13, 15], [1, 0, 2, 2, 2, 3]]


@pytest.mark.parametrize(("value", "told"), [(np.nan, "nan"), (-70000, "70000")])
def test_what_half_precision_does_not_hold_is_refused(
    value: float, told: str, encoder: CountingEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "encode", lambda _: np.array([value], np.float32))
    with pytest.raises(DatasetError, match=rf"episode demo, front: the encoder gives {told}; expected finite values"):
        encoded(tmp_path, EPISODE)
    assert not list(tmp_path.glob("features-*"))


def test_the_only_cameras_file_is_named_as_it_was_before_there_could_be_several(
    encoder: CountingEncoder, tmp_path: Path
) -> None:
    paths = features.paths_of(tmp_path, tmp_path / "encoder.onnx", ("front",))
    digest = paths[0].stem.removeprefix("features-")
    assert len(digest) == 16
    both = features.paths_of(tmp_path, tmp_path / "encoder.onnx", ("front", "wrist"))
    assert [path.name for path in both] == [f"features-{digest}-front.npy", f"features-{digest}-wrist.npy"]
    assert features.paths_of(tmp_path, tmp_path / "encoder.onnx", ()) == ()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04", np.zeros((2, 3)).tobytes()])
def test_damaged_features_are_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "features.npy"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"features\.npy: can't be read as features of the cache; delete it"):
        features.load(path)
    np.save(path, np.zeros((2, 3), np.float32))
    with pytest.raises(DatasetError, match=r"is float32 of shape \(2, 3\)"):
        features.load(path)
