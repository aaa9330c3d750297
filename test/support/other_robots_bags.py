"""Short bags of the other robots' topics, written by `rosbags` without their simulators: one colour for each action.

bag = write_other_robot(tmp_path, "panda", FORMS[1])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from other_robots.layouts import LAYOUTS, CameraTopic, JointTopic, SensorTopic, WrenchTopic
from other_robots.plans import vocabulary
from other_robots.recording import FORMS, Form, Recording, joint_state, jpeg_picture, raw_picture, wrench

START_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class Plot:
    """What happens: some of a robot's actions, each of one length; pictures, joints and forces tell which it is."""

    actions: tuple[str, ...]
    seconds: float = 0.8
    seed: int = 0

    def at(self, time_s: float) -> str:
        """Return the action at a time."""
        return self.actions[min(int(time_s / self.seconds), len(self.actions) - 1)]

    @property
    def end_s(self) -> float:
        """Return the length of the whole."""
        return self.seconds * len(self.actions)


def usual_plot(robot: str) -> Plot:
    """Return a plot of four actions of a robot."""
    return Plot(vocabulary(robot)[:4])


def write_other_robot(folder: Path, robot: str, form: Form = FORMS[0], plot: Plot | None = None) -> Path:
    """Write one bag with transcript and annotation into a new folder `folder/ROBOT_STORAGE_PICTURES`; return that."""
    plot = plot or usual_plot(robot)
    recording = Recording(form)
    for number, action in enumerate(plot.actions):
        recording.begin(action, START_NS + round(number * plot.seconds * 1e9))
    random = np.random.default_rng(plot.seed)
    actions = vocabulary(robot)
    for each in LAYOUTS[robot](form.turns):
        for time_s in np.arange(each.topic.phase_s, plot.end_s, 1 / each.topic.rate_hz):
            stamp_ns = START_NS + round(float(time_s) * 1e9)
            level = actions.index(plot.at(float(time_s))) / len(actions)
            name, message = _message(each, stamp_ns, level, form, random)
            late_s = each.topic.delay_s + random.gamma(2.0, each.topic.jitter_s / 2)
            recording.add(name, message, stamp_ns + round(late_s * 1e9))
    bag = folder / f"{robot}_{form.storage.replace('+', '_')}_{'raw' if form.raw_pictures else 'jpeg'}"
    recording.write(bag, START_NS + round(plot.end_s * 1e9))
    return bag


def write_other_robots(folder: Path, robot: str, plots: Sequence[Plot]) -> tuple[Path, ...]:
    """Write one bag for each plot into `folder/NUMBER`, in all forms by turns."""
    return tuple(
        write_other_robot(folder / f"{number:02d}", robot, FORMS[number % len(FORMS)], plot)
        for number, plot in enumerate(plots)
    )


def _message(
    each: SensorTopic, stamp_ns: int, level: float, form: Form, random: np.random.Generator
) -> tuple[str, Any]:
    """Return topic and content; `level` from 0 to 1 says which action it is."""
    if isinstance(each, JointTopic):
        names = tuple(each.joints.values())
        values = np.stack([np.linspace(level, level + 1, len(names)), *np.full((2, len(names)), level)])
        return each.topic.name, joint_state(stamp_ns, names, values + random.normal(0, 1e-3, values.shape))
    if isinstance(each, WrenchTopic):
        return each.topic.name, wrench(stamp_ns, each.frame_id, np.full(3, 10 * level), np.full(3, level))
    picture = picture_of(each, level)
    if form.raw_pictures:
        return each.topic.name, raw_picture(stamp_ns, each.camera, picture)
    _, jpeg = cv2.imencode(".jpg", picture[..., ::-1])
    return f"{each.topic.name}/compressed", jpeg_picture(stamp_ns, each.camera, np.asarray(jpeg, np.uint8))


def picture_of(camera: CameraTopic, level: float) -> NDArray[np.uint8]:
    """Return a camera's picture (H, W, 3) RGB of one action: its brightness in red, the camera's in green."""
    picture = np.empty((camera.height_px, camera.width_px, 3), np.uint8)
    picture[:] = (round(255 * level), camera.width_px, 40)
    return picture
