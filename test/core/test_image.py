"""Pixels of every encoding, padding, byte order, and what is refused."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from hal_ros.core.errors import ImageError
from hal_ros.core.image import ENCODINGS, compressed_to_rgb, to_input, to_rgb
from hal_ros.core.streams.spec import CameraSpec

HEIGHT, WIDTH = 24, 32
RNG = np.random.default_rng(0)
RGB = cv2.GaussianBlur(RNG.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8), (0, 0), 4)


def mosaic(order: str) -> np.ndarray:
    """Sample RGB through a Bayer filter whose 2x2 tile is `order`, row by row."""
    out = np.empty((HEIGHT, WIDTH), np.uint8)
    for i, colour in enumerate(order):
        out[i // 2 :: 2, i % 2 :: 2] = RGB[i // 2 :: 2, i % 2 :: 2, "rgb".index(colour)]
    return out


def packed(encoding: str) -> np.ndarray:
    alpha = np.full((HEIGHT, WIDTH, 1), 77, np.uint8)
    match encoding:
        case "rgb8":
            return RGB
        case "bgr8":
            return RGB[..., ::-1]
        case "rgba8":
            return np.concatenate([RGB, alpha], 2)
        case "bgra8":
            return np.concatenate([RGB[..., ::-1], alpha], 2)
        case "mono8":
            return RGB[..., 1]
        case "mono16":
            return RGB[..., 1].astype("<u2") * 257
        case "yuv422_yuy2":
            return cv2.cvtColor(np.ascontiguousarray(RGB), cv2.COLOR_RGB2YUV_YUY2)
        case _:
            return mosaic(encoding.removeprefix("bayer_").removesuffix("8"))


def expected(encoding: str) -> np.ndarray:
    return np.repeat(RGB[..., 1:2], 3, 2) if encoding.startswith("mono") else RGB


def convert(encoding: str, pixels: np.ndarray, padding: int = 0, big: bool = False) -> np.ndarray:
    rows: np.ndarray = np.ascontiguousarray(pixels).view(np.uint8).reshape(HEIGHT, -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    return to_rgb(encoding, HEIGHT, WIDTH, rows.shape[1], big, rows.tobytes())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_gives_the_scene_back(encoding: str) -> None:
    error = np.abs(convert(encoding, packed(encoding)).astype(int) - expected(encoding))[2:-2, 2:-2]
    lossy = encoding.startswith(("bayer", "yuv"))  # colour is stored at half resolution there
    assert error.mean() <= (4 if lossy else 0)
    swapped = expected(encoding)[..., ::-1].astype(int)
    if not encoding.startswith("mono"):  # negative control: swapped channels would be seen
        assert np.abs(convert(encoding, packed(encoding)).astype(int) - swapped).mean() > 2 * error.mean() + 4


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("padding", [1, 8])
def test_padded_rows_change_nothing(encoding: str, padding: int) -> None:
    np.testing.assert_array_equal(convert(encoding, packed(encoding), padding), convert(encoding, packed(encoding)))


def test_mono16_of_both_byte_orders() -> None:
    little = packed("mono16")
    np.testing.assert_array_equal(convert("mono16", little), convert("mono16", little.astype(">u2"), big=True))
    high_byte = np.array([[0xFF00]], "<u2")  # negative control: the order matters
    assert to_rgb("mono16", 1, 1, 2, False, high_byte.tobytes())[0, 0, 0] == 254
    assert to_rgb("mono16", 1, 1, 2, True, high_byte.tobytes())[0, 0, 0] == 1


@pytest.mark.parametrize(
    ("encoding", "height", "width", "step", "size", "says"),
    [
        ("rgb9", 2, 2, 6, 12, "'rgb9' is not supported"),
        ("rgb8", 0, 2, 6, 0, "empty"),
        ("rgb8", 2, 0, 0, 0, "empty"),
        ("rgb8", 2, 2, 5, 10, "step 5"),
        ("rgb8", 2, 2, 6, 11, "11 bytes"),
        ("rgb8", 2, 2, 6, 13, "13 bytes"),
        ("mono16", 2, 2, 2, 4, "step >= 4"),
        ("yuv422_yuy2", 2, 3, 6, 12, "can't be converted"),
    ],
)
def test_malformed_images_are_refused(encoding: str, height: int, width: int, step: int, size: int, says: str) -> None:
    with pytest.raises(ImageError, match=says):
        to_rgb(encoding, height, width, step, False, bytes(size))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_compressed_images(suffix: str) -> None:
    ok, data = cv2.imencode(suffix, RGB[..., ::-1])
    assert ok
    error = np.abs(compressed_to_rgb(data.tobytes()).astype(int) - RGB)
    assert error.mean() <= (0 if suffix == ".png" else 3)


def png_of(width: int, height: int) -> bytes:
    """The beginning of a PNG that claims this size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(header, zlib.crc32(header)), (b"IDAT" + zlib.compress(b""), 0)]
    body = b"".join(struct.pack(">I", len(data) - 4) + data + struct.pack(">I", crc) for data, crc in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("data", [b"", b"\xff\xd8not a jpeg", b"\x89PNG", png_of(650, 650)])
def test_undecodable_compressed_images_are_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match=f"{len(data)} bytes"):
        compressed_to_rgb(data)


