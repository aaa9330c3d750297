"""The frozen encoder that a run's settings name: the built-in one, or a user's own ONNX file, which is tried first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx

from hal_ros.core.arrays import ByteArray, FloatArray
from hal_ros.core.card import EncoderSpec
from hal_ros.core.errors import BackendError, ConfigError
from hal_ros.core.work import Report
from hal_ros.datasets.config import ONNX, DataConfig, streams_of
from hal_ros.datasets.features import LARGEST
from hal_ros.nn.encoder import build_encoder, feature_shape
from hal_ros.nn.onnx_encoder import OwnEncoder, OwnMap, map_of, read_own, wrapped
from hal_ros.outside import outputs
from hal_ros.runtime.encode import PictureEncoder
from hal_ros.runtime.sessions import first_line, open_session

NOISES = 2
"""Pictures of noise that a user's encoder is tried on, beside a black and a white one."""


@dataclass(frozen=True)
class Tried:
    """What was found when a user's encoder was tried."""

    source: str  # as the card names it
    found: OwnMap
    told: str  # one line for people


def grid_of(data: DataConfig) -> tuple[int, int, int]:
    """Return rows, columns and channels of the encoder's map, (1, 1, D) for a vector; zeros without cameras.

    Raises ConfigError for a user's encoder that can't be one, and CardError for a size that the built-in one's cells
    do not tile.
    """
    side = streams_of(data).size_px
    if not side:
        return 0, 0, 0
    return try_own(data).found.grid if data.encoder else feature_shape(side, data.encoder_stage)


def encoder_spec(data: DataConfig, dtype: str = "uint8") -> EncoderSpec | None:
    """Return what the card says of the encoder, None without cameras; raises as `grid_of`."""
    grid = grid_of(data)
    if not grid[2]:
        return None
    source = {"source": try_own(data).source} if data.encoder else {}
    return EncoderSpec(math.prod(grid), dtype, channels=grid[2], **source)


def build(data: DataConfig, dtype: str = "uint8", half: bool = False) -> onnx.ModelProto | None:
    """Return the encoder's graph for pictures of `dtype`; None for a user's own in half precision, which is not made.

    Raises as `grid_of`.
    """
    side = streams_of(data).size_px
    if not data.encoder:
        return build_encoder(side, data.encoder_stage, dtype, half)
    return None if half else wrapped(read_own(_path(data), side), try_own(data).found, dtype)


def ensure_encoder(data: DataConfig, report: Report = print) -> Path | None:
    """Write the encoder into the cache, and tell which one a user's own is; returns its path, None without cameras."""
    side = streams_of(data).size_px
    if not side:
        return None
    name = str(data.encoder_stage)
    if data.encoder:
        name = try_own(data).source.removeprefix(ONNX)[:16]
        report(try_own(data).told)
    path = Path(data.cache) / f"encoder-{side}-{name}.onnx"
    model = build(data)
    assert model is not None
    content = model.SerializeToString(deterministic=True)
    outputs.write_whole(path, lambda file: file.write(content))  # always anew: of older code one would go unnoticed
    return path


# --- a user's own -----------------------------------------------------------------------------------------------------


def try_own(data: DataConfig) -> Tried:
    """Read a user's encoder and run it on a few pictures, once for each state of the file; ConfigError as `read_own`.

    Also for a graph that ONNX Runtime does not open or run, and for features that are no finite numbers or too large
    to be kept.
    """
    path = _path(data)
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigError(f"data.encoder: {path} can't be read ({error.strerror}); expected an ONNX file") from error
    return _tried(path, streams_of(data).size_px, (found.st_mtime_ns, found.st_size))


def _path(data: DataConfig) -> Path:
    return Path(data.encoder.removeprefix(ONNX))


@lru_cache(maxsize=4)
def _tried(path: Path, size_px: int, _state: tuple[int, int]) -> Tried:
    own = read_own(path, size_px)
    try:
        output = _run(own)
        found = map_of(own, output.shape, str(output.dtype))
        encoder = PictureEncoder(wrapped(own, found).SerializeToString(deterministic=True))
        features = [_checked(path, name, picture, encoder) for name, picture in _pictures(size_px).items()]
    except BackendError as error:
        raise ConfigError(f"data.encoder: {path}: {str(error).removeprefix('graph: ')}") from error
    if all(np.array_equal(feature, features[0]) for feature in features):
        raise ConfigError(f"data.encoder: {path} gives the same for all pictures; expected what tells them apart")
    told = f"encoder {path}: takes {own.takes}, values 0..255; gives {found.gives}; SHA-256 {own.sha256[:12]}"
    return Tried(ONNX + own.sha256, found, told)


def _run(own: OwnEncoder) -> FloatArray:
    """Return what the user's graph itself makes of a black picture."""
    session = open_session(own.model.SerializeToString())
    try:
        (output,) = session.run(None, {own.picture_name: np.zeros(own.picture_shape, own.dtype)})
    except Exception as error:  # ONNX Runtime's own exceptions share no public base
        raise BackendError(f"ONNX Runtime can't run it ({first_line(error)})") from error
    return np.asarray(output)


def _pictures(size_px: int) -> dict[str, ByteArray]:
    shape, random = (size_px, size_px, 3), np.random.default_rng(0)
    plain = {"black": np.zeros(shape, np.uint8), "white": np.full(shape, 255, np.uint8)}
    return plain | {f"noisy, no. {index}": random.integers(0, 256, shape, np.uint8) for index in range(1, NOISES + 1)}


def _checked(path: Path, name: str, picture: ByteArray, encoder: PictureEncoder) -> FloatArray:
    """Return the feature of a picture; ConfigError where it can't be kept, or is another one the next time."""
    feature, again = encoder.encode(picture), encoder.encode(picture)
    bad = feature[~(np.abs(feature) <= LARGEST)]
    if len(bad):
        raise ConfigError(
            f"data.encoder: {path} gives {len(bad)} values such as {bad[0]:g} for a picture that is {name}; "
            f"expected finite ones within +-{LARGEST:g}, as features are kept in half precision"
        )
    if not np.allclose(feature, again, rtol=1e-3, atol=1e-3 * float(np.abs(feature).max())):
        raise ConfigError(
            f"data.encoder: {path} gives another feature each time for a picture that is {name}; expected a graph "
            "without random numbers, exported for inference"
        )
    return feature
