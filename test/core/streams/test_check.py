"""Whatever is wrong with streams is said in one line: the key, its value and what was expected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hal_ros.core.streams.check import streams_fault
from hal_ros.core.streams.spec import JOINT_STATE, CameraSpec, StateSpec, StreamSpec, ValueName, single

WRENCH = StateSpec(topic=("/ft",), type="geometry_msgs/msg/WrenchStamped", fields=("wrench.force.x", "wrench.force.z"))
ARM = StateSpec(topic=("/joint_states", "/other"), names=("a", "b"), fields=("position", "effort"))
ROBOT = StreamSpec(
    "front",
    {"front": CameraSpec(topic=("/front",)), "wrist": CameraSpec(topic=("/wrist",), crop=(0, 0, 64, 48))},
    {"arm": ARM, "wrench": WRENCH},
)


def robot(camera: dict[str, Any] | None = None, arm: Any = None, wrench: Any = None, **changes: Any) -> StreamSpec:
    cameras = {**ROBOT.cameras, "wrist": replace(ROBOT.cameras["wrist"], **camera or {})}
    states = {"arm": replace(ARM, **arm or {}), "wrench": replace(WRENCH, **wrench or {})}
    return replace(replace(ROBOT, cameras=cameras, states=states), **changes)


@pytest.mark.parametrize(
    "spec",
    [
        ROBOT,
        robot(clock="wrench"),
        robot(camera={"crop": "full", "topic": ()}),
        robot(arm={"type": JOINT_STATE}),
        robot(wrench={"type": "", "fields": ("position[2]",)}),
        robot(wrench={"type": "x_msgs/msg/Gripper", "fields": ("position", "effort")}),
        robot(cameras={}, clock="arm"),
        robot(states={}),
        single(CameraSpec(), ARM),
        single(None, ARM),
    ],
)
def test_streams_that_can_be_have_no_fault(spec: StreamSpec) -> None:
    assert streams_fault(spec) == ""


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (StreamSpec("front"), "names neither cameras nor states; expected at least one stream"),
        (robot(clock="top"), "clock is 'top'; expected one of front, wrist, arm, wrench"),
        (robot(rate_hz=0.0), "rate_hz is 0.0; expected 0.01 to 1000"),
        (robot(max_held_ticks=-1), "max_held_ticks is -1; expected 0 to 10000"),
        (robot(cameras={"my camera": CameraSpec()}), "stream 'my camera' is no name; expected a letter"),
        (robot(cameras={"front/left": CameraSpec()}), "stream 'front/left' is no name"),
        (robot(cameras={"": CameraSpec()}), "stream '' is no name"),
        (robot(cameras={"x" * 129: CameraSpec()}), "is no name; expected a letter, then letters, digits and '_', 128"),
        (robot(cameras={"front": CameraSpec(), "arm": CameraSpec()}), "stream 'arm' is both a camera and a state"),
        (robot({"size_px": 64}), "cameras have size_px [64, 128]; expected one size"),
        (robot({"size_px": 0}), "cameras wrist size_px is 0; expected 1 to 4096"),
        (robot({"max_age_s": -0.1}), "cameras wrist max_age_s is -0.1; expected 0 to 3600"),
        (robot({"crop": "middle"}), "cameras wrist crop is 'middle'; expected centre, full or x, y, width and height"),
        (robot({"crop": ()}), "cameras wrist crop is []; expected x, y >= 0"),
        (robot({"crop": (0, 0, 10)}), "cameras wrist crop is [0, 0, 10]; expected x, y"),
        (robot({"crop": (-1, 0, 10, 10)}), "cameras wrist crop is [-1, 0, 10, 10]; expected"),
        (robot({"crop": (0, 0, 0, 10)}), "cameras wrist crop is [0, 0, 0, 10]; expected"),
        (robot({"topic": ("/wrist", " ")}), "cameras wrist topic is ' '; expected a topic's name"),
        (robot({"topic": ("/wrist", "/wrist")}), "cameras wrist topic has '/wrist' 2 times; expected each once"),
        (robot(arm={"topic": ("",)}), "states arm topic is ''; expected a topic's name"),
        (robot(arm={"max_age_s": 4000.0}), "states arm max_age_s is 4000.0; expected 0 to 3600"),
        (robot(arm={"type": "JointState"}), "states arm type is 'JointState'; expected one as sensor_msgs/msg/"),
        (
            robot(arm={"type": "x/msg/Y"}),
            "states arm type is x/msg/Y beside names; expected sensor_msgs/msg/JointState",
        ),
        (robot(arm={"fields": ()}), "states arm fields is empty; expected at least one"),
        (robot(arm={"fields": ("position", "position")}), "states arm fields has 'position' 2 times; expected each"),
        (robot(arm={"names": ("a", "a")}), "states arm names has 'a' 2 times; expected each once"),
        (robot(arm={"names": ("a", "")}), "states arm names has an empty entry; expected names"),
        (robot(arm={"fields": ("torque",)}), "states arm fields has 'torque'; expected some of position, velocity"),
        (robot(arm={"names": ()}), "states arm names is empty; expected the joints' names"),
        (robot(arm={"names": (), "fields": ("position", "effort"), "type": JOINT_STATE}), "states arm names is empty"),
        (robot(wrench={"fields": ("wrench..x",)}), "states wrench fields: 'wrench..x' is no path to a number"),
        (robot(wrench={"fields": ("data[-1]",)}), "states wrench fields: 'data[-1]' is no path to a number"),
    ],
)
def test_a_fault_is_said_in_one_line(spec: StreamSpec, says: str) -> None:
    found = streams_fault(spec)
    assert says in found and "\n" not in found
    assert "expected" in found


def test_the_columns_lie_state_by_state_field_by_field_name_by_name() -> None:
    assert ROBOT.values == (
        *(ValueName("arm", name, field) for field in ("position", "effort") for name in ("a", "b")),
        ValueName("wrench", "", "wrench.force.x"),
        ValueName("wrench", "", "wrench.force.z"),
    )
    assert ROBOT.value_count == len(ROBOT.values) == 6
    assert (ROBOT.columns("arm"), ROBOT.columns("wrench")) == (slice(0, 4), slice(4, 6))
    with pytest.raises(KeyError):
        ROBOT.columns("front")


def test_of_one_camera_and_one_topic_of_joints_the_camera_is_the_clock() -> None:
    assert (single(CameraSpec(), ARM).clock, single(None, ARM).clock, single(CameraSpec(), None).clock) == (
        "camera",
        "joints",
        "camera",
    )
    assert single(None, ARM).size_px == 0 and single(CameraSpec(size_px=32), None).size_px == 32
