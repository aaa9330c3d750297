"""Where a model's streams lie in a bag: as the model names them, never guessed, and what is not there is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import make_streams
from hal_ros.bags.definitions import BagTypes
from hal_ros.bags.inputs import BagInputs, evidence, find_inputs, inputs_among
from hal_ros.bags.messages import header_message, known_class, schema_text, serialise
from hal_ros.bags.reader import BagWriter, TopicForm
from hal_ros.bags.sensors import COMPRESSED, IMAGE
from hal_ros.core.errors import BagError
from hal_ros.core.streams.spec import JOINT_STATE, CameraSpec, StateSpec, StreamSpec, single

WRENCH = "geometry_msgs/msg/WrenchStamped"
USUAL, JOINTS = "/camera/color/image_raw", "/joint_states"
ROBOT = StreamSpec(
    "front",
    {"front": CameraSpec(topic=("/front",)), "wrist": CameraSpec(topic=("/wrist/compressed", "/hand"))},
    {
        "arm": StateSpec(topic=(JOINTS, "/gripper/joint_states"), names=("a", "b")),
        "wrench": StateSpec(topic=("/ft",), type=WRENCH, fields=("wrench.force.x",)),
    },
)
ALL = {
    "/front": IMAGE,
    "/wrist/compressed": COMPRESSED,
    JOINTS: JOINT_STATE,
    "/gripper/joint_states": JOINT_STATE,
    "/ft": WRENCH,
    "/other": IMAGE,
    "/rosout": "rcl_interfaces/msg/Log",
}


def find(types: dict[str, str], spec: StreamSpec = ROBOT, **asked: tuple[str, ...]) -> BagInputs:
    return inputs_among(types, BagTypes(), spec, "model", asked)


def without(*topics: str) -> dict[str, str]:
    return {topic: kind for topic, kind in ALL.items() if topic not in topics}


def refusal(types: dict[str, str], spec: StreamSpec = ROBOT, **asked: tuple[str, ...]) -> str:
    with pytest.raises(BagError) as refused:
        find(types, spec, **asked)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_every_stream_is_taken_from_the_topics_that_the_model_names() -> None:
    inputs = find(ALL)
    assert inputs.topics == {
        "front": ("/front",),
        "wrist": ("/wrist/compressed",),
        "arm": (JOINTS, "/gripper/joint_states"),
        "wrench": ("/ft",),
    }
    assert not inputs.problems
    assert inputs.all_topics == set(ALL) - {"/other", "/rosout"}
    assert inputs.clock_topics == {"/front"}
    assert inputs.headed == inputs.all_topics
    assert str(inputs) == (f"front /front, wrist /wrist/compressed, arm {JOINTS} and /gripper/joint_states, wrench /ft")


@pytest.mark.parametrize(
    ("topic", "held"),
    [
        ("/cam", "/cam"),
        ("/cam", "/cam/compressed"),
        ("/cam/compressed", "/cam"),
        ("/cam/compressed", "/cam/compressed"),
    ],
)
def test_a_camera_is_found_raw_or_compressed_whichever_the_bag_holds(topic: str, held: str) -> None:
    kind = COMPRESSED if held.endswith("/compressed") else IMAGE
    spec = single(CameraSpec(topic=(topic,)), None)
    assert find({held: kind, "/z": IMAGE}, spec).topics == {"camera": (held,)}
    assert find({held: kind, "/z": IMAGE}, make_streams(joints=None), camera=(topic,)).topics == {"camera": (held,)}


def test_of_both_transports_the_one_that_is_named_is_taken() -> None:
    both = {"/cam": IMAGE, "/cam/compressed": COMPRESSED}
    for topic in both:
        assert find(both, single(CameraSpec(topic=(topic,)), None)).topics["camera"] == (topic,)


def test_a_topic_that_is_named_is_never_guessed() -> None:
    inputs = find({**without("/wrist/compressed", JOINTS, "/gripper/joint_states"), USUAL: IMAGE, "/left": JOINT_STATE})
    assert inputs.topics["wrist"] == inputs.topics["arm"] == ()
    wrist, arm = inputs.problems
    assert wrist.startswith("wrist: model expects /hand, /wrist/compressed; the bag has ")
    assert arm.startswith("arm: model expects /gripper/joint_states, /joint_states; the bag has ")


def test_a_model_that_names_none_takes_the_usual_ones_or_the_only_one() -> None:
    spec = make_streams()
    others = {"/a": IMAGE, "/b": COMPRESSED, "/c": JOINT_STATE, "/d": JOINT_STATE}
    assert find({**others, USUAL: IMAGE, JOINTS: JOINT_STATE}, spec).topics == {"camera": (USUAL,), "joints": (JOINTS,)}
    compressed = {f"{USUAL}/compressed": COMPRESSED}
    assert find(compressed, spec).topics == {"camera": (f"{USUAL}/compressed",), "joints": ()}
    assert find({"/a": COMPRESSED, "/c": JOINT_STATE}, spec).topics == {"camera": ("/a",), "joints": ("/c",)}
    assert "several topics carry" in refusal({"/a": IMAGE, "/b": COMPRESSED}, spec)
    assert "several topics carry sensor_msgs/msg/JointState: /c, /d" in refusal(
        {"/a": IMAGE, "/c": JOINT_STATE, "/d": JOINT_STATE}, spec
    )


def test_two_cameras_may_see_one_topic() -> None:
    spec = StreamSpec(
        "whole", {"whole": CameraSpec(topic=("/front",)), "detail": CameraSpec(topic=("/front",), crop=(0, 0, 9, 9))}
    )
    inputs = find(ALL, spec)
    assert inputs.cameras == {"/front": ("whole", "detail")}


def test_two_states_may_read_one_topic() -> None:
    states = {name: StateSpec(topic=(JOINTS,), names=(name,)) for name in ("left", "right")}
    inputs = find(ALL, StreamSpec("left", {}, states))
    assert list(inputs.readers) == [JOINTS] and list(inputs.readers[JOINTS]) == ["left", "right"]
    assert inputs.clock_topics == {JOINTS}


def test_a_state_of_which_one_topic_is_missing_says_so() -> None:
    inputs = find(without("/gripper/joint_states"))
    assert inputs.topics["arm"] == (JOINTS,)
    assert inputs.remarks == (f"arm: /gripper/joint_states is not in the bag; taken from {JOINTS} alone",)
    assert not inputs.problems and not find(ALL).remarks


def test_a_topic_of_another_type_than_the_models_is_told() -> None:
    inputs = find({**ALL, "/ft": "geometry_msgs/msg/Wrench", JOINTS: "std_msgs/msg/String"})
    assert inputs.topics["wrench"] == () and inputs.topics["arm"] == ("/gripper/joint_states",)
    arm, wrench = inputs.problems
    assert arm == f"arm: {JOINTS} carries std_msgs/msg/String; expected {JOINT_STATE}"
    assert wrench == f"wrench: /ft carries geometry_msgs/msg/Wrench; expected {WRENCH}"
    assert "/ft" not in inputs.all_topics
    inputs = find({**ALL, "/front": IMAGE, "/wrist/compressed": "std_msgs/msg/String"})
    (wrist,) = inputs.problems
    assert wrist == f"wrist: /wrist/compressed carries std_msgs/msg/String; expected {IMAGE} or {COMPRESSED}"


def test_a_field_that_does_not_exist_is_told_with_stream_topic_and_type() -> None:
    spec = replace(ROBOT, states={"wrench": replace(ROBOT.states["wrench"], fields=("force.x",))})
    (problem,) = find(ALL, spec).problems
    assert problem.startswith(f"wrench: /ft carries {WRENCH}: force.x: {WRENCH} has no field 'force'; expected one of")


def test_a_type_that_nobody_knows_is_told() -> None:
    spec = replace(ROBOT, states={"x": StateSpec(topic=("/x",), fields=("level",))})
    (problem,) = find({**ALL, "/x": "acme_msgs/msg/Level"}, spec).problems
    assert "x: /x carries acme_msgs/msg/Level: " in problem and "unknown" in problem


@pytest.mark.parametrize(
    ("kind", "text", "fault"),
    [
        (IMAGE, "std_msgs/Header header\nuint32 height\nuint32 width\n", "encoding is not there in the bag's own"),
        (IMAGE, schema_text(IMAGE).replace("uint8[] data", "string data"), "data is of another type in the bag's own"),
        (COMPRESSED, "std_msgs/Header header\nstring format\n", "data is not there in the bag's own"),
        (JOINT_STATE, "std_msgs/Header header\nstring[] name\nfloat64[] velocity\n", "position is not there; expected"),
        (JOINT_STATE, "string name\nfloat64[] position\n", "name is of another kind; expected a list of names"),
        (JOINT_STATE, "string[] name\nfloat64 position\n", "position is of another kind; expected a list of numbers"),
        (JOINT_STATE, "string[] name\nstring[] position\n", "position is of another kind; expected a list of numbers"),
    ],
)
def test_a_known_type_that_the_bag_has_a_form_of_its_own_of_is_told(kind: str, text: str, fault: str) -> None:
    known = BagTypes({"/x": TopicForm(kind, "cdr", "ros2msg", text.encode(), {})})
    arm = StateSpec(("/x",), names=("a",), fields=("position",))
    spec = StreamSpec("x", {}, {"x": arm}) if kind == JOINT_STATE else StreamSpec("x", {"x": CameraSpec(("/x",))}, {})
    with pytest.raises(BagError, match=f"x: /x carries {kind}: {fault}"):
        inputs_among({"/x": kind}, known, spec, "model")
    whole = BagTypes({"/x": TopicForm(kind, "cdr", "ros2msg", schema_text(kind).encode(), {})})
    assert not inputs_among({"/x": kind}, whole, spec, "model").problems  # negative control


def test_without_its_clock_a_bag_is_refused() -> None:
    says = refusal(without("/front"))
    assert says.startswith("front: model expects /front; the bag has ") and "model takes its ticks from it: if " in says
    assert "--camera front=TOPIC" in says
    clocked = replace(ROBOT, clock="wrench")
    says = refusal({**ALL, "/ft": "geometry_msgs/msg/Wrench"}, clocked)
    assert "wrench: /ft carries geometry_msgs/msg/Wrench" in says and says.endswith("takes its ticks from it")
    assert "the bag has no topics" in refusal({})


def test_topics_that_a_person_names_take_the_place_of_the_models() -> None:
    asked = {"front": ("/other",), "arm": ("/gripper/joint_states",)}
    inputs = find(ALL, ROBOT, **asked)
    assert (inputs.topics["front"], inputs.topics["arm"]) == (("/other",), ("/gripper/joint_states",))
    assert not inputs.problems
    alias = find({"/x": IMAGE, "/y": IMAGE, "/z": JOINT_STATE}, single(CameraSpec(), None), camera=("/y",))
    assert alias.topics["camera"] == ("/y",)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"front": ("/gone",)}, "topic '/gone' is not one of /front, /other, /wrist/compressed, which carry"),
        ({"front": (JOINTS,)}, f"topic '{JOINTS}' is not one of"),
        ({"arm": ("/gone",)}, "topic '/gone' is not in the bag, which has "),
        ({"arm": ("/ft",)}, f"topic '/ft' is not one of /gripper/joint_states, {JOINTS}, which carry {JOINT_STATE}"),
        ({"top": ("/front",)}, "model takes no stream 'top'; expected one of front, wrist, arm, wrench"),
        ({"camera": ("/front",)}, "model takes no stream 'camera'"),  # which of the two?
    ],
)
def test_what_a_person_names_and_is_not_there_is_refused(asked: dict[str, tuple[str, ...]], says: str) -> None:
    assert says in refusal(ALL, ROBOT, **asked)


def test_the_usual_names_stand_for_the_only_stream_of_their_kind() -> None:
    spec = StreamSpec("eye", {"eye": CameraSpec()}, {"body": StateSpec(names=("a",))})
    inputs = find(ALL, spec, camera=("/front",), joints=(JOINTS,))
    assert inputs.topics == {"eye": ("/front",), "body": (JOINTS,)}
    assert "takes no stream 'joints'" in refusal(ALL, StreamSpec("eye", {"eye": CameraSpec()}), joints=(JOINTS,))


def test_a_bag_of_another_robot_gives_no_evidence() -> None:
    spec = make_streams()
    foreign = find({"/a": IMAGE, "/b": JOINT_STATE}, spec)
    assert not evidence(foreign, {})
    assert evidence(foreign, {"camera": ("/a",)})
    assert evidence(find({f"{USUAL}/compressed": COMPRESSED}, spec), {})
    assert evidence(find(without("/wrist/compressed", JOINTS), ROBOT), {})


def test_a_bag_is_looked_at(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "run") as bag:
        header = header_message(5, "")
        image = known_class(IMAGE)(header, 1, 1, "mono8", 0, 1, np.zeros(1, np.uint8))
        bag.write("/front", IMAGE, serialise(image), 5)
    inputs = find_inputs(tmp_path / "run", ROBOT, "model")
    assert inputs.topics["front"] == ("/front",) and len(inputs.problems) == 3
    with pytest.raises(BagError, match="does not exist"):
        find_inputs(tmp_path / "gone", ROBOT, "model")
