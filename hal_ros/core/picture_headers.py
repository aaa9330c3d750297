"""How large a compressed picture is, by its header: before a decoder takes memory for it."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from hal_ros.core.errors import ImageError

MOST_PIXELS = 50_000_000
"""Largest picture that is converted, width times height: a 50 megapixel camera's."""
_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by colour type; 3 is a palette of RGB
_JPEG = b"\xff\xd8"
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of JPEG that tell the size
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_SCAN = 0xDA


class PictureHeader(NamedTuple):
    """What the beginning of a JPEG or PNG file says."""

    width: int
    height: int
    channels: int
    bits: int  # of each channel


def read_header(data: memoryview) -> PictureHeader | None:
    """Return what a JPEG or PNG file says of itself; None where it is neither, or says nothing."""
    try:
        if data[: len(_PNG)] == _PNG:
            width, height, bits, colour = struct.unpack_from(">IIBB", data, len(_PNG))
            return PictureHeader(width, height, _PNG_CHANNELS.get(colour, 0), bits)
        return _jpeg_header(data) if data[: len(_JPEG)] == _JPEG else None
    except struct.error:
        return None


def _jpeg_header(data: memoryview) -> PictureHeader | None:
    at = len(_JPEG)
    while True:
        fill, marker = struct.unpack_from(">BB", data, at)
        if fill != 0xFF or marker == _SCAN:
            return None
        if marker == 0xFF:  # any number of them may stand before a marker
            at += 1
            continue
        at += 2
        if marker in _ALONE:
            continue
        (length,) = struct.unpack_from(">H", data, at)
        if marker in _FRAMES:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, at + 2)
            return PictureHeader(width, height, channels, bits)
        at += max(length, 2)


def check_size(width: int, height: int, most_pixels: int = MOST_PIXELS) -> None:
    """Raise ImageError for a picture without pixels, or with too many."""
    if width <= 0 or height <= 0:
        raise ImageError(f"image of {width}x{height} pixels is empty")
    if width * height > most_pixels:
        raise ImageError(f"image of {width}x{height} pixels is larger than {most_pixels / 1e6:g} megapixels")


def encoding_in(format_text: str) -> str:
    """Return the encoding that a CompressedImage's `format` names, "" where it names none. ImageError for depth.

    Camera drivers write "jpeg" or "png"; image_transport "bgr8; jpeg compressed bgr8".
    """
    encoding = format_text.partition(";")[0].strip() if ";" in format_text else ""
    if "compressedDepth" in format_text or re.fullmatch(r"(16|32|64)[USF]C\d*", encoding):
        raise ImageError(f"compressed image of format {format_text[:60]!r} is depth; expected a picture")
    return encoding
