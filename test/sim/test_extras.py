"""The extra topics: what they hold, in time with the others, and that they change nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hal_ros.bags.messages import deserialise, to_ns
from hal_ros.bags.reader import read_messages
from hal_ros.sim.benchmark import JOINT_NAMES, episodes
from hal_ros.sim.extras import LEAD_NS, VERSION, Extras, is_marked
from hal_ros.sim.messages import START_NS
from hal_ros.sim.write import is_written, write_episode
from short_episodes import LENGTH_NS, shortened

pytestmark = pytest.mark.sim

SPEC = episodes("train")[0]
JOINTS, GRIPPER, WRENCH, POSE = "/joint_states", "/gripper/joint_states", "/ft_sensor/wrench", "/tool_pose"
WRIST, WRIST_INFO = "/wrist_camera/color/image_raw/compressed", "/wrist_camera/color/camera_info"
FRONT = "/camera/color/image_raw/compressed"
ADDED = {GRIPPER, WRENCH, POSE, WRIST, WRIST_INFO}

Topics = dict[str, list[Any]]


def by_topic(path: Path) -> Topics:
    """Return type, bytes and arrival of each topic's messages."""
    found: Topics = {}
    for message in read_messages(path):
        found.setdefault(message.topic, []).append((message.type_name, message.data, message.receive_ns))
    return found


def decoded(messages: list[Any]) -> list[Any]:
    return [deserialise(kind, data) for kind, data, _ in messages]


def stamps(messages: list[Any]) -> list[int]:
    return [to_ns(message.header.stamp) for message in decoded(messages)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """One episode without extra topics, with them, and with the gripper in its own topic only."""
    with shortened():
        made = {}
        for name, extras in (("plain", None), ("full", Extras()), ("split", Extras(split_gripper=True))):
            made[name] = tmp_path_factory.mktemp(name)
            write_episode(SPEC, made[name], extras=extras)
        yield made


@pytest.fixture(scope="module")
def topics(folders: dict[str, Path]) -> dict[str, Topics]:
    return {name: by_topic(folder / SPEC.name) for name, folder in folders.items()}


def test_the_other_topics_stay_as_they_were(topics: dict[str, Topics], folders: dict[str, Path]) -> None:
    plain, full, split = topics["plain"], topics["full"], topics["split"]
    assert set(full) == set(split) == set(plain) | ADDED
    assert all(full[name] == plain[name] for name in plain)
    assert all(split[name] == full[name] for name in set(full) - {JOINTS})
    transcripts = {(folder / SPEC.name / "transcript.txt").read_bytes() for folder in folders.values()}
    assert len(transcripts) == 1


def test_states_come_at_every_tick_and_the_wrist_picture_before_each_of_the_other_camera(
    topics: dict[str, Topics], folders: dict[str, Path]
) -> None:
    full = topics["full"]
    ticks = list(range(START_NS, START_NS + LENGTH_NS + 1, 10_000_000))
    for name in (JOINTS, GRIPPER, WRENCH, POSE):
        assert stamps(full[name]) == ticks
    front, wrist = stamps(full[FRONT]), stamps(full[WRIST])
    assert wrist[0] == front[0] == START_NS
    assert wrist[1 : len(front)] == [stamp_ns - LEAD_NS for stamp_ns in front[1:]]
    assert wrist == stamps(full[WRIST_INFO])
    received = [message.receive_ns for message in read_messages(folders["full"] / SPEC.name)]
    assert received == sorted(received)
    assert {m.header.frame_id for m in decoded(full[WRIST])} == {"wrist_camera_color_optical_frame"}


def test_a_split_gripper_is_in_its_own_topic_alone(topics: dict[str, Topics]) -> None:
    full, arm = decoded(topics["full"][JOINTS]), decoded(topics["split"][JOINTS])
    gripper = decoded(topics["split"][GRIPPER])
    for whole, rest, own in zip(full, arm, gripper, strict=True):
        assert (*rest.name, *own.name) == tuple(whole.name) == JOINT_NAMES
        assert list(own.name) == [JOINT_NAMES[-1]]
        for field in ("position", "velocity", "effort"):
            parts = np.concatenate([getattr(rest, field), getattr(own, field)])
            np.testing.assert_array_equal(parts, getattr(whole, field))


def test_the_wrist_camera_is_a_wide_one_of_its_own(topics: dict[str, Topics]) -> None:
    info, front = (decoded(topics["full"][name])[0] for name in (WRIST_INFO, "/camera/color/camera_info"))
    assert (info.width, info.height) == (128, 128)
    assert front.k[0] > 2 * info.k[0] > 128 / 2


def test_the_tool_pose_is_a_place_above_the_table(topics: dict[str, Topics]) -> None:
    poses = [message.pose for message in decoded(topics["full"][POSE])]
    places = np.array([[p.position.x, p.position.y, p.position.z] for p in poses])
    turns = np.array([[q.x, q.y, q.z, q.w] for q in (p.orientation for p in poses)])
    np.testing.assert_allclose(np.linalg.norm(turns, axis=1), 1, atol=1e-9)
    assert np.abs(np.diff(turns, axis=0)).max() < 0.05  # never the same turn with the other sign
    assert 0 < places[:, 2].min() < places[:, 2].max() < 0.3
    assert 1e-4 < np.abs(np.diff(places[:20], axis=0)).max() < 3e-3  # the arm rests at first: this is noise


def test_the_same_seed_gives_the_same_bytes(folders: dict[str, Path], tmp_path: Path) -> None:
    with shortened():
        write_episode(SPEC, tmp_path, extras=Extras())
    for path in (folders["full"] / SPEC.name).iterdir():
        assert path.read_bytes() == (tmp_path / SPEC.name / path.name).read_bytes(), path.name


def test_an_episode_says_which_topics_it_holds(folders: dict[str, Path]) -> None:
    asked = {"plain": None, "full": Extras(), "split": Extras(split_gripper=True)}
    held = {
        name: {wish for wish, extras in asked.items() if is_written(SPEC, folder, extras)}
        for name, folder in folders.items()
    }
    assert held == {"plain": {"plain"}, "full": {"plain", "full"}, "split": {"split"}}


def test_topics_of_another_version_are_not_those_that_are_wanted() -> None:
    older = {"extras": Extras().mark() | {"version": VERSION - 1}}
    assert not is_marked(older, Extras())
    assert is_marked(older, None)
