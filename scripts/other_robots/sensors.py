"""What the simulated sensors publish, each at its own rate, with noise and late receipt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import mujoco
import numpy as np

from other_robots.layouts import CameraTopic, JointTopic, SensorTopic, Topic, WrenchTopic
from other_robots.poses import Array
from other_robots.recording import Recording, joint_state, jpeg_picture, raw_picture, wrench

JPEG_QUALITY = 85
FORCE_NOISE_N, TORQUE_NOISE_NM = 0.15, 0.01
POSITION_NOISE_RAD, VELOCITY_NOISE_RAD_S, EFFORT_NOISE = 5e-4, 8e-3, 0.05
LOST = 0.004
"""Share of messages that never arrive."""


@dataclass(frozen=True)
class Stream:
    """A topic and what is published there at a stamp in nanoseconds."""

    topic: Topic
    read: Callable[[int], Any]


@dataclass(frozen=True)
class Scene:
    """A loaded model with its renderers by camera, used by one episode after the other."""

    data: mujoco.MjData
    renderers: Mapping[str, mujoco.Renderer]
    hidden_groups: tuple[int, ...] = ()  # of shapes that are there for collisions alone


class Sensors:
    """All streams of one robot; `sample` is called after each step of the physics."""

    def __init__(self, streams: list[Stream], recording: Recording, random: np.random.Generator) -> None:
        """Begin each stream at a time of its own."""
        self.streams, self.recording, self.random = streams, recording, random
        self.due_s = [stream.topic.phase_s for stream in streams]

    def sample(self, time_s: float, start_ns: int) -> None:
        """Publish what is due at a time of the simulation; its zero is `start_ns` on the sensors' clock."""
        for index, stream in enumerate(self.streams):
            if time_s < self.due_s[index]:
                continue
            self.due_s[index] += 1 / stream.topic.rate_hz
            stamp_ns = start_ns + round((time_s + self.random.uniform(0, 0.0009)) * 1e9)
            message = stream.read(stamp_ns)
            if self.random.random() < LOST:
                continue
            late_s = stream.topic.delay_s + self.random.gamma(2.0, stream.topic.jitter_s / 2)
            self.recording.add(stream.topic.name, message, stamp_ns + round(late_s * 1e9))


class JointReader:
    """Reads some joints as a driver would; names are the driver's, joints the model's."""

    def __init__(self, data: mujoco.MjData, names: Mapping[str, str], random: np.random.Generator) -> None:
        """Take the driver's names of the model's joints."""
        self.data, self.names, self.random = data, tuple(names.values()), random
        joints = [data.model.joint(name) for name in names]
        self.qpos = np.array([joint.qposadr[0] for joint in joints])
        self.dofs = np.array([joint.dofadr[0] for joint in joints])

    def __call__(self, stamp_ns: int) -> Any:
        """Return the joints now as a JointState."""
        return joint_state(stamp_ns, self.names, self.values())

    def values(self) -> Array:
        """Return positions, velocities and efforts (3, J) with noise."""
        rows = self.data.qpos[self.qpos], self.data.qvel[self.dofs], self.data.qfrc_actuator[self.dofs]
        noise = np.array([[POSITION_NOISE_RAD], [VELOCITY_NOISE_RAD_S], [EFFORT_NOISE]])
        return np.stack(rows) + noise * self.random.standard_normal((3, len(self.qpos)))


class WrenchReader:
    """Reads force and torque at the wrist, as they act on the robot."""

    def __init__(self, data: mujoco.MjData, topic: WrenchTopic, random: np.random.Generator) -> None:
        """Take the sensors' names from the topic."""
        self.data, self.topic, self.random = data, topic, random

    def __call__(self, stamp_ns: int) -> Any:
        """Return the wrench now as a WrenchStamped."""
        force = -self.data.sensor(self.topic.force).data + self.random.normal(0, FORCE_NOISE_N, 3)
        torque = -self.data.sensor(self.topic.torque).data + self.random.normal(0, TORQUE_NOISE_NM, 3)
        return wrench(stamp_ns, self.topic.frame_id, force, torque)


class Camera:
    """Renders one camera of the model without shadows and reflections."""

    def __init__(self, renderer: mujoco.Renderer, scene: Scene, name: str, raw: bool) -> None:
        """Take a renderer of this camera's size; several cameras may share it."""
        self.renderer, self.data, self.name, self.raw = renderer, scene.data, name, raw
        self.option = mujoco.MjvOption()
        self.option.geomgroup[list(scene.hidden_groups)] = 0
        self.option.sitegroup[:] = 0

    def __call__(self, stamp_ns: int) -> Any:
        """Return the picture now, raw or as JPEG."""
        picture = self.render()
        if self.raw:
            return raw_picture(stamp_ns, self.name, picture)
        _, jpeg = cv2.imencode(
            ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        )
        return jpeg_picture(stamp_ns, self.name, np.asarray(jpeg, np.uint8))

    def render(self) -> Any:
        """Return the picture now (H, W, 3) uint8 RGB."""
        self.renderer.update_scene(self.data, camera=self.name, scene_option=self.option)
        return self.renderer.render()


def open_streams(
    topics: Iterable[SensorTopic], scene: Scene, raw_pictures: bool, random: np.random.Generator
) -> list[Stream]:
    """Return the sensors of a robot, in the topics' order."""
    streams = []
    for each in topics:
        if isinstance(each, JointTopic):
            streams.append(Stream(each.topic, JointReader(scene.data, each.joints, random)))
        elif isinstance(each, WrenchTopic):
            streams.append(Stream(each.topic, WrenchReader(scene.data, each, random)))
        else:
            topic = each.topic if raw_pictures else each.topic._replace(name=f"{each.topic.name}/compressed")
            streams.append(Stream(topic, Camera(scene.renderers[each.camera], scene, each.camera, raw_pictures)))
    return streams


def open_renderers(model: mujoco.MjModel, topics: Iterable[SensorTopic]) -> dict[str, mujoco.Renderer]:
    """Return a renderer for each camera, by the camera's name in the model."""
    cameras = [each for each in topics if isinstance(each, CameraTopic)]
    return {each.camera: make_renderer(model, each.width_px, each.height_px) for each in cameras}


def make_renderer(model: mujoco.MjModel, width_px: int, height_px: int) -> mujoco.Renderer:
    """Return a renderer for pictures of one size: no shadows, reflections or smooth edges."""
    model.vis.quality.shadowsize, model.vis.quality.offsamples = 0, 0
    renderer = mujoco.Renderer(model, height_px, width_px)
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
    return renderer
