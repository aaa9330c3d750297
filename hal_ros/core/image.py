"""Pixels: from a message's bytes to the encoder's picture. The node and ingest both go through here (law 3)."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np

from hal_ros.core.arrays import ByteArray
from hal_ros.core.errors import ImageError
from hal_ros.core.picture_headers import MOST_PIXELS, check_size, encoding_in, read_header
from hal_ros.core.streams.spec import CameraSpec


class _Layout(NamedTuple):
    channels: int
    dtype: str
    to_rgb: int | None  # cv2 colour conversion; None: already RGB


# The Bayer names of OpenCV speak of the second row's pixels, so RGGB is its "BG".
ENCODINGS = {
    "rgb8": _Layout(3, "u1", None),
    "bgr8": _Layout(3, "u1", cv2.COLOR_BGR2RGB),
    "rgba8": _Layout(4, "u1", cv2.COLOR_RGBA2RGB),
    "bgra8": _Layout(4, "u1", cv2.COLOR_BGRA2RGB),
    "mono8": _Layout(1, "u1", cv2.COLOR_GRAY2RGB),
    "mono16": _Layout(1, "u2", cv2.COLOR_GRAY2RGB),
    "yuv422_yuy2": _Layout(2, "u1", cv2.COLOR_YUV2RGB_YUY2),
    "bayer_rggb8": _Layout(1, "u1", cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": _Layout(1, "u1", cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": _Layout(1, "u1", cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": _Layout(1, "u1", cv2.COLOR_BayerGB2RGB),
}
"""The encodings of sensor_msgs/Image that are understood."""


def to_rgb(encoding: str, height: int, width: int, step: int, is_bigendian: bool, data: Any) -> ByteArray:
    """Convert the bytes of a sensor_msgs/Image to (H, W, 3) uint8 RGB; rows may be padded to `step` bytes.

    mono16 keeps its upper range: 65535 becomes 255, as in cv_bridge. Raises ImageError for an unknown encoding, an
    empty image, a step shorter than a row, or data of another length than height * step.
    """
    layout = ENCODINGS.get(encoding)
    if layout is None:
        raise ImageError(f"encoding {encoding!r} is not supported; expected one of {', '.join(ENCODINGS)}")
    if height <= 0 or width <= 0:
        raise ImageError(f"image of {width}x{height} pixels is empty")
    item = np.dtype(layout.dtype).newbyteorder(">" if is_bigendian else "<")
    row_bytes = width * layout.channels * item.itemsize
    buffer = np.frombuffer(data, np.uint8)
    if step < row_bytes or buffer.size != height * step:
        raise ImageError(
            f"{encoding} image of {width}x{height} has step {step} and {buffer.size} bytes; "
            f"expected step >= {row_bytes} and height * step = {height * step} bytes"
        )
    rows = np.ascontiguousarray(buffer.reshape(height, step)[:, :row_bytes])
    values = rows.view(item).reshape(height, width, layout.channels)
    pixels: ByteArray = np.rint(values * (255.0 / 65535.0)).astype(np.uint8) if item.itemsize == 2 else values
    return pixels if layout.to_rgb is None else _convert(pixels, layout.to_rgb, encoding)


def _convert(pixels: ByteArray, conversion: int, encoding: str) -> ByteArray:
    try:
        return np.asarray(cv2.cvtColor(pixels, conversion), np.uint8)
    except cv2.error as error:  # e.g. an odd width in yuv422
        height, width = pixels.shape[:2]
        raise ImageError(f"{encoding} image of {width}x{height} can't be converted: {error.err}") from error


def compressed_to_rgb(data: Any, format_text: str = "", most_pixels: int = MOST_PIXELS) -> ByteArray:
    """Decode the bytes of a sensor_msgs/CompressedImage (JPEG or PNG) to (H, W, 3) uint8 RGB.

    `format_text` is its field `format`. A Bayer mosaic that was packed as one channel is converted as the raw one is,
    mono16 likewise. Raises ImageError for depth, for other pictures of 16 bits, for more than most_pixels (told by the
    header, before memory is taken) and for what can't be decoded.
    """
    buffer = np.frombuffer(data, np.uint8)
    encoding, header = encoding_in(format_text), read_header(buffer.data)
    if header is None:
        told = f" of format {format_text[:60]!r}" if format_text else ""
        raise ImageError(f"{buffer.size} bytes of compressed image{told} can't be decoded; expected JPEG or PNG")
    check_size(header.width, header.height, most_pixels)
    is_single = header.channels == 1 and (encoding == "mono16" or encoding.startswith("bayer_"))
    if header.bits > 8 and not is_single:
        raise ImageError(
            f"compressed image of {header.bits} bits and format {format_text[:60]!r} may be depth; "
            "expected 8 bits, or mono16 in its format"
        )
    pixels = _decoded(buffer, cv2.IMREAD_UNCHANGED if is_single else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if is_single and pixels.ndim == 2:
        height, width = pixels.shape
        if encoding == "mono16" and pixels.dtype == np.uint8:
            encoding = "mono8"  # image_transport packs it so into JPEG
        little = pixels.astype(pixels.dtype.newbyteorder("<"))
        return to_rgb(encoding, height, width, width * little.itemsize, False, little.tobytes())
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def _decoded(buffer: ByteArray, flags: int) -> ByteArray:
    try:
        pixels = cv2.imdecode(buffer, flags)
    except cv2.error as error:  # e.g. a header that claims more pixels than OpenCV lets through
        raise ImageError(f"{buffer.size} bytes of compressed image can't be decoded: {error.err}") from error
    if pixels is None:
        raise ImageError(f"{buffer.size} bytes of compressed image can't be decoded; expected JPEG or PNG")
    return np.asarray(pixels)


def to_input(rgb: ByteArray, spec: CameraSpec) -> ByteArray:
    """Cut the camera's part out of (H, W, 3) and resize it to the encoder's (S, S, 3), averaging over areas.

    "centre" is the largest centred square, "full" the whole picture between black bars; x, y, width and height are
    pixels of the camera. Raises ImageError where these do not lie in the picture.
    """
    height, width = rgb.shape[:2]
    if spec.crop == "full":
        return _letterboxed(rgb, spec.size_px)
    if isinstance(spec.crop, str):
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return _resized(rgb[top : top + side, left : left + side], spec.size_px, spec.size_px)
    x, y, wide, high = spec.crop
    if x + wide > width or y + high > height:
        raise ImageError(f"crop {list(spec.crop)} does not lie in the picture of {width}x{height} pixels")
    return _letterboxed(rgb[y : y + high, x : x + wide], spec.size_px)


def _letterboxed(rgb: ByteArray, size_px: int) -> ByteArray:
    """Return (S, S, 3) with all of a picture in its middle, its proportions kept."""
    height, width = rgb.shape[:2]
    if height == width:
        return _resized(rgb, size_px, size_px)
    longest = max(height, width)
    high, wide = (max(1, round(side * size_px / longest)) for side in (height, width))
    canvas = np.zeros((size_px, size_px, 3), np.uint8)
    top, left = (size_px - high) // 2, (size_px - wide) // 2
    canvas[top : top + high, left : left + wide] = _resized(rgb, high, wide)
    return canvas


def _resized(rgb: ByteArray, height_px: int, width_px: int) -> ByteArray:
    if rgb.shape[:2] == (height_px, width_px):
        return np.ascontiguousarray(rgb)
    return np.asarray(cv2.resize(rgb, (width_px, height_px), interpolation=cv2.INTER_AREA), np.uint8)
