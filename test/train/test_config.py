"""A configuration file is read exactly, or refused with a hint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.spec import CameraSpec, StateSpec
from hal_ros.datasets.config import NamedStreams
from hal_ros.train.config import ADDED, TrainConfig, config_from_mapping, config_from_saved, load_config, to_mapping

ROOT = Path(__file__).parents[2]


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("")
    assert load_config(path) == TrainConfig()


def test_the_shipped_file_is_valid_and_names_the_benchmarks_joints() -> None:
    from hal_ros.sim.benchmark import JOINT_NAMES, VERSION

    config = load_config(ROOT / "config" / "train.yaml")
    assert config.name == "tabletop"
    assert config.data.joints == JOINT_NAMES
    assert Path(config.data.folder).name == VERSION


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_preset_is_the_shipped_file_with_another_model(size: str) -> None:
    shipped, preset = (load_config(ROOT / "config" / name) for name in ("train.yaml", f"train_{size}.yaml"))
    assert preset.model != shipped.model
    assert replace(preset, name=shipped.name, model=shipped.model) == shipped


def test_a_file_completes_the_one_that_it_is_based_on(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("seed: 3\nmodel: {width: 64, heads: 2}\n")
    path = tmp_path / "own.yaml"
    path.write_text("base: base.yaml\nmodel: {heads: 8}\n")
    config = load_config(path)
    assert (config.seed, config.model.width, config.model.heads) == (3, 64, 8)
    path.write_text("base: absent.yaml\n")
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load_config(path)


def test_lists_become_tuples_and_whole_numbers_floats() -> None:
    config = config_from_mapping({"model": {"lookback": [3, 5]}, "data": {"rate_hz": 5}})
    assert config.model.lookback == (3, 5)
    assert isinstance(config.data.rate_hz, float)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"optimizer": {}}, "did you mean optimiser"),
        ({"optimiser": {"epoch": 3}}, "did you mean optimiser.epochs"),
        ({"zzz": 1}, "expected one of"),
        ({"seed": "0"}, "seed is '0'; expected int"),
        ({"seed": True}, "expected int"),
        ({"seed": -1}, "seed is -1; expected 0 to 4294967295"),
        ({"seed": 1 << 70}, "expected 0 to 4294967295"),
        ({"name": "../x"}, "name is '../x'; expected the plain name of a folder"),
        ({"name": ""}, "expected the plain name of a folder"),
        ({"model": {"heads": 0}}, "model.heads is 0; expected a divisor of model.width"),
        ({"model": {"width": 1 << 40}}, "model.width is .*; expected 1 to 100000"),
        ({"teacher": {"width": 0}}, "teacher.width is 0; expected 1 to"),
        ({"data": 3}, "data is 3; expected a mapping"),
        ({"data": {"joints": "a"}}, "expected a list"),
        ({"data": {"joints": [1]}}, r"data.joints\[0\] is 1"),
        ({"data": {"rate_hz": 0.0}}, "within"),
        ({"model": {"heads": 5}}, "divisor"),
        ({"losses": {"prior": "guess"}}, "'standard'"),
        ({"model": {"trunk": "lstm"}}, "model.trunk is 'lstm'; expected 'band' or 'mingru'"),
        ({"model": {"differences": [0]}}, "model.differences is .*; expected 1 to 1000 ticks each"),
        ({"model": {"short_lookback": [1]}}, "model.short_lookback is .*; expected two ticks or more each"),
        ({"model": {"context_every": 0}}, "model.context_every is 0; expected 1 to 64 ticks"),
        ({"optimiser": {"average": 1}}, r"optimiser.average is 1.0; expected within \[0, 1\)"),
        ({"optimiser": {"least_steps": -1}}, "optimiser.least_steps is -1; expected 0 to 1000000"),
        ({"batches": {"warp": 3}}, r"batches.warp is 3.0; expected within \[0, 2\]"),
        ({"decoder": "viterbi"}, "decoder is 'viterbi'; expected 'auto' or 'argmax'"),
        ({"supervision": "guesses"}, "'annotations'"),
        ({"data": {"rate_hz": 10**400}}, "data.rate_hz is 1000.*; expected a finite number"),
        ({"data": {"joints_max_age_s": float("nan")}}, "data.joints_max_age_s is nan; expected a finite number"),
        ({"eye": {"noise": float("inf")}}, "eye.noise is inf; expected a finite number"),
        ({"data": {"camera_topic": "half \ud800"}}, "data.camera_topic is .*; expected whole characters"),
        ({"data": {"encoder": "onnx:a\0b"}}, "data.encoder is .*; expected whole characters, none of them NUL"),
        ({"data": {"lag_ticks": 10**9}}, "data.lag_ticks is 1000000000; expected 0 to 10000"),
        ({"data": {"actions": ["reach", "reach"]}}, "data.actions is .*; expected names that are not empty, all diff"),
        ({"data": {"actions": ["reach", " "]}}, "data.actions is .*; expected names that are not empty, all diff"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        config_from_mapping(mapping)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "- a list", "[" * 5000])
def test_a_broken_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_config(path)


@pytest.mark.parametrize("text", ["seed: 1\nseed: 2\n", "data: {streams: {cameras: {front: {}, front: {}}}}\n"])
def test_a_key_that_comes_twice_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"key '(seed|front)' comes twice") as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


def test_a_merged_key_may_be_given_again(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("eye: &eye {width: 8, gazes: 2}\nteacher: {}\nmodel: {<<: {width: 96}, width: 64, heads: 8}\n")
    assert load_config(path).model.width == 64


@pytest.mark.parametrize("written", ["1", "01", "1.10", "0x1f", "1:30", "1_2", "2024-11-02", "1e3", ".5"])
def test_a_name_that_looks_like_a_number_is_read_as_it_is_written(tmp_path: Path, written: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"name: {written}\ndata: {{split: {written}, actions: [a, {written}], camera_topic: {written}}}\n")
    config = load_config(path)
    assert (config.name, config.data.split, config.data.actions) == (written, written, ("a", written))
    path.write_text("data:\n  streams: {states: {arm: {names: [1, 02], fields: [position]}}}\n")
    arm = load_config(path).data.streams.states["arm"]
    assert arm.names == ("1", "02")


def test_numbers_of_a_file_are_numbers_where_numbers_are_meant(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("seed: 0x10\nmodel: {lookback: [3, 5]}\ndata: {rate_hz: 5, validation: .25}\n")
    config = load_config(path)
    assert (config.seed, config.model.lookback, config.data.rate_hz, config.data.validation) == (16, (3, 5), 5.0, 0.25)
    for text, said in {
        "seed: 1.5\n": "seed is 1.5; expected int",
        "seed: 2024-11-02\n": "expected int",
        "data: {split: yes}\n": "data.split is True; expected str; on, off, yes and no are words only in quotes",
        "data: 3\n": "data is 3; expected a mapping",
        "3: 4\n": "3 is not a setting",
        "data: {split: [1]}\n": r"data.split is \[1\]; expected str",
    }.items():
        path.write_text(text)
        with pytest.raises(ConfigError, match=said) as caught:
            load_config(path)
        assert "\n" not in str(caught.value)


def test_the_rate_of_feature_vectors_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("data: {layout: auto, folder: mine}\n")
    with pytest.raises(ConfigError, match=r"data.rate_hz is missing in .*own.yaml; expected the ticks a second"):
        load_config(path)
    path.write_text("data: {layout: auto, folder: mine, rate_hz: 15}\n")
    assert load_config(path).data.rate_hz == 15
    path.write_text("data: {folder: mine}\n")
    assert load_config(path).data.rate_hz == 10, "bags have stamps, and are made into ticks at any rate"


@pytest.mark.parametrize("data", [{"group_by": "user"}, {"split": "groups"}, {"split": "leave-out:anna"}])
def test_groups_need_a_file_of_groups(data: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"data\.groups is empty; expected a file of groups"):
        config_from_mapping({"data": data})
    assert config_from_mapping({"data": {**data, "groups": "groups.csv"}}).data.groups == "groups.csv"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load_config(tmp_path / "absent.yaml")


def test_an_older_checkpoint_stays_readable_unless_it_asked_for_what_is_gone() -> None:
    assert config_from_mapping({"realign": False, "seed": 4}) == TrainConfig(seed=4)
    with pytest.raises(ConfigError, match="realign is not a setting"):
        config_from_mapping({"realign": True})


def test_settings_are_also_read_by_their_older_names() -> None:
    old = {"eye": {"numb": 0.2}, "batches": {"numb": 0.3, "blind": 0.4}, "model": {"seen_dropout": 0.5}}
    config = config_from_mapping(old)
    assert (config.eye.joints_masked, config.batches.joints_masked, config.batches.camera_masked) == (0.2, 0.3, 0.4)
    assert config.model.attended_dropout == 0.5
    both = {"camera_masked": 0.1, "blind": 0.1}
    for order in (both, dict(reversed(both.items()))):
        with pytest.raises(
            ConfigError, match=r"^batches.blind and batches.camera_masked are one setting; expected one"
        ):
            config_from_mapping({"batches": order})
    with pytest.raises(ConfigError, match=r"^numb is not a setting"):
        config_from_mapping({"numb": 0.1})


def test_settings_are_stored_as_the_first_version_did() -> None:
    stored = to_mapping(TrainConfig())
    assert list(stored)[4:7] == ["decoder", "realign", "data"] and stored["realign"] is False
    assert list(stored["batches"]) == ["streams", "chunk_ticks", "late_start", "held", "blind", "numb", "joint_dropout"]
    assert "numb" in stored["eye"] and "seen_dropout" in stored["model"]
    assert config_from_mapping(stored) == TrainConfig()


STREAMS = {
    "clock": "wrist",
    "cameras": {"front": {"topic": "/front", "crop": "full"}, "wrist": {"topic": ["/a", "/b"], "crop": [1, 2, 30, 40]}},
    "states": {
        "arm": {"names": ["a", "b"], "fields": ["position"], "max_age_s": 1},
        "wrench": {"topic": "/wrench", "fields": ["wrench.force.x"]},
    },
}


def test_streams_are_read_by_name() -> None:
    config = config_from_mapping({"data": {"streams": STREAMS}})
    cameras, states = config.data.streams.cameras, config.data.streams.states
    assert list(cameras) == ["front", "wrist"] and list(states) == ["arm", "wrench"]
    assert (cameras["front"].topic, cameras["wrist"].topic) == (("/front",), ("/a", "/b"))
    assert (cameras["front"].crop, cameras["wrist"].crop) == ("full", (1, 2, 30, 40))
    assert (states["arm"].names, states["arm"].max_age_s) == (("a", "b"), 1.0)
    assert config_from_mapping(json.loads(json.dumps(to_mapping(config)))) == config


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ({"cameras": {"front": {"topik": "/front"}}}, "did you mean data.streams.cameras.front.topic"),
        ({"cameras": {"front": 3}}, "data.streams.cameras.front is 3; expected a mapping"),
        (
            {"states": {"pump": {"fields": [True]}}},
            r"fields\[0\] is True; expected str; on, off, yes and no are words only in",
        ),
        ({"cameras": ["front"]}, r"data.streams.cameras is \['front'\]; expected names"),
        ({"states": {"arm": {"names": "a"}}}, "data.streams.states.arm.names is 'a'; expected a list"),
        ({"cameras": {"front": {"crop": 3}}}, "data.streams.cameras.front.crop is 3"),
    ],
)
def test_wrong_streams_are_refused_where_they_are_wrong(streams: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from_mapping({"data": {"streams": streams}})


def test_newer_settings_are_stored_only_where_they_say_something() -> None:
    plain = to_mapping(TrainConfig())
    assert not {"streams", "encoder"} & set(plain["data"]) and "stream_masked" not in {*plain["eye"], *plain["batches"]}
    given = {"data": {"streams": STREAMS}, "eye": {"stream_masked": 0.5}, "batches": {"stream_masked": 0.5}}
    stored = to_mapping(config_from_mapping(given))
    assert list(stored["data"]["streams"]["cameras"]) == ["front", "wrist"]
    own = to_mapping(config_from_mapping({"data": {"encoder": "onnx:mine.onnx"}}))
    assert own["data"]["encoder"] == "onnx:mine.onnx"
    assert (stored["eye"]["stream_masked"], stored["batches"]["stream_masked"]) == (0.5, 0.5)


def test_runs_of_the_first_version_keep_their_hash() -> None:
    """Their checkpoints lack what is newer, and are read as what they did; a new run of today's defaults is another."""
    from hal_ros.train.stages import settings_sha256

    first = config_from_saved({"decoder": "hysteresis", "optimiser": {"epochs": 12}})
    assert settings_sha256(first).startswith("e6eb3b500ca5fa01")
    assert config_from_saved(json.loads(json.dumps(to_mapping(first)))) == first
    assert settings_sha256(load_config(ROOT / "config" / "train.yaml")).startswith("b6917331ab137e67")
    assert settings_sha256(TrainConfig()) != settings_sha256(first)


