"""The simulated robot: what it publishes is consistent, in time and in itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, WrenchStamped
from hal_msgs.msg import ActionTruth
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState

from hal_ros.bags.messages import to_ns
from hal_ros.core.errors import ConfigError
from hal_ros.ros.convert import rgb_converter
from hal_ros.sim.benchmark import ACTIONS, JOINT_NAMES

pytestmark = [pytest.mark.ros, pytest.mark.sim]

DEADLINE_S = 60.0
SMALL = {"width_px": 64, "height_px": 48}
EXTRA_TOPICS = (
    "wrist_camera/color/image_raw",
    "wrist_camera/color/camera_info",
    "ft_sensor/wrench",
    "tool_pose",
    "gripper/joint_states",
)


class Listener:
    """A robot and somebody who hears all it says."""

    def __init__(self, domain_id: int, **parameters: Any) -> None:
        from hal_ros.ros.robot.node import SimulatedRobotNode  # late: MuJoCo

        self.context = Context()
        rclpy.init(args=[], context=self.context, domain_id=domain_id)
        overrides = [Parameter(name, value=value) for name, value in {**SMALL, **parameters}.items()]
        self.robot = SimulatedRobotNode(context=self.context, parameter_overrides=overrides)
        self.node = rclpy.create_node("listener", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.images: list[Image] = self.hear(Image, "camera/color/image_raw")
        self.infos: list[CameraInfo] = self.hear(CameraInfo, "camera/color/camera_info")
        self.joints: list[JointState] = self.hear(JointState, "joint_states")
        self.truths: list[ActionTruth] = self.hear(ActionTruth, "simulation/action_truth")
        self.clocks: list[Clock] = self.hear(Clock, "clock")
        self.reports: list[DiagnosticArray] = self.hear(DiagnosticArray, "/diagnostics")
        for node in (self.robot, self.node):
            self.executor.add_node(node)
        self.until(lambda: self.node.count_publishers("camera/color/image_raw"))
        self.robot.start()

    def hear(self, kind: type, topic: str) -> list[Any]:
        heard: list[Any] = []
        self.node.create_subscription(kind, topic, heard.append, 1000)
        return heard

    def until(self, holds: Callable[[], Any]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < deadline, "the condition did not become true in time"
            self.executor.spin_once(timeout_sec=0.02)

    def close(self) -> None:
        self.robot.stop()
        self.executor.shutdown()
        self.robot.destroy_node()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def listen(ros_domain_id: int) -> Iterator[Callable[..., Listener]]:
    listeners: list[Listener] = []

    def make(**parameters: Any) -> Listener:
        listeners.append(Listener(ros_domain_id, **parameters))
        return listeners[-1]

    yield make
    for listener in listeners:
        listener.close()


@pytest.fixture
def short_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every script end after half a second."""
    from hal_ros.sim.episode import Simulation

    step = Simulation.step
    monkeypatch.setattr(Simulation, "step", lambda self: self.time_ns < 500_000_000 and step(self))


def stamps(messages: list[Any]) -> np.ndarray:
    return np.array([to_ns(message.header.stamp) for message in messages])


def test_sensors_agree_in_time(listen: Callable[..., Listener]) -> None:
    robot = listen()
    before_ns = time.time_ns()
    robot.until(lambda: min(len(robot.truths), len(robot.images), len(robot.infos), len(robot.joints) / 7) >= 13)
    images, joints, truths, infos = (stamps(m) for m in (robot.images, robot.joints, robot.truths, robot.infos))
    assert (np.diff(images) > 0).all() and (np.diff(joints) > 0).all()
    assert set(images[:12]) == set(truths[:12]) == set(infos[:12]) <= set(joints)
    # Without a stall the physics instants lie 10 ms apart, and 15 Hz is the nearest of them.
    assert np.median(np.diff(joints)) == 10_000_000
    assert {60_000_000, 70_000_000} & set(np.diff(images))
    assert before_ns < images[0] <= time.time_ns()


def test_messages_say_what_the_robot_is(listen: Callable[..., Listener]) -> None:
    robot = listen()
    robot.until(lambda: robot.truths and robot.reports)
    joints, image, info, truth = (m[0] for m in (robot.joints, robot.images, robot.infos, robot.truths))
    assert tuple(joints.name) == JOINT_NAMES
    assert len(joints.position) == len(joints.velocity) == len(joints.effort) == len(JOINT_NAMES)
    assert (image.width, image.height, image.encoding) == (64, 48, "rgb8")
    assert (info.width, info.height) == (64, 48) and info.k[2] == 32 and info.k[0] == info.k[4] > 0
    assert image.header.frame_id == info.header.frame_id == truth.header.frame_id != ""
    assert truth.label in ACTIONS and truth.segment_id == 1
    assert rgb_converter("native")(image).std() > 5  # something is to be seen


