"""The least that can make a label of a picture: one callback, the same resize, the same two graphs, one message.

It checks nothing, merges nothing, counts nothing and decodes nothing. What the segmenter takes longer than this is the
price of what it does beside. Run as a process: bundle, topic of pictures, topic of labels.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.qos import QoSProfile, ReliabilityPolicy

from hal_ros.bags.sensors import IMAGE
from hal_ros.bench.streams.robot import HEIGHT_PX, WIDTH_PX
from hal_ros.core.image import to_input
from hal_ros.core.step import StepInput
from hal_ros.ros.recorder import message_class
from hal_ros.runtime.backend import open_backend
from hal_ros.runtime.bundle import load_bundle

LABEL = "hal_msgs/msg/ActionLabel"
STAMP = struct.Struct("<iI"), 4  # in little-endian CDR, behind the encapsulation


class BareNode:
    """Answers each picture in the callback that brought it; `spin` until a signal ends the process."""

    def __init__(self, model: Path, pictures: str, labels: str) -> None:
        """Open the bundle as the segmenter does; raises HalError where it can't be."""
        bundle = load_bundle(model)
        card = bundle.card
        self._backend = open_backend(bundle, "onnxruntime")[0]
        self._actions, self._camera = card.vocabulary, card.streams.cameras[card.streams.clock]
        self._state = self._backend.initial_state()
        count = card.streams.value_count
        self._values, self._valid = np.zeros(count, np.float32), np.ones(count, np.float32)
        self._seen = np.ones(len(card.streams.cameras), np.float32)
        self._kind = message_class(LABEL)
        self.node = rclpy.create_node("bare")
        self._labels = self.node.create_publisher(self._kind, labels, QoSProfile(depth=50))
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.node.create_subscription(message_class(IMAGE), pictures, self._on_picture, qos, raw=True)

    def _on_picture(self, data: bytes) -> None:
        pixels = np.frombuffer(data, np.uint8)[-HEIGHT_PX * WIDTH_PX * 3 :].reshape(HEIGHT_PX, WIDTH_PX, 3)
        feature = self._backend.encode(to_input(pixels, self._camera))
        inputs = StepInput(feature, self._seen, self._values, self._valid)
        output, self._state = self._backend.step(inputs, self._state)
        action = int(output.log_probs.argmax())
        label = self._kind(label=self._actions[action], confidence=float(np.exp(output.log_probs[action])))
        label.header.stamp.sec, label.header.stamp.nanosec = STAMP[0].unpack_from(data, STAMP[1])
        self._labels.publish(label)


def main(model: str, pictures: str, labels: str) -> None:
    """Run until a signal comes."""
    cv2.setNumThreads(1)
    rclpy.init(args=[])
    try:
        rclpy.spin(BareNode(Path(model), pictures, labels).node)
    except (KeyboardInterrupt, ExternalShutdownException):
        rclpy.try_shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:4])
