"""The extra topics of an episode: wrist camera, wrist wrench, tool pose, and the gripper in a topic of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from hal_ros.bags.messages import header_message
from hal_ros.sim import messages

VERSION = 1
"""Of what the extra topics hold: whoever moves the wrist camera or changes a sensor's noise changes it."""
LEAD_NS = 10_000_000
"""The wrist camera takes its picture this long before the other one, so that each of those finds a fresh one."""


class Extras(NamedTuple):
    """How the extra topics are written."""

    size_px: int = 128  # width and height of the wrist camera's picture
    split_gripper: bool = False  # the gripper's joint is in its own topic only

    def mark(self) -> dict[str, Any]:
        """Return what an episode's annotation says of them."""
        return {"version": VERSION, "split_gripper": self.split_gripper}


def is_marked(annotation: Any, extras: Extras | None) -> bool:
    """Say whether an annotated episode holds these extra topics; without, whether it has all joints in one topic.

    May raise KeyError or TypeError for an annotation that is none.
    """
    mark = annotation.get("extras")
    return mark == extras.mark() if extras is not None else mark is None or not mark["split_gripper"]


class Message(NamedTuple):
    """One message on its way into a bag."""

    topic: str
    message: Any
    receive_ns: int
    publish_ns: int


class ExtraTopics:
    """Says what comes in the extra topics of a running simulation. Owns a GL context, as a renderer does.

    `other_joints` is the part of the joints that stays in the robot's usual topic.
    """

    def __init__(self, simulation: Any, extras: Extras, raw: bool) -> None:
        from hal_ros.sim.random_streams import stream
        from hal_ros.sim.render import WRIST, Renderer  # late: MuJoCo and its GL belong to the process that renders
        from hal_ros.sim.sensors import ToolSensors

        self._simulation, self._raw = simulation, raw
        self._size_px = extras.size_px
        self.other_joints = messages.ARM if extras.split_gripper else messages.ALL_JOINTS
        self._tool = ToolSensors(simulation.physics, stream(simulation.spec.seed, "tool_sensors"))
        self._renderer = Renderer(simulation, extras.size_px, extras.size_px, camera=WRIST)
        self._images = 0

    def at_tick(self) -> Iterator[Message]:
        """Yield this tick's messages in order of arrival; to be asked once per tick, after the joints."""
        simulation = self._simulation
        stamp_ns = messages.START_NS + simulation.time_ns
        tool = self._tool.sample()
        gripper = messages.joint_state(simulation.joints(), stamp_ns, messages.GRIPPER)
        yield Message(messages.GRIPPER_TOPIC, gripper, stamp_ns, stamp_ns)
        yield Message(messages.WRENCH_TOPIC, messages.wrench(tool, stamp_ns), stamp_ns, stamp_ns)
        yield Message(messages.TOOL_POSE_TOPIC, messages.tool_pose(tool, stamp_ns), stamp_ns, stamp_ns)
        if messages.image_is_due(simulation.time_ns + LEAD_NS, self._images):
            self._images += 1
            yield from self._picture(stamp_ns)

    def _picture(self, stamp_ns: int) -> Iterator[Message]:
        pixels = self._renderer.render(self._simulation.snapshot())
        arrival_ns = stamp_ns + messages.IMAGE_DELAY_NS
        header = header_message(stamp_ns, messages.WRIST_FRAME_ID)
        if self._raw:
            yield Message(messages.WRIST_IMAGE_TOPIC, messages.image(pixels, header), arrival_ns, stamp_ns)
        else:
            compressed = messages.compressed_image(pixels, header)
            yield Message(messages.WRIST_COMPRESSED_TOPIC, compressed, arrival_ns, stamp_ns)
        info = messages.camera_info(self._size_px, self._size_px, self._renderer.vertical_fov_rad, header)
        yield Message(messages.WRIST_CAMERA_INFO_TOPIC, info, arrival_ns, stamp_ns)

    def close(self) -> None:
        """Free the GL context."""
        self._renderer.close()