def test_newer_settings_are_what_a_checkpoint_says_and_not_what_is_usual_now() -> None:
    for key, before in ADDED.items():
        section, name = key.split(".")
        if section == "data":
            continue
        usual = getattr(getattr(TrainConfig(), section), name)
        said = to_mapping(TrainConfig())[section]
        assert (name in said) == (usual != before), key
        assert getattr(getattr(config_from_saved({}), section), name) == before
    other = config_from_mapping({"optimiser": {"least_steps": 7}, "model": {"differences": [2], "trunk": "mingru"}})
    assert config_from_saved(json.loads(json.dumps(to_mapping(other)))) == other


YAML_STREAMS = """
data:
  streams:
    clock: wrist
    cameras:
      front: {topic: /front, crop: [1, 2, 30, 40]}
      wrist: {topic: [/wrist, /wrist/compressed], crop: full, max_age_s: 1}
    states:
      arm: {topic: /joint_states, names: [a, b]}
"""


def test_named_streams_are_read_and_stored() -> None:
    config = config_from_mapping(yaml.safe_load(YAML_STREAMS))
    front = CameraSpec(("/front",), crop=(1, 2, 30, 40))
    wrist = CameraSpec(("/wrist", "/wrist/compressed"), crop="full", max_age_s=1.0)
    states = {"arm": StateSpec(("/joint_states",), names=("a", "b"))}
    assert config.data.streams == NamedStreams("wrist", {"front": front, "wrist": wrist}, states)
    assert config_from_mapping(json.loads(json.dumps(to_mapping(config)))) == config


