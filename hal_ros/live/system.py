"""The live system as processes: a robot (simulated, or a played bag), the segmenter and the recorder."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hal_ros.bags.inputs import find_inputs
from hal_ros.core.work import ONE_THREAD
from hal_ros.live.planner import check_planner, driven_parameters, start_planner
from hal_ros.live.processes import Child, Processes, choose_domain
from hal_ros.live.robot_streams import model_topics, patience, robot_parameters
from hal_ros.outside.shared_files import shared_file
from hal_ros.ros.stream_topics import TOPICS
from hal_ros.runtime.bundle import load_bundle

RECORDING = "recording"
SEGMENTER = "segmenter"
LAST_REPORT_S = 1.5  # from the robot's end until everybody's counters on /diagnostics are final


class Live(NamedTuple):
    """What runs: a bag to play in place of the simulated robot, the bundle, and where results go."""

    model: Path
    folder: Path
    bag: Path | None = None
    recipe: str = ""  # what the example's planner has the simulated robot do; '' for a robot that follows its script

    @property
    def recording(self) -> Path:
        """The rosbag2 folder that the recorder makes."""
        return self.folder / RECORDING

    @property
    def logs(self) -> Path:
        """Where each process' output is kept."""
        return self.folder / "logs"


def prepare_environment(log_folder: Path) -> None:
    """Set what DDS and the processes need in this process' own environment; what the user has set is kept.

    A domain of its own keeps robots, and other demos, in the same network apart.
    """
    old = os.environ.get("ROS_DISTRO") in ("humble", "jazzy")
    profiles = "FASTRTPS_DEFAULT_PROFILES_FILE" if old else "FASTDDS_DEFAULT_PROFILES_FILE"
    defaults = {
        "ROS_DOMAIN_ID": "",
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        profiles: str(shared_file("config/fastdds.xml")),
        "ROS_LOG_DIR": str(log_folder.resolve() / "ros"),
        "RCUTILS_COLORIZED_OUTPUT": "0",
        "PYTHONUNBUFFERED": "1",
        "MUJOCO_GL": "egl",
        **ONE_THREAD,
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    if not os.environ["ROS_DOMAIN_ID"]:
        os.environ["ROS_DOMAIN_ID"] = str(choose_domain())


def check(live: Live) -> None:
    """Refuse early: raises CardError for a bundle, ConfigError or BagError for a robot or bag that can't be used."""
    card = load_bundle(live.model).card
    if live.bag is None:
        robot_parameters(card.streams)
        check_planner(live.recipe)
    else:
        find_inputs(live.bag, card.streams, card.name)


def start_all(processes: Processes, live: Live) -> Child:
    """Start robot, planner if there is one, segmenter and recorder; return the robot. They end in this order.

    It publishes nothing before recorder and segmenter listen, so that the recording lacks nothing that went into a
    label. A bag's topics are given to the segmenter, as a bag may have them where the model's card names none.
    """
    card = load_bundle(live.model).card
    segmenter: dict[str, Any] = {"model": str(live.model), "autostart": True}
    recorder: dict[str, Any] = {"output": str(live.folder), "name": RECORDING, "model": str(live.model)}
    if live.bag is None:
        shown = {
            **robot_parameters(card.streams),
            **driven_parameters(live.recipe),
            **patience(model_topics(card.streams)),
        }
        robot = start_node(processes, "simulated_robot", "robot.main", shown)
        if live.recipe:
            start_planner(processes, live.recipe)
    else:
        inputs = find_inputs(live.bag, card.streams, card.name)
        taken = [topic for topics in inputs.topics.values() for topic in topics]
        player = {"bag": str(live.bag), "loop": True, **patience(taken)}
        robot = start_node(processes, "player", "player", player)
        segmenter |= {f"topics.{stream}": list(topics) for stream, topics in inputs.topics.items() if topics}
        recorder["topics"] = sorted({*TOPICS, *inputs.all_topics})
    start_node(processes, SEGMENTER, "segmenter.main", segmenter)
    start_node(processes, "recorder", "recorder", recorder)
    return robot


def start_node(processes: Processes, name: str, module: str, parameters: Mapping[str, Any]) -> Child:
    """Start one node of the package as a process, `module` below `hal_ros.ros`. Raises HalError where it can't."""
    arguments = [
        part for key, value in parameters.items() for part in ("-p", f"{key}:={json.dumps(value)}")
    ]  # JSON is YAML
    command = [sys.executable, "-m", f"hal_ros.ros.{module}", "--ros-args", *arguments]
    return processes.start(name, command, os.environ)
