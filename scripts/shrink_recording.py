"""Cut a recording down to a small one of the robot's own topics: half-size JPEG images, joints, truth.

Made for the recording that the demo plays where nothing can be rendered:

    hal demo --duration 30 --out build/demo
    python scripts/shrink_recording.py build/demo/recording hal_ros/sim/assets/demo_recording.mcap
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hal_ros.bags.messages import deserialise, known_class, serialise
from hal_ros.bags.reader import BagMessage, BagWriter, read_messages
from hal_ros.core import image
from hal_ros.core.errors import BagError, HalError

IMAGE_TOPIC, CAMERA_INFO_TOPIC = "/camera/color/image_raw", "/camera/color/camera_info"
TOPICS = (IMAGE_TOPIC, CAMERA_INFO_TOPIC, "/joint_states", "/simulation/action_truth")
SCALE = 2  # 640x480 becomes 320x240


def shrink(source: Path, out: Path, seconds: float, quality: int) -> int:
    """Write the first `seconds` of a recording, counted from its first image; return how many images that are.

    Stamps and times of receipt stay as they are. Raises BagError when there are no images to take, or out exists.
    """
    first_ns: int | None = None
    images = 0
    with BagWriter(out) as writer:
        for message in read_messages(source, TOPICS):
            if message.topic == IMAGE_TOPIC:
                first_ns = message.receive_ns if first_ns is None else first_ns
                images += 1
            if first_ns is None:
                continue
            if message.receive_ns - first_ns > seconds * 1e9:
                break
            small = _shrunk(message, quality)
            writer.write(small.topic, small.type_name, small.data, small.receive_ns)
    if not images:
        raise BagError(f"{source}: holds no image on {IMAGE_TOPIC}; expected a recording of the simulated robot")
    return images


def _shrunk(message: BagMessage, quality: int) -> BagMessage:
    if message.topic == IMAGE_TOPIC:
        return _compressed(message, quality)
    if message.topic == CAMERA_INFO_TOPIC:
        return message._replace(data=serialise(_half_camera(deserialise(message.type_name, message.data))))
    return message


def _compressed(message: BagMessage, quality: int) -> BagMessage:
    full = deserialise(message.type_name, message.data)
    rgb = image.to_rgb(full.encoding, full.height, full.width, full.step, bool(full.is_bigendian), full.data)
    small = cv2.resize(rgb, (full.width // SCALE, full.height // SCALE), interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    type_name = "sensor_msgs/msg/CompressedImage"
    content = known_class(type_name)(header=full.header, format="rgb8; jpeg compressed bgr8", data=jpeg.ravel())
    return BagMessage(f"{IMAGE_TOPIC}/compressed", type_name, message.receive_ns, serialise(content))


def _half_camera(info: Any) -> Any:
    """Return the intrinsics of the smaller picture: all but the last rows of K and P are in pixels."""
    info.width, info.height = info.width // SCALE, info.height // SCALE
    info.k = np.concatenate([info.k[:6] / SCALE, info.k[6:]])
    info.p = np.concatenate([info.p[:8] / SCALE, info.p[8:]])
    return info


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python scripts/shrink_recording.py", description="Make a small recording.")
    parser.add_argument("recording", type=Path)
    parser.add_argument("out", type=Path, help="a new .mcap file")
    parser.add_argument("--seconds", type=float, default=20.0, help="default: %(default)s")
    parser.add_argument("--quality", type=int, default=60, help="of JPEG (default: %(default)s)")
    args = parser.parse_args(arguments)
    try:
        count = shrink(args.recording, args.out, args.seconds, args.quality)
    except HalError as error:
        print(f"shrink: {error}", file=sys.stderr)
        return 1
    print(f"{args.out}: {count} images, {args.out.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