def test_without_named_streams_settings_are_stored_as_before_there_were_any() -> None:
    assert "streams" not in to_mapping(TrainConfig())["data"]
    assert config_from_mapping({"data": {"streams": {"cameras": None}}}) == TrainConfig()


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ({"camera": {}}, "data.streams.camera is not a setting; did you mean data.streams.cameras?"),
        (
            {"cameras": {"front": {"topc": "/x"}}},
            "data.streams.cameras.front.topc is not a setting; did you mean data.s",
        ),
        ({"cameras": {"front": "/x"}}, "data.streams.cameras.front is '/x'; expected a mapping"),
        ({"cameras": ["/x"]}, r"data.streams.cameras is \['/x'\]; expected names, each with settings"),
        ({"cameras": {1: {}}}, "data.streams.cameras is {1: {}}; expected names"),
        ({"cameras": {"front": {"crop": 3}}}, "data.streams.cameras.front.crop is 3; expected a word or a list"),
        ({"cameras": {"front": {"crop": "left"}}}, "data.streams.cameras.front.crop is 'left'; expected centre, full"),
        ({"cameras": {"front": {"crop": [1, 2]}}}, r"data.streams.cameras.front.crop is \[1, 2\]; expected x, y"),
        ({"cameras": {"front": {"crop": [0.5]}}}, r"data.streams.cameras.front.crop\[0\] is 0.5; expected int"),
        ({"states": {"arm": {"names": "a"}}}, "data.streams.states.arm.names is 'a'; expected a list"),
        ({"states": {"arm": {"fields": ["a b"]}}}, "data.streams.states.arm.fields: 'a b' is no path to a number"),
        ({"clock": "front"}, "data.streams.clock is 'front'; expected cameras or states beside it"),
    ],
)
def test_streams_that_are_wrong_are_told_by_their_key(streams: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        config_from_mapping({"data": {"streams": streams}})
    assert "\n" not in str(caught.value)


def test_a_setting_that_is_gone_is_told() -> None:
    assert config_from_mapping({"realign": False}) == TrainConfig()  # as older checkpoints say
    with pytest.raises(ConfigError, match=r"^realign is not a setting; it is there no longer$"):
        config_from_mapping({"realign": True})