def test_extra_topics_are_published_only_when_asked_for(listen: Callable[..., Listener]) -> None:
    robot = listen()
    robot.until(lambda: robot.truths)
    assert not any(robot.node.count_publishers(topic) for topic in EXTRA_TOPICS)


def test_extra_topics_agree_with_the_others(listen: Callable[..., Listener]) -> None:
    wishes = {"wrist_camera": True, "wrench": True, "tool_pose": True, "split_gripper": True, "wrist_size_px": 32}
    robot = listen(publish_clock=True, **wishes)  # simulated time: stalls of this machine move no stamp
    kinds = (Image, CameraInfo, WrenchStamped, PoseStamped, JointState)
    heard = [robot.hear(kind, topic) for kind, topic in zip(kinds, EXTRA_TOPICS, strict=True)]
    wrist, infos, wrenches, poses, gripper = heard
    robot.until(lambda: min(map(len, heard)) >= 4 and len(robot.images) >= 4 and len(gripper) >= 60 and robot.reports)
    assert (wrist[0].width, wrist[0].height, infos[0].width) == (32, 32, 32)
    assert wrist[0].header.frame_id == infos[0].header.frame_id == "wrist_camera_color_optical_frame"
    ticks = set(stamps(robot.joints))
    assert all(set(stamps(messages)[:40]) <= ticks for messages in (wrenches, poses, gripper))
    early = set(stamps(wrist)[1:4]) & set(stamps(robot.images) - 10_000_000)
    assert early  # some may have been skipped
    assert [*robot.joints[-1].name, *gripper[-1].name] == list(JOINT_NAMES)
    robot.until(lambda: any("wrist_images" in report_values(report) for report in robot.reports))


def report_values(report: DiagnosticArray) -> dict[str, str]:
    return {pair.key: pair.value for pair in report.status[0].values}


@pytest.mark.usefixtures("short_episodes")
def test_episodes_follow_each_other_without_a_gap(listen: Callable[..., Listener]) -> None:
    robot = listen(pause_s=0.1)
    robot.until(lambda: robot.truths and robot.truths[-1].segment_id >= 3)
    images, joints = stamps(robot.images), stamps(robot.joints)
    assert (np.diff(images) > 0).all() and (np.diff(joints) > 0).all()
    ids = [truth.segment_id for truth in robot.truths]
    assert set(np.diff(ids)) <= {0, 1}
    first, last = (rgb_converter("native")(robot.images[i]).astype(float) for i in (0, -1))
    assert np.abs(first - last).mean() > 3  # another scene


def test_simulated_time_is_published_and_in_the_stamps(listen: Callable[..., Listener]) -> None:
    robot = listen(publish_clock=True, real_time_factor=2.0)
    robot.until(lambda: len(robot.joints) >= 20 and len(robot.clocks) >= 20 and robot.images)
    clocks = {to_ns(clock.clock) for clock in robot.clocks}
    assert set(stamps(robot.joints)[:20]) <= clocks
    assert stamps(robot.images)[0] == 1_000_000_000


def test_the_real_time_factor_is_reported(listen: Callable[..., Listener]) -> None:
    robot = listen()
    robot.until(lambda: any("real-time factor" in report.status[0].message for report in robot.reports))
    values = report_values(robot.reports[-1])
    assert float(values["real_time_factor"]) > 0 and int(values["images"]) > 0
    assert {"late_ticks", "time_given_up_s", "images_skipped", "render_ms"} <= set(values)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"recipe": "souffle"}, "recipe is 'souffle'"),
        ({"level": "easy"}, "level is 'easy'"),
        ({"real_time_factor": 2.0}, "publish_clock"),
        ({"image_rate": 15.0}, "did you mean image_rate_hz"),
        ({"width_px": 1}, "width_px"),
    ],
)
def test_bad_parameters_are_refused(ros_domain_id: int, parameters: dict[str, Any], words: str) -> None:
    from hal_ros.ros.robot.node import SimulatedRobotNode

    context = Context()
    rclpy.init(args=[], context=context, domain_id=ros_domain_id)
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    with pytest.raises(ConfigError, match=words):
        SimulatedRobotNode(context=context, parameter_overrides=overrides)
    rclpy.shutdown(context=context)


def test_a_failing_renderer_ends_the_process_with_its_error(
    listen: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("the picture fell down")

    monkeypatch.setattr("hal_ros.ros.robot.scene.Renderer.render", refuse)
    robot = listen()
    with pytest.raises(Exception, match=r"the picture fell down|could not be made"):
        robot.until(lambda: robot.truths)
