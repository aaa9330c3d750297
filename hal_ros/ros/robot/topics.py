"""What the simulated robot publishes: the topics that its parameters ask for, and their messages."""

from __future__ import annotations

from typing import Any

from geometry_msgs.msg import PoseStamped, WrenchStamped
from hal_msgs.msg import ActionTruth
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState

from hal_ros.bags.messages import header_message, known_class, serialise, time_message
from hal_ros.ros import qos
from hal_ros.ros.robot.parameters import RobotParameters
from hal_ros.ros.robot.scene import CameraPlan, Picture, Scene
from hal_ros.sim import messages
from hal_ros.sim.render import FRONT, WRIST

STATES_DEPTH = 200


class Topics:
    """The publishers of one node. Each camera's pictures are published from its own thread."""

    def __init__(self, node: Node, parameters: RobotParameters) -> None:
        self._node, self._parameters = node, parameters
        self.publishers: list[Any] = []
        self.images, self.render_ms = {FRONT: 0, WRIST: 0}, 0.0
        split = parameters.split_gripper
        self._joint_part = messages.ARM if split else messages.ALL_JOINTS
        self._infos = self._publisher(CameraInfo, messages.CAMERA_INFO_TOPIC, 5)
        self._joints = self._publisher(JointState, messages.JOINTS_TOPIC, STATES_DEPTH)
        self._truth = self._publisher(ActionTruth, messages.TRUTH_TOPIC, 50)
        self._clock = node.create_publisher(Clock, messages.CLOCK_TOPIC, 10)
        self._gripper = self._wanted(split or parameters.gripper_topic, JointState, messages.GRIPPER_TOPIC)
        self._wrench = self._wanted(parameters.wrench, WrenchStamped, messages.WRENCH_TOPIC)
        self._tool_pose = self._wanted(parameters.tool_pose, PoseStamped, messages.TOOL_POSE_TOPIC)
        # Pictures last: publishers become known in this order, so who listens to them has heard of the others, too.
        if parameters.wrist_camera:
            self._wrist_infos = self._publisher(CameraInfo, messages.WRIST_CAMERA_INFO_TOPIC, 5)
            self._wrist_images = self._publisher(Image, messages.WRIST_IMAGE_TOPIC, 5)
        self._images = self._publisher(Image, messages.IMAGE_TOPIC, 5)

    def camera_plans(self) -> dict[str, CameraPlan]:
        """Return how each camera that is wanted renders."""
        p = self._parameters
        plans = {FRONT: CameraPlan(FRONT, p.width_px, p.height_px, p.shadows, self._publish_front)}
        if p.wrist_camera:
            plans[WRIST] = CameraPlan(WRIST, p.wrist_size_px, p.wrist_size_px, p.shadows, self._publish_wrist)
        return plans

    def publish_clock(self, stamp_ns: int) -> None:
        """Publish simulated time."""
        self._clock.publish(serialise(known_class("rosgraph_msgs/msg/Clock")(time_message(stamp_ns))))

    def publish_states(self, scene: Scene, stamp_ns: int) -> None:
        """Publish what all sensors but the cameras say of this tick."""
        joints = scene.simulation.joints()
        self._joints.publish(serialise(messages.joint_state(joints, stamp_ns, self._joint_part)))
        if self._gripper:
            self._gripper.publish(serialise(messages.joint_state(joints, stamp_ns, messages.GRIPPER)))
        if self._wrench or self._tool_pose:
            tool = scene.tool.sample()
            if self._wrench:
                self._wrench.publish(serialise(messages.wrench(tool, stamp_ns)))
            if self._tool_pose:
                self._tool_pose.publish(serialise(messages.tool_pose(tool, stamp_ns)))

    def _publish_front(self, picture: Picture) -> None:
        """Publish one picture with its camera and its truth."""
        shot = picture.shot
        self.render_ms = picture.render_ms
        header = header_message(shot.stamp_ns, messages.FRAME_ID)
        _publish(picture, header, self._images, self._infos)
        truth = known_class("hal_msgs/msg/ActionTruth")(header, shot.action, shot.segment_id)
        self._truth.publish(serialise(truth))
        self.images[FRONT] += 1

    def _publish_wrist(self, picture: Picture) -> None:
        header = header_message(picture.shot.stamp_ns, messages.WRIST_FRAME_ID)
        _publish(picture, header, self._wrist_images, self._wrist_infos)
        self.images[WRIST] += 1

    def _wanted(self, wanted: bool, kind: Any, topic: str) -> Any:
        return self._publisher(kind, topic, STATES_DEPTH) if wanted else None

    def _publisher(self, kind: Any, topic: str, depth: int) -> Any:
        options = qos.overridable()
        profile = QoSProfile(depth=depth)
        publisher = self._node.create_publisher(kind, topic.lstrip("/"), profile, qos_overriding_options=options)
        self.publishers.append(publisher)
        return publisher


def _publish(picture: Picture, header: Any, images: Any, infos: Any) -> None:
    height, width = picture.pixels.shape[:2]
    images.publish(serialise(messages.image(picture.pixels, header)))
    infos.publish(serialise(messages.camera_info(width, height, picture.vertical_fov_rad, header)))
