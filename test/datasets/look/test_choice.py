"""Which topics become streams, by which rule, and why others do not."""

from __future__ import annotations

from typing import Any

import pytest

from hal_ros.core.streams.spec import JOINT_FIELDS, JOINT_STATE
from hal_ros.datasets.look.asked import read_asked
from hal_ros.datasets.look.candidates import CAMERA_KIND, JOINTS_KIND, NUMBERS_KIND, Candidate
from hal_ros.datasets.look.choice import Choice, choose
from hal_ros.datasets.look.topics import WRENCH

IMAGE = "sensor_msgs/msg/Image"
BAGS = ("one", "two")


def picture(topic: str, rate_hz: float = 30.0, **changes: Any) -> Candidate:
    return Candidate(topic, CAMERA_KIND, IMAGE, rate_hz, 1 / rate_hz, 0.0, **{"bags": BAGS, **changes})


def arm(topic: str, *names: str, low: float = 0.0, bags: tuple[str, ...] = BAGS) -> Candidate:
    ranges = ({name: (low + place, low + place + 1) for place, name in enumerate(names)},)
    return Candidate(topic, JOINTS_KIND, JOINT_STATE, 50.0, 0.02, 0.0, bags, "", names, (), JOINT_FIELDS, ranges=ranges)


def numbers(topic: str, type_name: str = "std_msgs/msg/Float64") -> Candidate:
    return Candidate(topic, NUMBERS_KIND, type_name, 50.0, 0.02, 0.0, BAGS, fields=("data",))


def chosen(*candidates: Candidate, **asked: Any) -> Choice:
    choice = choose(sorted(candidates, key=lambda one: one.topic), len(BAGS), read_asked(**asked))
    assert not choice.problems
    return choice


def states(choice: Choice) -> dict[str, tuple[str, ...]]:
    return {name: state.names for name, state in choice.streams.states.items()}


def test_joints_are_taken_once() -> None:
    """From the topic with most of them; of the others what is new."""
    relay, whole = arm("/arm/joint_states", "a", "b"), arm("/joint_states", "a", "b", "c")
    more = arm("/more/joint_states", "c", "d", low=2.0)
    choice = chosen(relay, whole, more)
    assert states(choice) == {"joints": ("a", "b", "c"), "more": ("d",)}
    assert choice.reasons == {"/arm/joint_states": "repeats joints of /joint_states"}


def test_two_arms_whose_joints_have_the_same_names_are_two_states() -> None:
    choice = chosen(arm("/left/joint_states", "a", "b"), arm("/right/joint_states", "a", "b", low=0.7))
    assert states(choice) == {"left": ("a", "b"), "right": ("a", "b")}


@pytest.mark.parametrize(
    "topic", ["/joint_commands", "/arm/desired/joint_states", "/leader/joint_states", "/gripper/cmd", "/goal_joints"]
)
def test_what_looks_like_a_command_is_no_state(topic: str) -> None:
    choice = chosen(picture("/front"), arm(topic, "x"), numbers("/gripper_command"))
    assert states(choice) == {}
    assert set(choice.reasons.values()) == {"looks like a command"}


def test_wrenches_and_grippers_are_taken_and_other_numbers_are_not() -> None:
    candidates = [
        numbers("/left/ft", WRENCH),
        numbers("/right/ft", WRENCH),
        numbers("/gripper/width"),
        numbers("/pose"),
    ]
    choice = chosen(*candidates, picture("/front"))
    assert list(choice.streams.states) == ["left", "right", "gripper"]
    assert choice.reasons == {"/pose": "not taken; it can be added under states: in the settings"}


def test_pictures_of_one_camera_are_taken_once() -> None:
    topics = ("/cam/image_rect", "/cam/image_raw", "/cams/front", "/cams/wrist")
    choice = chosen(*map(picture, topics))
    assert [camera.topic for camera in choice.streams.cameras.values()] == [(topic,) for topic in topics[1:]]
    assert choice.reasons == {"/cam/image_rect": "the camera of /cam/image_raw"}


def test_what_has_a_fault_or_is_in_few_bags_is_not_taken() -> None:
    candidates = picture("/front"), picture("/depth", fault="depth"), picture("/side", bags=())
    choice = chosen(*candidates)
    assert list(choice.streams.cameras) == ["camera"]
    assert choice.reasons == {"/depth": "depth", "/side": "only in 0 of 2 bags"}


@pytest.mark.parametrize(
    ("candidates", "clock"),
    [
        ([picture("/a"), picture("/camera/color/image_raw", 5.0)], "camera"),  # the usual one
        ([picture("/a", 15.0), picture("/b", 30.0), picture("/c", 29.9)], "b"),  # the first of the fast ones
        ([picture("/a", 25.0), picture("/b", 30.0)], "a"),  # nearly as fast
        ([picture("/a", bags=BAGS[:1]), picture("/b", 5.0)], "b"),  # in all bags
        ([picture("/a", bags=BAGS[:1]), picture("/camera/color/image_raw", bags=BAGS[:1]), picture("/b")], "b"),
        ([arm("/x/joint_states", "a"), arm("/joint_states", "b")], "joints"),  # without cameras
    ],
)
def test_the_clock_is_chosen_by_rule(candidates: list[Candidate], clock: str) -> None:
    assert chosen(*candidates).streams.clock == clock


def test_the_first_camera_that_is_asked_for_is_the_clock() -> None:
    candidates = picture("/a"), picture("/camera/color/image_raw"), arm("/joint_states", "a")
    choice = chosen(*candidates, cameras=["side=/a", "front=/camera/color/image_raw"], states=["arm=/joint_states"])
    assert (choice.streams.clock, list(choice.streams.cameras)) == ("side", ["side", "front"])
    assert chosen(*candidates, states=["arm=/joint_states"]).streams.clock == "arm"


def test_a_state_may_come_from_several_topics() -> None:
    candidates = arm("/left", "a", "b"), arm("/right", "c")
    asked = ["arms=/left:position", "arms=/right:position"]
    state = chosen(*candidates, states=asked).streams.states["arms"]
    assert (state.topic, state.names, state.fields) == (("/left", "/right"), ("a", "b", "c"), ("position",))


def test_joints_may_be_read_by_their_place() -> None:
    state = chosen(arm("/arm", "a", "b"), states=["arm=/arm:position[1],position[0]"]).streams.states["arm"]
    assert (state.names, state.fields, state.type) == ((), ("position[1]", "position[0]"), JOINT_STATE)


def test_ages_follow_the_slowest_writer_and_are_never_too_short() -> None:
    slow = Candidate("/slow", JOINTS_KIND, JOINT_STATE, 54.0, 0.25, 0.0, BAGS, "", ("a",), (), JOINT_FIELDS)
    streams = chosen(picture("/front", 2.0), arm("/fast", "b"), slow).streams
    assert streams.cameras["camera"].max_age_s == 1.5
    assert {name: state.max_age_s for name, state in streams.states.items()} == {"fast": 0.1, "slow": 0.75}