def packed_as(suffix: str, pixels: np.ndarray) -> bytes:
    ok, data = cv2.imencode(suffix, np.ascontiguousarray(pixels))
    assert ok
    return bytes(data.tobytes())


@pytest.mark.parametrize("order", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_compressed_mosaic_is_a_mosaic(order: str) -> None:
    encoding = f"bayer_{order}8"
    raw = convert(encoding, mosaic(order))
    png = compressed_to_rgb(packed_as(".png", mosaic(order)), f"{encoding}; png compressed ")
    np.testing.assert_array_equal(png, raw)
    jpeg = compressed_to_rgb(packed_as(".jpg", mosaic(order)), f"{encoding}; jpeg compressed ")
    assert np.abs(jpeg.astype(int) - raw).mean() < 10
    grey = compressed_to_rgb(packed_as(".png", mosaic(order)), "png")  # nobody says that it is one
    assert (grey[..., 0] == grey[..., 1]).all() and np.abs(grey.astype(int) - raw).mean() > 5
    colour = packed_as(".png", RGB[..., ::-1])  # the driver made a picture of it
    np.testing.assert_array_equal(compressed_to_rgb(colour, f"{encoding}; png compressed bgr8"), RGB)


def test_mono16_keeps_its_upper_range_in_png_too() -> None:
    deep = packed("mono16").reshape(HEIGHT, WIDTH)
    found = compressed_to_rgb(packed_as(".png", deep), "mono16; png compressed ")
    np.testing.assert_array_equal(found, convert("mono16", deep))
    shallow = packed_as(".png", packed("mono8"))
    np.testing.assert_array_equal(compressed_to_rgb(shallow, "mono16; jpeg compressed mono8"), expected("mono8"))


@pytest.mark.parametrize(
    ("format_text", "says"),
    [
        ("png", "16 bits and format 'png' may be depth"),
        ("16UC1; png compressed ", "is depth"),
        ("16UC1; compressedDepth png", "is depth"),
        ("rgb16; png compressed rgb16", "may be depth"),
        ("bayer_rggb16; png compressed ", "'bayer_rggb16' is not supported"),
    ],
)
def test_pictures_of_16_bits_are_no_pictures(format_text: str, says: str) -> None:
    deep = np.full((HEIGHT, WIDTH), 700, np.uint16)
    with pytest.raises(ImageError, match=says) as refused:
        compressed_to_rgb(packed_as(".png", deep), format_text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("suffix", [".webp", ".bmp", ".tiff"])
def test_other_packings_are_refused(suffix: str) -> None:
    with pytest.raises(ImageError, match="of format 'h264' can't be decoded; expected JPEG or PNG"):
        compressed_to_rgb(packed_as(suffix, RGB), "h264")


def test_a_large_picture_is_refused_by_its_header() -> None:
    with pytest.raises(ImageError, match="image of 65000x65000 pixels is larger than 50 megapixels"):
        compressed_to_rgb(png_of(65_000, 65_000))
    small = packed_as(".png", RGB)
    compressed_to_rgb(small, most_pixels=HEIGHT * WIDTH)
    with pytest.raises(ImageError, match="larger than"):
        compressed_to_rgb(small, most_pixels=HEIGHT * WIDTH - 1)


def test_input_is_the_centre_square_averaged_over_areas() -> None:
    wide = np.zeros((480, 640, 3), np.uint8)
    wide[:, 80:560] = 100
    wide[:, 80:320] = 200
    out = to_input(wide, CameraSpec(size_px=128))
    assert out.shape == (128, 128, 3) and out.flags.c_contiguous
    assert (out[:, :64] == 200).all() and (out[:, 64:] == 100).all()


def test_a_square_of_the_right_size_is_kept_as_it_is() -> None:
    square = RNG.integers(0, 256, (128, 128, 3), dtype=np.uint8)
    np.testing.assert_array_equal(to_input(square, CameraSpec(size_px=128)), square)


def striped(width: int, height: int) -> np.ndarray:
    """A picture whose red tells the column and whose green tells the row."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, np.full_like(rows, 9)], 2).astype(np.uint8)


def test_the_full_picture_lies_between_black_bars() -> None:
    for width, height in ((160, 80), (80, 160)):
        out = to_input(np.full((height, width, 3), 200, np.uint8), CameraSpec(size_px=64, crop="full"))
        shown = out if width > height else out.transpose(1, 0, 2)
        assert out.shape == (64, 64, 3)
        assert (shown[16:48] == 200).all() and not shown[:16].any() and not shown[48:].any()


def test_of_a_square_picture_all_crops_are_the_same() -> None:
    square = RNG.integers(0, 256, (96, 96, 3), dtype=np.uint8)
    crops: tuple[str | tuple[int, ...], ...] = ("centre", "full", (0, 0, 96, 96))
    centre, full, whole = (to_input(square, CameraSpec(size_px=32, crop=crop)) for crop in crops)
    np.testing.assert_array_equal(centre, full)
    np.testing.assert_array_equal(centre, whole)


def test_a_crop_is_cut_out_where_it_says() -> None:
    rgb = striped(200, 100)
    out = to_input(rgb, CameraSpec(size_px=40, crop=(150, 30, 40, 40)))
    np.testing.assert_array_equal(out, rgb[30:70, 150:190])
    tall = to_input(rgb, CameraSpec(size_px=40, crop=(160, 60, 40, 20)))  # up to the corner, twice as wide as high
    np.testing.assert_array_equal(tall[10:30], rgb[60:80, 160:200])
    assert not tall[:10].any() and not tall[30:].any()


@pytest.mark.parametrize("crop", [(161, 0, 40, 40), (0, 61, 40, 40), (0, 0, 201, 100), (200, 0, 1, 1)])
def test_a_crop_beyond_the_picture_is_refused_in_one_line(crop: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="does not lie in the picture of 200x100 pixels") as refused:
        to_input(striped(200, 100), CameraSpec(crop=crop))
    assert str(list(crop)) in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(("height", "width"), [(1, 500), (500, 1), (1, 1)])
@pytest.mark.parametrize("crop", ["centre", "full"])
def test_the_narrowest_picture_has_its_place(height: int, width: int, crop: str) -> None:
    out = to_input(np.full((height, width, 3), 7, np.uint8), CameraSpec(size_px=16, crop=crop))
    assert out.shape == (16, 16, 3) and out.max() == 7
