"""How a node turns image messages into pixels: by this package's own conversion, or by cv_bridge."""

from __future__ import annotations

import importlib
from typing import Any, TypeAlias

import numpy as np

from hal_ros.bags.sensors import COMPRESSED, IMAGE, pixels
from hal_ros.core.arrays import ByteArray
from hal_ros.core.errors import ConfigError, ImageError
from hal_ros.core.picture_headers import MOST_PIXELS, check_size, read_header
from hal_ros.core.streams.convert import ToRgb

ImageMessage: TypeAlias = Any
"""sensor_msgs/Image or sensor_msgs/CompressedImage, of rclpy's class or of that of bags."""


def rgb_converter(conversion: str, most_pixels: int = MOST_PIXELS) -> ToRgb:
    """Return the conversion that the parameter image_conversion names, of pictures of at most so many pixels.

    Raises ConfigError where cv_bridge is absent.
    """
    if conversion != "native":
        return _cv_bridge_rgb(most_pixels)
    return lambda message: pixels(message, COMPRESSED if _is_compressed(message) else IMAGE, most_pixels)


def _is_compressed(message: ImageMessage) -> bool:
    return hasattr(message, "format")


def _cv_bridge_rgb(most_pixels: int) -> ToRgb:
    try:
        bridge: Any = importlib.import_module("cv_bridge").CvBridge()
    except ImportError as error:
        raise ConfigError(
            f"image_conversion is cv_bridge, which can't be imported ({error}); expected native"
        ) from error

    def convert(message: ImageMessage) -> ByteArray:
        compressed = _is_compressed(message)
        header = read_header(memoryview(message.data)) if compressed else message
        if header is not None:  # what is no picture cv_bridge says itself
            check_size(header.width, header.height, most_pixels)
        to_cv2 = bridge.compressed_imgmsg_to_cv2 if compressed else bridge.imgmsg_to_cv2
        try:
            rgb = np.ascontiguousarray(to_cv2(message, "rgb8"), np.uint8)
        except Exception as error:  # CvBridgeError, ValueError or cv2.error, by version and message
            raise ImageError(f"cv_bridge can't convert the image: {' '.join(str(error).split())}") from error
        if rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
            raise ImageError(f"cv_bridge gives an image of shape {rgb.shape}; expected (H, W, 3)")
        return rgb

    return convert
