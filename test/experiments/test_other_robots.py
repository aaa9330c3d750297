"""One plan for each robot whose bags are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from hal_ros.core.errors import ConfigError  # noqa: E402
from hal_ros.datasets.config import draft_card, streams_of  # noqa: E402
from hal_ros.experiments import ingested, other_robots  # noqa: E402
from hal_ros.experiments.declaration import NotHereError, load_declaration  # noqa: E402
from hal_ros.experiments.graph import Graph  # noqa: E402
from hal_ros.experiments.ingested import PreparedEpisodes  # noqa: E402
from hal_ros.experiments.kinds import kind_of  # noqa: E402
from hal_ros.train.config import config_from_mapping, load_config  # noqa: E402
from other_robots.layouts import LAYOUTS, CameraTopic, JointTopic  # noqa: E402

ROOT = Path(__file__).parents[2]
DECLARED = load_declaration(ROOT / "config" / "tables.yaml")


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ingest nothing; return the folders that would have been ingested."""
    found: list[str] = []

    def fake(settings: Mapping[str, Any], scored: Sequence[str], _: object) -> PreparedEpisodes:
        config = config_from_mapping(dict(settings))
        found.append(config.data.folder)
        card = draft_card(config.data, ("lift", "push"))
        fold = {"episodes": {"test": config.data.folder}, "vocabulary": ["lift", "push"]}
        episodes = {"train": [f"train_{number}" for number in range(9)], "validation": ["validation_0"], "test": []}
        return PreparedEpisodes(card, fold, {"episodes": episodes})

    def first(found: PreparedEpisodes, _: object, count: int) -> PreparedEpisodes:
        return PreparedEpisodes(found.card, {**found.fold, "count": count}, found.places)

    monkeypatch.setattr(other_robots, "ingest", fake)
    monkeypatch.setattr(ingested, "first_episodes", first)
    monkeypatch.chdir(ROOT)
    return found


def make(folder: Path, *splits: str) -> None:
    for split in splits:
        (folder / split).mkdir(parents=True)


def test_each_robot_has_student_and_baselines_under_both_supervisions(tmp_path: Path, folders: list[str]) -> None:
    for robot in ("aloha", "panda"):
        make(tmp_path / robot, "train", "test")
    found = other_robots.other_robot_experiments(DECLARED["other_robots"], None, tmp_path)
    parts = [(one.table, one.part, one.episodes) for one in found]
    assert parts == [("other_robots", robot, count) for robot in ("aloha", "panda") for count in (10, 5)]
    assert folders == [str(tmp_path / "aloha"), str(tmp_path / "panda")]
    for one in found:
        lines = {(line.system, line.supervision) for line in one.plan.lines if line.section == "main"}
        systems = ("student", "GRU", "logistic", "MiniROAD, small", "OnlineTAS", "ProTAS")
        supervisions = ("transcripts", "annotations")
        few = ("student", "GRU")
        shares = [f"transcripts + {share}" for share in ("1 annotated", "3 annotated", "5 % marks")]
        if one.episodes < 10:
            assert lines == {(system, supervision) for system in few for supervision in supervisions}
            assert not one.plan.cost
        else:  # ten can't be annotated of nine
            told = {(system, supervision) for system in few for supervision in shares}
            assert lines == told | {(system, supervision) for system in systems for supervision in supervisions}
        assert all(len(line.scores) == 3 for line in one.plan.lines)
        for job in Graph(one.plan.jobs).jobs.values():
            kind_of(job, job.inputs)


def test_a_robot_without_bags_is_left_out_by_name(
    tmp_path: Path, folders: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "panda", "train", "test")
    found, _ = other_robots.other_robot_experiments(DECLARED["other_robots"], DECLARED["quick"], tmp_path)
    assert found.part == "panda" and folders == [str(tmp_path / "panda")]
    assert {len(line.scores) for line in found.plan.lines} == {1}
    assert capsys.readouterr().out.splitlines() == [
        "other_robots: panda: transcripts + 10 annotated: left out, there are 9 training episodes",
        "other_robots: panda: 10 episodes: left out, there are 10",
        "other_robots: panda: 20 episodes: left out, there are 10",
        f"other_robots: no bags of aloha in {tmp_path / 'aloha'}: left out",
    ]


@pytest.mark.usefixtures("folders")
def test_bags_of_no_robot_and_half_a_dataset_are_errors(tmp_path: Path) -> None:
    with pytest.raises(NotHereError, match=r"no bags of aloha in .*no bags of panda in .*make_bags\.py"):
        other_robots.other_robot_experiments(DECLARED["other_robots"], None, tmp_path)
    make(tmp_path / "panda", "train")
    with pytest.raises(ConfigError, match=r"panda: has no test; expected the bags that .*make_bags\.py panda"):
        other_robots.other_robot_experiments(DECLARED["other_robots"], None, tmp_path)


@pytest.mark.parametrize("robot", ["aloha", "panda"])
def test_the_settings_take_every_camera_and_joint_of_the_robot(robot: str) -> None:
    data = load_config(ROOT / "config" / "robots" / f"{robot}.yaml").data
    spec = streams_of(data)
    topics = [each for turns in (False, True) for each in LAYOUTS[robot](turns)]
    cameras = {each.topic.name for each in topics if isinstance(each, CameraTopic)}
    assert {topic for camera in spec.cameras.values() for topic in camera.topic} == cameras
    states = {topic for state in spec.states.values() for topic in state.topic}
    assert states == {each.topic.name for each in topics} - cameras
    joints = {name for each in topics if isinstance(each, JointTopic) for name in each.joints.values()}
    assert {name for state in spec.states.values() for name in state.names} == joints
