"""Parts of the streams that were ingested together."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from hal_ros.core.card import ModelCard
from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.spec import CameraSpec, StateSpec, StreamSpec
from hal_ros.datasets.config import DataConfig, NamedStreams, draft_card
from hal_ros.datasets.encoded_clips import EncodedClip
from hal_ros.datasets.episodes import ingest
from hal_ros.experiments.selection import Selection, part_of, selection
from other_robots.recording import FORMS, Form
from other_robots_bags import Plot, write_other_robot

FRONT, WRIST = CameraSpec(("/front",)), CameraSpec(("/wrist",))
ARM, FORCE = StateSpec(names=("a", "b"), fields=("position", "velocity")), StateSpec(type="x/msg/Y", fields=("f", "g"))
CAMERAS = {name: CameraSpec((f"/{name}/image_raw",), 32) for name in ("front", "wrist")}
STATES = {
    "arm": StateSpec(("/joint_states",), names=("panda_joint1", "panda_joint7")),
    "gripper": StateSpec(("/gripper/joint_states",), names=("panda_finger_joint1",)),
    "wrench": StateSpec(("/ft_sensor/wrench",), "geometry_msgs/msg/WrenchStamped", fields=("wrench.force.z",)),
}
WHOLE = StreamSpec("front", {"front": FRONT, "wrist": WRIST}, {"arm": ARM, "force": FORCE})


def part(cameras: dict[str, CameraSpec], states: dict[str, StateSpec], clock: str = "front") -> StreamSpec:
    return StreamSpec(clock, cameras, states)


def test_a_part_has_its_own_streams_values_in_its_own_order() -> None:
    assert selection(WHOLE, WHOLE) == Selection((0, 1), (0, 1, 2, 3, 4, 5))
    assert selection(WHOLE, part({"front": FRONT}, {})) == Selection((0,), ())
    swapped = part({"wrist": WRIST, "front": FRONT}, {"force": FORCE, "arm": ARM})
    assert selection(WHOLE, swapped) == Selection((1, 0), (4, 5, 0, 1, 2, 3))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (part({"front": FRONT}, {"arm": ARM}, clock="arm"), "clock is 'arm'; expected 'front'"),
        (part({"front": FRONT}, {"tool": ARM}), "stream 'tool' is not as it is among front, wrist, arm, force"),
        (part({"front": WRIST}, {}), "stream 'front' is not as it is"),
        (dataclasses.replace(part({"front": FRONT}, {}), rate_hz=5.0), r"rate_hz is 5\.0; expected 10\.0"),
    ],
)
def test_what_would_not_be_ingested_alike_is_refused(other: StreamSpec, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        selection(WHOLE, other)


def test_a_selected_clip_holds_nothing_of_the_rest() -> None:
    ticks = 3
    joints = np.arange(ticks * 6, dtype=np.float32).reshape(ticks, 6)
    features = tuple(np.full((ticks, 2), camera, np.float16) for camera in range(2))
    flags = np.array([[1, 0]] * ticks, np.float32)
    clip = EncodedClip("clip", features, flags, joints, joints % 2, np.arange(ticks), (1, 2))
    found = Selection((1,), (4, 5)).of(clip)
    assert [feature[0, 0] for feature in found.features] == [1]
    assert found.image_valid.tolist() == [[0]] * ticks
    assert (
        found.joints.tolist() == joints[:, 4:].tolist() and found.joints_valid.tolist() == (joints[:, 4:] % 2).tolist()
    )
    assert (found.name, found.transcript, found.ticks) == ("clip", (1, 2), ticks)
    assert Selection((0,), ()).of(clip).joints.shape == (ticks, 0)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_part_is_what_would_have_been_ingested_alone(form: Form, tmp_path: Path) -> None:
    bag = write_other_robot(tmp_path, "panda", form, Plot(("approach_green", "grasp", "lift"), 0.5))
    whole = StreamSpec("front", CAMERAS, STATES)
    alone = StreamSpec("front", {"front": CAMERAS["front"]}, {"wrench": STATES["wrench"], "gripper": STATES["gripper"]})
    chosen = selection(whole, alone)
    together, own = (ingest(bag, card_of(spec)) for spec in (whole, alone))
    assert len(own.stamp_ns) >= 10 and own.joints_valid.any()
    for key in ("stamp_ns", "fresh", "held", "actions"):
        assert np.array_equal(getattr(together, key), getattr(own, key)), key
    values, cameras = list(chosen.values), list(chosen.cameras)
    for key, columns in (("joints", values), ("joints_valid", values), ("image_valid", cameras)):
        assert np.array_equal(getattr(together, key)[:, columns], getattr(own, key)), key
    assert np.array_equal(together.images["front"], own.images["front"])


def card_of(spec: StreamSpec) -> ModelCard:
    data = DataConfig(streams=NamedStreams(spec.clock, spec.cameras, spec.states))
    return draft_card(data, ("approach_green", "grasp", "lift"))


def test_a_stream_that_settings_do_not_name_is_named() -> None:
    streams = {"clock": "", "cameras": {"front": {}}, "states": {"arm": {"names": ["a"]}}}
    expected = {"clock": "arm", "cameras": {}, "states": {"arm": {"names": ["a"]}}}
    assert part_of(streams, "arm", [], ["arm"]) == expected
    with pytest.raises(ConfigError, match="'rear' is none of the cameras; expected some of front"):
        part_of(streams, "arm", ["rear"], ["arm"])
