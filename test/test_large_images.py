"""Images of 640x480 arrive in another process with config/fastdds.xml, and without it they do not."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.ros
COUNT = 30  # 27.6 MB: all of them fit into the profile's 64 MB at once, so nothing depends on how fast they are taken
DEADLINE_S = 60

PUBLISHER = f"""
import select, sys, rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node('camera')
publisher = node.create_publisher(Image, 'image', QoSProfile(depth={COUNT}, reliability=ReliabilityPolicy.BEST_EFFORT))
while not select.select([sys.stdin], [], [], 0.05)[0]:
    publisher.publish(Image())  # each side discovers the other at its own time; the reader tells when it hears these
sys.stdin.readline()
image = Image(height=480, width=640, encoding='rgb8', step=1920, data=bytes(921600))
for _ in range({COUNT}):
    publisher.publish(image)
print('published', flush=True)
input()  # stays until the reader has taken them
"""

SUBSCRIBER = f"""
import select, sys, time, rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node('reader')
received, hellos = [], []
qos = QoSProfile(depth={COUNT}, reliability=ReliabilityPolicy.BEST_EFFORT)
take = lambda message: (received if message.data else hellos).append(len(message.data))
node.create_subscription(Image, 'image', take, qos)
end = time.monotonic() + {DEADLINE_S}
while not hellos and time.monotonic() < end:
    rclpy.spin_once(node, timeout_sec=0.05)
print('heard', flush=True)
all_published = False
while len(received) < {COUNT} and time.monotonic() < end:
    rclpy.spin_once(node, timeout_sec=0.05)
    if not all_published and select.select([sys.stdin], [], [], 0)[0]:
        all_published, end = True, min(end, time.monotonic() + 2)  # what is still on its way may arrive
assert set(received) <= {{921600}}
print(len(received), flush=True)
"""


def count_received(environment: dict[str, str]) -> int:
    """Publish COUNT images in one process; return how many arrive in another one."""
    pipe = subprocess.PIPE
    commands = ([sys.executable, "-c", program] for program in (SUBSCRIBER, PUBLISHER))
    reader, camera = (subprocess.Popen(one, env=environment, stdin=pipe, stdout=pipe, text=True) for one in commands)
    try:
        assert camera.stdin is not None and camera.stdout is not None and reader.stdout is not None
        assert reader.stdout.readline() == "heard\n"
        camera.stdin.write("go\n")
        camera.stdin.flush()
        assert camera.stdout.readline() == "published\n"
        received, _ = reader.communicate("published\n", timeout=DEADLINE_S)
        camera.communicate("taken\n", timeout=DEADLINE_S)
    finally:
        for process in (reader, camera):
            process.kill()
            process.wait()
    return int(received)


def test_all_images_arrive_with_the_profile(child_environment: dict[str, str]) -> None:
    assert count_received(child_environment) == COUNT


def test_images_are_lost_without_it(child_environment: dict[str, str]) -> None:
    """The negative control: should it ever fail, the middleware has outgrown the profile."""
    for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        child_environment.pop(name, None)
    assert count_received(child_environment) < COUNT / 2
