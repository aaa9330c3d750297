"""Messages to the core's types, by this package's own conversion and by cv_bridge."""

from __future__ import annotations

import sys
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image

from fakes import picture
from hal_ros.bags.messages import to_ns
from hal_ros.core.errors import ConfigError, ImageError
from hal_ros.ros.convert import rgb_converter
from ros_fakes import START_NS, image_message, random_pixels, to_stamp

CONVERSIONS = ("native", "cv_bridge")


def converter(conversion: str) -> Callable[[object], np.ndarray]:
    if conversion == "cv_bridge":
        pytest.importorskip("cv_bridge", reason="cv_bridge is not installed")
    return rgb_converter(conversion)


@given(st.integers(0, 2**62))
def test_a_stamp_survives_both_ways(stamp_ns: int) -> None:
    stamp_ns %= 2**31 * 10**9
    assert to_ns(to_stamp(stamp_ns)) == stamp_ns


@pytest.mark.parametrize("conversion", CONVERSIONS)
@pytest.mark.parametrize(("encoding", "to_encoding"), [("rgb8", None), ("bgr8", cv2.COLOR_RGB2BGR)])
def test_colour_images_convert_exactly(conversion: str, encoding: str, to_encoding: int | None) -> None:
    rgb = random_pixels((6, 8, 3))
    pixels = rgb if to_encoding is None else cv2.cvtColor(rgb, to_encoding)
    message = Image(encoding=encoding, height=6, width=8, step=24, data=pixels.tobytes())
    assert np.array_equal(converter(conversion)(message), rgb)


def test_native_conversion_skips_the_padding_of_rows() -> None:
    rgb = random_pixels((6, 8, 3))
    padded = np.full((6, 32), 7, np.uint8)
    padded[:, :24] = rgb.reshape(6, 24)
    message = Image(encoding="rgb8", height=6, width=8, step=32, data=padded.tobytes())
    assert np.array_equal(converter("native")(message), rgb)


@pytest.mark.parametrize("conversion", CONVERSIONS)
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_compressed_images_convert_to_what_opencv_decodes(conversion: str, suffix: str) -> None:
    encoded = cv2.imencode(suffix, cv2.cvtColor(random_pixels((16, 16, 3)), cv2.COLOR_RGB2BGR))[1]
    message = CompressedImage(format=suffix[1:], data=encoded.tobytes())
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None
    expected = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    assert np.array_equal(converter(conversion)(message), expected)


@pytest.mark.parametrize("conversion", CONVERSIONS)
@pytest.mark.parametrize(
    "change",
    [
        {"encoding": "xyz12"},
        {"data": b"123"},
        {"height": 0, "width": 0, "step": 0, "data": b""},
    ],
)
def test_what_is_no_image_is_refused_as_such(conversion: str, change: dict[str, object]) -> None:
    message = image_message("red", START_NS)
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(ImageError):
        converter(conversion)(message)


@pytest.mark.parametrize("conversion", CONVERSIONS)
def test_a_cut_off_jpeg_is_refused(conversion: str) -> None:
    with pytest.raises(ImageError):
        converter(conversion)(CompressedImage(format="jpeg", data=b"\xff\xd8\xff"))


def test_absent_cv_bridge_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv_bridge", None)
    with pytest.raises(ConfigError, match=r"cv_bridge.*expected native"):
        rgb_converter("cv_bridge")


def test_a_picture_is_what_it_shows() -> None:
    assert np.array_equal(rgb_converter("native")(image_message("green", START_NS)), picture("green"))


@pytest.mark.parametrize("conversion", CONVERSIONS)
def test_larger_pictures_than_the_parameter_allows_are_refused(conversion: str) -> None:
    converter(conversion)  # or it is not there
    convert = rgb_converter(conversion, 255)
    encoded = cv2.imencode(".png", random_pixels((16, 16, 3)))[1].tobytes()
    raw = Image(encoding="rgb8", height=16, width=16, step=48, data=bytes(768))
    for message in (raw, CompressedImage(format="png", data=encoded)):
        with pytest.raises(ImageError, match="16x16 pixels is larger than"):
            convert(message)
        assert rgb_converter("native", 256)(message).shape == (16, 16, 3)
