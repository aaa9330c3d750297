"""From ROS messages to the core's types; the way back is in `hal_ros.bags.answers`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, JointState

from hal_ros.core import image, proprio
from hal_ros.core.arrays import ByteArray
from hal_ros.core.card import JointSpec
from hal_ros.core.errors import ConfigError, ImageError
from hal_ros.core.observations import JointSample

ImageMessage: TypeAlias = Any
"""sensor_msgs/Image or sensor_msgs/CompressedImage."""

ToRgb = Callable[[ImageMessage], ByteArray]
"""Returns the pixels (H, W, 3) uint8 RGB of a message; raises ImageError."""


def to_ns(stamp: Time) -> int:
    """Return a stamp in integer nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def to_stamp(stamp_ns: int) -> Time:
    """Return integer nanoseconds as a stamp."""
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def to_joint_sample(message: JointState, spec: JointSpec) -> JointSample | None:
    """Return a JointState in the card's joint order, NaN where absent; None when it names none of the joints."""
    stamp_ns = to_ns(message.header.stamp)
    return proprio.select(stamp_ns, message.name, message.position, message.velocity, message.effort, spec)


def rgb_converter(conversion: str) -> ToRgb:
    """Return the conversion that the parameter image_conversion names; raises ConfigError where cv_bridge is absent."""
    return _native_rgb if conversion == "native" else _cv_bridge_rgb()


def _native_rgb(message: ImageMessage) -> ByteArray:
    if isinstance(message, CompressedImage):
        return image.compressed_to_rgb(message.data)
    big_endian = bool(message.is_bigendian)
    return image.to_rgb(message.encoding, message.height, message.width, message.step, big_endian, message.data)


def _cv_bridge_rgb() -> ToRgb:
    try:
        bridge: Any = importlib.import_module("cv_bridge").CvBridge()
    except ImportError as error:
        raise ConfigError(
            f"image_conversion is cv_bridge, which can't be imported ({error}); expected native"
        ) from error

    def convert(message: ImageMessage) -> ByteArray:
        compressed = isinstance(message, CompressedImage)
        to_cv2 = bridge.compressed_imgmsg_to_cv2 if compressed else bridge.imgmsg_to_cv2
        try:
            pixels = np.ascontiguousarray(to_cv2(message, "rgb8"), np.uint8)
        except Exception as error:  # CvBridgeError, ValueError or cv2.error, by version and message
            raise ImageError(f"cv_bridge can't convert the image: {' '.join(str(error).split())}") from error
        if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise ImageError(f"cv_bridge gives an image of shape {pixels.shape}; expected (H, W, 3)")
        return pixels

    return convert
