"""One plan for each set of the simulated robot's streams."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from hal_ros.core.card import ModelCard  # noqa: E402
from hal_ros.core.errors import ConfigError  # noqa: E402
from hal_ros.core.streams.spec import CameraSpec, StateSpec, StreamSpec  # noqa: E402
from hal_ros.datasets.config import DataConfig, NamedStreams, draft_card, streams_of  # noqa: E402
from hal_ros.datasets.encoded_clips import EncodedClip  # noqa: E402
from hal_ros.datasets.episodes import ingest  # noqa: E402
from hal_ros.experiments import stream_sets  # noqa: E402
from hal_ros.experiments.declaration import load_declaration, make_plan, run_settings  # noqa: E402
from hal_ros.experiments.graph import Graph  # noqa: E402
from hal_ros.experiments.ingested import PreparedEpisodes, extras_for  # noqa: E402
from hal_ros.experiments.kinds import kind_of  # noqa: E402
from hal_ros.experiments.plan import Experiment  # noqa: E402
from hal_ros.experiments.stream_sets import Selection, part_of, selection  # noqa: E402
from hal_ros.sim.benchmark import ACTIONS  # noqa: E402
from hal_ros.train.config import config_from_mapping, load_config  # noqa: E402
from other_robots.recording import FORMS, Form  # noqa: E402
from other_robots_bags import Plot, write_other_robot  # noqa: E402

ROOT = Path(__file__).parents[2]
SETS = ["joints", "front", "front + joints", "front + wrist + joints", "all"]


class Made:
    """What was simulated and ingested, in place of doing so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: list[bool] = []  # with extra topics?
        self.ingested: list[list[str]] = []  # their streams
        monkeypatch.setattr(stream_sets, "write_benchmark", self.write)
        monkeypatch.setattr(stream_sets, "ingest", self.ingest)
        monkeypatch.chdir(ROOT)

    def write(self, data: DataConfig, *_: object) -> None:
        self.written.append(extras_for(data) is not None)

    def ingest(self, settings: Mapping[str, Any], *_: object) -> PreparedEpisodes:
        config = config_from_mapping(dict(settings))
        self.ingested.append(list(streams_of(config.data).names))
        fold = {"episodes": {"test": "-".join(self.ingested[-1])}, "vocabulary": list(ACTIONS)}
        return PreparedEpisodes(draft_card(config.data, ACTIONS), fold, {"encoder": "", "episodes": {}})


def experiments(quick: bool = False) -> dict[str, Experiment]:
    declared = load_declaration(ROOT / "config" / "tables.yaml")
    found = stream_sets.stream_experiments(declared["streams"], declared["quick"] if quick else None)
    return {one.part: one for one in found}


def student(found: Experiment, seed: int = 0) -> Mapping[str, Any]:
    (job,) = [
        job for job in found.plan.jobs if job.name == f"streams: {found.part}: train student, transcripts, seed {seed}"
    ]
    config: Mapping[str, Any] = job.settings["config"]
    return config


def test_every_set_has_its_own_chain_of_jobs_under_both_supervisions(monkeypatch: pytest.MonkeyPatch) -> None:
    Made(monkeypatch)
    found = experiments()
    assert list(found) == SETS
    graph = Graph(job for one in found.values() for job in one.plan.jobs)
    for name, one in found.items():
        lines = {(line.section, line.system, line.supervision): line for line in one.plan.lines}
        assert {("main", "student", "transcripts"), ("main", "student", "annotations")} <= set(lines)
        assert all(len(line.scores) == 3 for line in lines.values())
        kinds = [job.kind for job in graph.jobs.values() if job.name.startswith(f"streams: {name}: ")]
        counts = {kind: kinds.count(kind) for kind in set(kinds)}
        assert counts == {"first": 1, "eye": 6, "teacher": 3, "student": 6, "score": 9, "cost": 1}
    for job in graph.jobs.values():
        kind_of(job, job.inputs)  # raises for inputs that it does not take
    trainings = [graph.keys[job.name] for job in graph.jobs.values() if job.kind in ("eye", "teacher", "student")]
    assert len(set(trainings)) == len(trainings)  # no set takes another one's for its own


def test_sets_take_their_streams_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch)
    found = experiments()
    streams = {name: streams_of(config_from_mapping(dict(student(one))).data) for name, one in found.items()}
    assert {name: (spec.clock, spec.names) for name, spec in streams.items()} == {
        "joints": ("joints", ("joints",)),
        "front": ("front", ("front",)),
        "front + joints": ("camera", ("camera", "joints")),  # today's model, whose streams have no names of their own
        "front + wrist + joints": ("front", ("front", "wrist", "joints")),
        "all": ("front", ("front", "wrist", "joints", "wrench", "tool")),
    }
    assert [spec.value_count for spec in streams.values()] == [21, 0, 21, 21, 34]
    everything = ["front", "wrist", "joints", "wrench", "tool"]
    assert made.ingested == [
        ["joints"],
        everything,
        ["camera", "joints"],
    ]  # pictures lie on disk as few times as can be
    selected = {name: one.places.get("selection") for name, one in found.items()}
    assert selected["front + wrist + joints"].cameras == (0, 1)
    assert selected["front + wrist + joints"].values == tuple(range(21))
    assert [name for name, each in selected.items() if each] == ["front", "front + wrist + joints"]


def test_bags_have_their_extra_topics_before_any_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch)
    experiments()
    assert made.written[0] and made.written == sorted(made.written, reverse=True)


def test_rare_actions_are_scored_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    Made(monkeypatch)
    scores = [job.settings for one in experiments().values() for job in one.plan.jobs if job.kind == "score"]
    actions = {"pour": ACTIONS.index("pour"), "missed_grasp": ACTIONS.index("missed_grasp")}
    assert all(each["recall"] == {"actions": actions, "splits": ["test", "unseen"]} for each in scores)


def test_what_the_tabletop_table_has_trained_is_not_trained_again(monkeypatch: pytest.MonkeyPatch) -> None:
    Made(monkeypatch)
    today = experiments()["front + joints"]
    fold = next(job.settings for job in today.plan.jobs if job.kind == "first")
    declared = load_declaration(ROOT / "config" / "tables.yaml")["tabletop"]
    folds = {"": {key: fold[key] for key in ("episodes", "vocabulary")}}
    tabletop = Graph(make_plan("tabletop", declared, run_settings(declared["run"], None), folds, None).jobs)
    keys = {tabletop.keys[job.name] for job in tabletop.jobs.values()}
    own = Graph(today.plan.jobs)
    assert {own.keys[job.name] for job in own.jobs.values() if job.kind not in ("score", "cost")} <= keys


def test_the_short_form_is_one_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    Made(monkeypatch)
    found = experiments(quick=True)
    assert list(found) == SETS
    assert {len(line.scores) for one in found.values() for line in one.plan.lines} == {1}
    assert {student(one)["optimiser"]["epochs"] for one in found.values()} == {1}


def test_the_second_bundle_takes_all_streams() -> None:
    config = load_config(ROOT / "config" / "train_all.yaml")
    assert config.name == "tabletop_all"
    assert streams_of(config.data).names == ("front", "wrist", "joints", "wrench", "tool")


# --- parts of the streams that were ingested together -----------------------------------------------------------------

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
