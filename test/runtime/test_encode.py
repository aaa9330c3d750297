"""Pictures become features in one way, for the robot and for training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")

from colour_bundle import write_bundle
from fakes import COLOURS, make_streams, picture
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


def test_without_a_camera_there_is_no_encoder(bundle: Bundle) -> None:
    card = replace(bundle.card, streams=make_streams(camera=None), encoder=None)
    blind = BundleEncoder(replace(bundle, card=card))
    assert blind.session is None
    with pytest.raises(BackendError, match=r"bundle: has no camera, and so no encoder; expected no picture$"):
        blind.encode(picture(COLOURS[0]))


def test_a_feature_stays_when_the_next_picture_is_encoded(bundle: Bundle) -> None:
    """Several cameras are encoded one after the other before their tick is stepped."""
    backend = OnnxBackend(bundle)
    features = [backend.encode(picture(colour)) for colour in COLOURS]
    for feature, colour in zip(features, COLOURS, strict=True):
        np.testing.assert_array_equal(feature, backend.encode(picture(colour)))


def test_a_picture_of_another_size_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BackendError, match=r"^onnxruntime: the encoder failed: .*image"):
        PictureEncoder(bundle.path(ENCODER)).encode(np.zeros((8, 8, 3), np.uint8))
