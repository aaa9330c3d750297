"""The simulated robot's parameters."""

from __future__ import annotations

from dataclasses import dataclass

from hal_ros.core.errors import ConfigError
from hal_ros.ros import subscribers
from hal_ros.ros.segmenter_parameters import parameter
from hal_ros.sim.benchmark import LEVELS, RECIPES


@dataclass(frozen=True)
class RobotParameters:
    """What a user sets."""

    width_px: int = parameter(640, "Width of the camera image.", (16, 4096))
    height_px: int = parameter(480, "Height of the camera image.", (16, 4096))
    image_rate_hz: float = parameter(15.0, "Images per second.", (0.1, 100.0))
    shadows: bool = parameter(False, "Render shadows; costs several times as much.")
    wrist_camera: bool = parameter(False, "Publish the wrist camera, too, under wrist_camera/color.")
    wrist_size_px: int = parameter(128, "Width and height of the wrist camera's image.", (16, 4096))
    wrench: bool = parameter(False, "Publish the wrist's force-torque sensor on ft_sensor/wrench.")
    tool_pose: bool = parameter(False, "Publish the pose of the fingertips on tool_pose.")
    gripper_topic: bool = parameter(False, "Publish the gripper's joint on gripper/joint_states as well.")
    split_gripper: bool = parameter(
        False, "Publish the gripper's joint on gripper/joint_states alone, no longer among joint_states."
    )
    recipe: str = parameter("", "Recipe to repeat; empty: all of the benchmark in turn.")
    seed: int = parameter(900000, "Seed of the first episode; each one after it adds 1.", (0, 2**31 - 1))
    level: str = parameter("default", "How much the scenes differ.", choices=LEVELS)
    driven: bool = parameter(False, "Do what a planner says on option, and nothing else; needs a recipe.")
    disturbed: bool = parameter(True, "A driven robot's grasps miss, its blocks are moved and it pauses, by its seed.")
    pause_s: float = parameter(1.0, "Seconds that the robot stands still between two episodes.", (0.0, 3600.0))
    publish_clock: bool = parameter(
        False, "Stamp with simulated time, from 1 s on, and publish it on /clock; else stamps are ROS time."
    )
    real_time_factor: float = parameter(
        1.0, "Simulated seconds per second; other than 1 needs publish_clock.", (0.05, 20.0)
    )
    wait_for_subscribers_s: float = parameter(0.0, subscribers.WAIT, (0.0, 600.0))
    heard_twice: tuple[str, ...] = parameter((), subscribers.TWICE)


def check(parameters: RobotParameters) -> None:
    """Raise ConfigError for values that do not go together or name nothing."""
    if parameters.recipe and parameters.recipe not in RECIPES:
        raise ConfigError(f"parameter recipe is {parameters.recipe!r}: expected one of {', '.join(RECIPES)}")
    if parameters.driven and not parameters.recipe:
        raise ConfigError(
            "parameter driven is true, but recipe is empty: expected the recipe that the planner plans for"
        )
    if parameters.real_time_factor != 1.0 and not parameters.publish_clock:
        raise ConfigError(
            f"parameter real_time_factor is {parameters.real_time_factor}: expected 1.0, or publish_clock, because "
            "stamps are ROS time"
        )
