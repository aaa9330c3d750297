"""A camera that has its pictures ready: publishes raw ones of 1280x720 for some seconds once somebody listens.

Run as a process: the file to write, topic, seconds, pictures per second.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy

from hal_ros.bags.sensors import IMAGE
from hal_ros.bench.pictures.raw import DIFFERENT, messages
from hal_ros.ros.player import with_stamp
from hal_ros.ros.recorder import message_class
from hal_ros.ros.subscribers import POLL_S, wait_for_subscribers

LISTENERS_LIMIT_S = 30.0


def pause() -> bool:
    """Let a moment pass; the camera never gives up by itself."""
    time.sleep(POLL_S)
    return False


def main(path: str, topic: str, seconds: str, hz: str) -> None:
    """Publish as many as are due, never two at once for one that is late; write how many went out as JSON."""
    rclpy.init(args=[])
    node = rclpy.create_node("camera", namespace=topic.rpartition("/")[0])
    qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    publisher = node.create_publisher(message_class(IMAGE), topic, qos)
    ready, period_s, sent = messages(), 1 / int(hz), 0
    wait_for_subscribers([publisher], (), LISTENERS_LIMIT_S, pause)
    due_s = time.monotonic()
    ends_s = due_s + int(seconds) - period_s / 2
    while due_s < ends_s:
        time.sleep(max(0.0, due_s - time.monotonic()))
        publisher.publish(with_stamp(ready[sent % DIFFERENT], time.time_ns()))
        sent += 1
        due_s = max(due_s + period_s, time.monotonic())  # a frame that was missed is gone
    Path(path).write_text(json.dumps({"sent": sent, "due": int(seconds) * int(hz)}), encoding="utf-8")
    time.sleep(1.0)  # what is on its way arrives
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:5])
