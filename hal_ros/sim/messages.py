"""The robot's topics and rhythm, and its messages as it sends them. Imports no simulator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from hal_ros.bags.messages import header_message, known_class
from hal_ros.core.arrays import ByteArray
from hal_ros.sim.benchmark import JOINT_NAMES

if TYPE_CHECKING:
    from hal_ros.sim.sensors import JointSample, ToolSample  # it loads MuJoCo

START_NS = 1_000_000_000
"""Simulated time at an episode's start: a stamp of zero is invalid."""
IMAGE_RATE_HZ = 15
IMAGE_DELAY_NS = 5_000_000
"""From an image's stamp to its arrival; between two joint samples, so that the order of arrival is beyond doubt."""
FRAME_ID = "camera_color_optical_frame"
WRIST_FRAME_ID = "wrist_camera_color_optical_frame"
JPEG_QUALITY = 95

IMAGE_TOPIC = "/camera/color/image_raw"
COMPRESSED_TOPIC = f"{IMAGE_TOPIC}/compressed"
CAMERA_INFO_TOPIC = "/camera/color/camera_info"
JOINTS_TOPIC = "/joint_states"
CLOCK_TOPIC = "/clock"
TRUTH_TOPIC = "/simulation/action_truth"

WRIST_IMAGE_TOPIC = "/wrist_camera/color/image_raw"
WRIST_COMPRESSED_TOPIC = f"{WRIST_IMAGE_TOPIC}/compressed"
WRIST_CAMERA_INFO_TOPIC = "/wrist_camera/color/camera_info"
WRENCH_TOPIC = "/ft_sensor/wrench"
TOOL_POSE_TOPIC = "/tool_pose"
GRIPPER_TOPIC = "/gripper/joint_states"

ALL_JOINTS, ARM, GRIPPER = slice(None), slice(0, 6), slice(6, None)
"""Parts of JOINT_NAMES."""


def image_is_due(time_ns: int, taken: int) -> bool:
    """Say whether the next picture is due at a simulated time, after so many that were taken since its start."""
    return time_ns * IMAGE_RATE_HZ >= taken * 1_000_000_000


def joint_state(sample: JointSample, stamp_ns: int, joints: slice = ALL_JOINTS) -> Any:
    """Return sensor_msgs/msg/JointState of some joints; absent values are NaN, as a driver with dropouts sends them."""
    values = (np.asarray(field[joints], np.float64) for field in (sample.position, sample.velocity, sample.effort))
    return known_class("sensor_msgs/msg/JointState")(header_message(stamp_ns, ""), list(JOINT_NAMES[joints]), *values)


def wrench(sample: ToolSample, stamp_ns: int) -> Any:
    """Return geometry_msgs/msg/WrenchStamped."""
    vector = known_class("geometry_msgs/msg/Vector3")
    both = known_class("geometry_msgs/msg/Wrench")(vector(*sample.force), vector(*sample.torque))
    return known_class("geometry_msgs/msg/WrenchStamped")(header_message(stamp_ns, "ft_sensor"), both)


def tool_pose(sample: ToolSample, stamp_ns: int) -> Any:
    """Return geometry_msgs/msg/PoseStamped of the fingertips in the base's frame."""
    position = known_class("geometry_msgs/msg/Point")(*sample.position)
    orientation = known_class("geometry_msgs/msg/Quaternion")(*sample.quaternion)
    pose = known_class("geometry_msgs/msg/Pose")(position, orientation)
    return known_class("geometry_msgs/msg/PoseStamped")(header_message(stamp_ns, "base_link"), pose)


def image(pixels: ByteArray, header: Any) -> Any:
    """Return sensor_msgs/msg/Image of (H, W, 3) RGB."""
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels).reshape(-1)
    return known_class("sensor_msgs/msg/Image")(header, height, width, "rgb8", 0, width * 3, data)


def compressed_image(pixels: ByteArray, header: Any) -> Any:
    """Return sensor_msgs/msg/CompressedImage of (H, W, 3) RGB: JPEG with every pixel's own colour (4:4:4)."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    # the format is image_transport's: what the picture was; how it is compressed, from which order of channels
    return known_class("sensor_msgs/msg/CompressedImage")(header, "rgb8; jpeg compressed bgr8", jpeg.reshape(-1))


def camera_info(width_px: int, height_px: int, vertical_fov_rad: float, header: Any) -> Any:
    """Return sensor_msgs/msg/CameraInfo of an ideal pinhole camera with square pixels."""
    focal_px = height_px / 2 / math.tan(vertical_fov_rad / 2)
    k = np.array([focal_px, 0, width_px / 2, 0, focal_px, height_px / 2, 0, 0, 1], np.float64)
    p = np.insert(k, [3, 6, 9], 0.0)
    return known_class("sensor_msgs/msg/CameraInfo")(
        header=header,
        height=height_px,
        width=width_px,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=k,
        r=np.eye(3).reshape(-1),
        p=p,
        binning_x=0,
        binning_y=0,
        roi=known_class("sensor_msgs/msg/RegionOfInterest")(0, 0, 0, 0, False),
    )
