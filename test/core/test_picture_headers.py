"""How large a picture is is known before a decoder is asked, and depth is told from pictures."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_ros.core.errors import ImageError
from hal_ros.core.picture_headers import MOST_PIXELS, PictureHeader, check_size, encoding_in, read_header


def png(width: int, height: int, bits: int = 8, colour: int = 2) -> bytes:
    """The beginning of a PNG file."""
    content = b"IHDR" + struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + content + struct.pack(">I", zlib.crc32(content))


def jpeg(width: int, height: int, before: bytes = b"") -> bytes:
    """The beginning of a JPEG file."""
    return b"\xff\xd8" + before + b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_what_is_written_is_read(suffix: str, channels: int) -> None:
    picture = np.zeros((20, 30, channels), np.uint8)
    data = cv2.imencode(suffix, picture)[1].tobytes()
    assert read_header(memoryview(data)) == PictureHeader(30, 20, channels, 8)
    if suffix == ".png":
        deep = cv2.imencode(suffix, picture.astype(np.uint16))[1].tobytes()
        assert read_header(memoryview(deep)) == PictureHeader(30, 20, channels, 16)


def test_a_header_may_lie_behind_much_else() -> None:
    comment = b"\xff\xfe" + struct.pack(">H", 60_000) + b"\xff\xc0" * 29_999
    data = jpeg(640, 480, b"\xff\xff\xff\x01" + comment * 20)
    assert read_header(memoryview(data)) == PictureHeader(640, 480, 3, 8)


@given(st.binary(max_size=60), st.sampled_from([b"", b"\xff\xd8\xff", b"\xff\xd8", png(4, 4)[:20]]))
def test_no_bytes_raise(tail: bytes, start: bytes) -> None:
    header = read_header(memoryview(start + tail))
    assert header is None or isinstance(header, PictureHeader)


@pytest.mark.parametrize(
    ("width", "height", "says"), [(0, 5, "empty"), (65_000, 65_000, "larger than 50 megapixels"), (5, -1, "empty")]
)
def test_sizes_that_can_not_be_are_refused(width: int, height: int, says: str) -> None:
    with pytest.raises(ImageError, match=says):
        check_size(width, height)


def test_the_limit_is_width_times_height() -> None:
    check_size(MOST_PIXELS, 1)
    check_size(10, 10, 100)
    with pytest.raises(ImageError):
        check_size(10, 10, 99)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("jpeg", ""), ("", ""), ("bgr8; jpeg compressed bgr8", "bgr8"), ("bayer_rggb8; png compressed ", "bayer_rggb8")],
)
def test_the_encoding_is_named_before_the_packing(text: str, encoding: str) -> None:
    assert encoding_in(text) == encoding


@pytest.mark.parametrize("text", ["16UC1; compressedDepth png", "32FC1; compressedDepth", "16UC1; png compressed "])
def test_depth_is_no_picture(text: str) -> None:
    with pytest.raises(ImageError, match="is depth; expected a picture"):
        encoding_in(text)
