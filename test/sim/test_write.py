"""An episode on disk: the robot's topics in order of arrival, the same for the same seed, whole or not there at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hal_ros.bags.messages import deserialise, to_ns
from hal_ros.bags.reader import BagMessage, read_messages
from hal_ros.bags.sensors import COMPRESSED, IMAGE, pixels
from hal_ros.core.errors import BagError
from hal_ros.core.streams.spec import CameraSpec
from hal_ros.sim import messages
from hal_ros.sim.benchmark import JOINT_NAMES, SPLITS, EpisodeSpec, episodes
from hal_ros.sim.messages import START_NS
from hal_ros.sim.write import TRAINING_PICTURES, Pictures, is_written, write_episode
from short_episodes import LENGTH_NS, shortened

pytestmark = pytest.mark.sim

SPEC = episodes("train")[0]
JOINTS, CLOCK, TRUTH = "/joint_states", "/clock", "/simulation/action_truth"
CAMERA, INFO = "/camera/color/image_raw", "/camera/color/camera_info"


@pytest.fixture(autouse=True, scope="module")
def short_episodes() -> Iterator[None]:
    with shortened():
        yield


@pytest.fixture(scope="module")
def episode(short_episodes: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one episode, as it is written by default."""
    folder = tmp_path_factory.mktemp("episode")
    written = write_episode(SPEC, folder)
    assert (written.name, written.simulated_s) == (SPEC.name, LENGTH_NS / 1e9)
    return folder / SPEC.name


def by_topic(path: Path) -> dict[str, list[BagMessage]]:
    found: dict[str, list[BagMessage]] = {}
    for message in read_messages(path):
        found.setdefault(message.topic, []).append(message)
    return found


def decoded(messages: list[BagMessage]) -> list[Any]:
    return [deserialise(message.type_name, message.data) for message in messages]


def stamps(messages: list[BagMessage]) -> list[int]:
    return [to_ns(message.header.stamp) for message in decoded(messages)]


def test_an_episode_holds_what_the_robot_says(episode: Path) -> None:
    found = by_topic(episode)
    assert set(found) == {JOINTS, CLOCK, TRUTH, f"{CAMERA}/compressed", INFO}
    assert stamps(found[JOINTS]) == list(range(START_NS, START_NS + LENGTH_NS + 1, 10_000_000))
    assert [to_ns(m.clock) for m in decoded(found[CLOCK])] == stamps(found[JOINTS])
    images = stamps(found[f"{CAMERA}/compressed"])
    assert len(images) == round(LENGTH_NS / 1e9 * 15) + 1
    assert set(np.diff(images)) == {60_000_000, 70_000_000}  # 15 Hz on a clock of 10 ms
    assert images == stamps(found[INFO]) == stamps(found[TRUTH])
    assert all(m.name == list(JOINT_NAMES) for m in decoded(found[JOINTS]))
    received = [m.receive_ns for m in read_messages(episode)]
    assert received == sorted(received)


def test_truth_is_the_annotation(episode: Path) -> None:
    annotation = json.loads((episode / "annotation.json").read_text())
    segments = annotation["segments"]
    assert (annotation["recipe"], annotation["seed"], annotation["level"]) == (SPEC.recipe, SPEC.seed, SPEC.level)
    assert segments[0]["start_ns"] == START_NS
    assert [s["end_ns"] for s in segments[:-1]] == [s["start_ns"] for s in segments[1:]]
    transcript = (episode / "transcript.txt").read_text().splitlines()
    assert transcript == [action for action, _ in groupby(s["action"] for s in segments)]
    assert len(transcript) > 1
    for truth in decoded(by_topic(episode)[TRUTH]):
        stamp_ns = to_ns(truth.header.stamp)
        if stamp_ns < segments[-1]["end_ns"]:
            (now,) = [s for s in segments if s["start_ns"] <= stamp_ns < s["end_ns"]]
            assert truth.label == now["action"]


def test_the_same_seed_gives_the_same_bytes(episode: Path, tmp_path: Path) -> None:
    write_episode(SPEC, tmp_path)
    again = tmp_path / SPEC.name
    assert sorted(p.name for p in episode.iterdir()) == sorted(p.name for p in again.iterdir())
    for path in episode.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name
    other = SPEC._replace(seed=SPEC.seed + 1)
    write_episode(other, tmp_path / "c")
    assert by_topic(tmp_path / "c" / SPEC.name)[JOINTS] != by_topic(episode)[JOINTS]


def test_the_level_changes_pictures_alone(episode: Path, tmp_path: Path) -> None:
    write_episode(SPEC._replace(level="hard"), tmp_path)
    default, hard = by_topic(episode), by_topic(tmp_path / SPEC.name)
    assert default[JOINTS] == hard[JOINTS]
    assert default[TRUTH] == hard[TRUTH]
    assert default[f"{CAMERA}/compressed"] != hard[f"{CAMERA}/compressed"]


def test_compressed_pictures_are_nearly_the_raw_ones(episode: Path, tmp_path: Path) -> None:
    write_episode(SPEC, tmp_path, Pictures(raw=True))
    jpeg = by_topic(episode)[f"{CAMERA}/compressed"][:5]
    raw = by_topic(tmp_path / SPEC.name)[CAMERA][:5]
    for one, other in zip(decoded(jpeg), decoded(raw), strict=True):
        first, second = pixels(one, COMPRESSED).astype(int), pixels(other, IMAGE).astype(int)
        assert first.shape == second.shape == (TRAINING_PICTURES.height_px, TRAINING_PICTURES.width_px, 3)
        assert np.abs(first - second).mean() < 3
        assert np.abs(first - second[..., ::-1]).mean() > 2 * np.abs(first - second).mean()  # the channels' order shows
    assert TRAINING_PICTURES.width_px == CameraSpec().size_px == 128


def test_the_camera_is_described(episode: Path) -> None:
    info = decoded(by_topic(episode)[INFO])[0]
    assert (info.width, info.height) == (128, 128)
    k = info.k.reshape(3, 3)
    assert k[0, 0] == k[1, 1] > 64  # less than 90 degrees wide
    assert (k[0, 2], k[1, 2], k[2, 2]) == (64, 64, 1)
    np.testing.assert_array_equal(info.p.reshape(3, 4)[:, :3], k)


def test_an_interrupted_episode_leaves_nothing_that_looks_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(messages, "compressed_image", fail)
        with pytest.raises(KeyboardInterrupt):
            write_episode(SPEC, tmp_path)
    assert not is_written(SPEC, tmp_path)
    assert not (tmp_path / SPEC.name).exists()
    write_episode(SPEC, tmp_path)
    assert is_written(SPEC, tmp_path)


def test_a_folder_that_can_not_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(BagError, match="can't be made"):
        write_episode(SPEC, tmp_path / "out")


def test_names_are_unique_in_every_split() -> None:
    specs: list[EpisodeSpec] = [spec for split in SPLITS for spec in episodes(split)]
    assert len({spec.name for spec in specs}) == len(specs)
