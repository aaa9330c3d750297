"""Pictures become features in one way, for the robot and for training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")

from colour_bundle import write_bundle
from fakes import COLOURS, picture
from hal_ros.core.errors import BackendError
from hal_ros.runtime.bundle import ENCODER, Bundle
from hal_ros.runtime.encode import BundleEncoder, PictureEncoder
from hal_ros.runtime.onnx_backend import OnnxBackend


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "bundle")


def test_the_robot_and_training_get_the_same_bits(bundle: Bundle) -> None:
    encoder, backend = PictureEncoder(bundle.path(ENCODER)), OnnxBackend(bundle)
    for colour in COLOURS:
        feature = encoder.encode(picture(colour))
        assert feature.dtype == np.float32 and feature.shape == (encoder.feature_dim,)
        np.testing.assert_array_equal(feature, backend.encode(picture(colour)))
    assert not np.array_equal(encoder.encode(picture(COLOURS[0])), encoder.encode(picture(COLOURS[1])))


def test_without_a_camera_the_feature_is_zeros(bundle: Bundle) -> None:
    blind = BundleEncoder(replace(bundle, card=replace(bundle.card, image=None)))
    assert blind.session is None
    np.testing.assert_array_equal(blind.encode(picture(COLOURS[0])), np.zeros(bundle.card.feature_dim, np.float32))


def test_a_picture_of_another_size_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BackendError, match=r"^onnxruntime: the encoder failed: .*image"):
        PictureEncoder(bundle.path(ENCODER)).encode(np.zeros((8, 8, 3), np.uint8))
