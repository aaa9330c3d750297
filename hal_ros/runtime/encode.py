"""Pictures to features by encoder.onnx: the one path that the robot and training's features both take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hal_ros.core.arrays import ByteArray, FloatArray
from hal_ros.core.card import EncoderSpec
from hal_ros.core.errors import BackendError
from hal_ros.runtime.bundle import ENCODER, Bundle
from hal_ros.runtime.sessions import TYPES, first_line, open_session


class PictureEncoder:
    """Runs an encoder graph, of a bundle or not: pictures (S, S, 3) uint8 in, features (D,) float32 out."""

    def __init__(self, path: Path | bytes, threads: int = 1, providers: Sequence[str] = ()) -> None:
        """Open the session on a file or its bytes; raises as `open_session` does."""
        self.session = open_session(path, threads, providers)
        image = self.session.get_inputs()[0]
        self.image_shape, self.image_type = image.shape, image.type
        self._dtype = np.dtype(TYPES.get(image.type, "uint8"))

    @property
    def feature_dim(self) -> int:
        """How many values a feature has."""
        return int(self.session.get_outputs()[0].shape[1])

    def encode(self, image: ByteArray) -> FloatArray:
        """Return the feature (D,) of one picture (S, S, 3) uint8; its values are cast to the graph's type, not scaled.

        Raises BackendError when the session fails.
        """
        try:
            (feature,) = self.session.run(["feature"], {"image": image[None].astype(self._dtype, copy=False)})
        except Exception as error:
            raise BackendError(f"onnxruntime: the encoder failed: {first_line(error)}") from error
        return np.asarray(feature[0], np.float32)


class BundleEncoder:
    """A bundle's encoder, for the pictures of all its cameras; a bundle without cameras has none."""

    def __init__(self, bundle: Bundle, threads: int = 1, providers: Sequence[str] = ()) -> None:
        """Open the session; raises as `open_session` does, and BackendError for a graph other than the card's."""
        self._folder, spec = bundle.folder, bundle.card.encoder
        self._encoder = None if spec is None else _fitting(bundle, spec, threads, providers)
        self.session = self._encoder.session if self._encoder else None

    def encode(self, image: ByteArray) -> FloatArray:
        """Return the feature (D,) of one picture (S, S, 3) uint8.

        Raises BackendError when the session fails, and for a bundle without cameras.
        """
        if self._encoder is None:
            raise BackendError(no_encoder(self._folder))
        return self._encoder.encode(image)


def no_encoder(folder: Path) -> str:
    """Say why a bundle encodes no picture."""
    return f"{folder}: has no camera, and so no encoder; expected no picture"


def _fitting(bundle: Bundle, spec: EncoderSpec, threads: int, providers: Sequence[str]) -> PictureEncoder:
    path, side = bundle.path(ENCODER), bundle.card.streams.size_px
    encoder = PictureEncoder(path, threads, providers)
    shape = [1, side, side, 3]
    if encoder.feature_dim != spec.feature_dim:
        raise BackendError(f"{path}: feature is {encoder.feature_dim}; the card says {spec.feature_dim}")
    if encoder.image_shape != shape:
        raise BackendError(f"{path}: image is {encoder.image_shape}; the card says {shape}")
    if TYPES.get(encoder.image_type) != spec.dtype:
        raise BackendError(f"{path}: image is {encoder.image_type}; the card says {spec.dtype}")
    return encoder
