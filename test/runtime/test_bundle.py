"""Bundles: round trip, and everything that is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import make_card, make_streams
from hal_ros.core.card import DecoderSpec, EncoderSpec, ModelCard, Priors
from hal_ros.core.decoding.decode import INITIAL, Decoder
from hal_ros.core.errors import CardError
from hal_ros.core.streams.spec import CameraSpec, StateSpec, StreamSpec
from hal_ros.runtime.bundle import Bundle, graph_files, load_bundle, save_card

FILES = ("encoder.onnx", "step.onnx", "golden.npz")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    for name in FILES:
        (tmp_path / name).write_bytes(name.encode() * 3)
    return save_card(make_card(trained_from={"dataset": "abc"}), tmp_path)


def edit(bundle: Bundle, change: Callable[[dict[str, Any]], object]) -> None:
    path = bundle.folder / "card.json"
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(json.dumps(fields))


def camera(fields: dict[str, Any]) -> dict[str, Any]:
    return fields["streams"]["cameras"]["camera"]


def joints(fields: dict[str, Any]) -> dict[str, Any]:
    return fields["streams"]["states"]["joints"]


PRIORS = Priors(
    initial=(0.5, 0.25, 0.25),
    transitions=((0.0, 0.75, 0.25), (0.5, 0.0, 0.5), (1e-05, 0.99999, 0.0)),
    duration_mean_ticks=(10.0, 7.5, 12.25),
    duration_shape=(2.0, 3.0, 4.0),
)


def priors_with(**changes: Any) -> dict[str, Any]:
    return asdict(PRIORS) | changes


def test_priors_come_back_as_they_were_in_lines_that_can_be_read(tmp_path: Path) -> None:
    spec = DecoderSpec("duration", temper=0.3, boundary_gain=0.7, boundary_delay_ticks=2, priors=PRIORS)
    saved = save_card(make_card(decoder=spec), tmp_path)
    assert load_bundle(tmp_path).card.decoder == spec == saved.card.decoder
    assert "[0.0, 0.75, 0.25]" in (tmp_path / "card.json").read_text()


def test_a_card_of_before_the_duration_filter_still_loads(bundle: Bundle) -> None:
    spec = {"kind": "hysteresis", "enter_probability": 0.7, "hold_ticks": 1, "smoothing": 0.0}
    edit(bundle, lambda f: f.update(decoder=spec))
    assert load_bundle(bundle.folder).card.decoder == DecoderSpec("hysteresis", 0.7, 1, 0.0)


def format_1(**changes: Any) -> dict[str, Any]:
    """A card as 0.1.0 wrote it."""
    fields: dict[str, Any] = {
        "format": 1,
        "name": "colours",
        "vocabulary": ["red", "green", "blue"],
        "image": {"size_px": 16, "dtype": "uint8"},
        "joints": {"names": ["a", "b"], "max_age_s": 0.1},
        "rate_hz": 10.0,
        "lag_ticks": 2,
        "max_held_ticks": 3,
        "feature_dim": 3,
        "window_ticks": 8,
        "decoder": asdict(make_card().decoder),
        "supervision": "annotations",
        "caches": "shift",
        "target": "10",
        "trained_from": {"dataset": "abc"},
        "files": {},
    }
    return fields | changes


def load(folder: Path, fields: dict[str, Any]) -> ModelCard:
    (folder / "card.json").write_text(json.dumps(fields))
    return load_bundle(folder).card


def test_a_card_of_format_1_appears_as_camera_and_joints(tmp_path: Path) -> None:
    card = load(tmp_path, format_1())
    assert card == make_card(trained_from={"dataset": "abc"})
    assert (card.streams.clock, card.streams.names) == ("camera", ("camera", "joints"))
    assert load(tmp_path, format_1(joints=None)).streams == make_streams(joints=None)
    states = load(tmp_path, format_1(image=None))
    assert states.streams == make_streams(camera=None) and states.encoder is None and states.feature_dim == 0


def test_a_card_of_before_half_precision_still_loads(tmp_path: Path) -> None:
    fields = format_1(image={"size_px": 16})
    del fields["caches"], fields["target"]
    assert load(tmp_path, fields) == make_card(trained_from={"dataset": "abc"})


def test_a_card_of_format_1_is_written_again_as_one_of_today(tmp_path: Path) -> None:
    card = load(tmp_path, format_1())
    assert save_card(card, tmp_path).card == card
    assert json.loads((tmp_path / "card.json").read_text())["format"] == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 3}, "is not a card of format 1 or 2"),
        ({"format": True}, "is not a card of format 1 or 2"),
        ({"format": "2"}, "is not a card of format 1 or 2"),
        ({"format": [1]}, "is not a card of format 1 or 2"),
        ({"image": None, "joints": None}, "streams: names neither cameras nor states"),
        ({"rate_hz": 0}, r"streams: rate_hz is 0\.0; expected 0\.01 to 1000"),
        ({"image": {"size_px": "128"}}, "image size_px is '128'; expected a whole number"),
        ({"image": {"size_px": 16, "size": 3}}, "did you mean 'size_px'"),
        ({"image": {"size_px": 16, "dtype": "float16"}}, "encoder dtype is 'float16'; expected one of uint8, float32"),
        ({"joints": {"names": "a", "max_age_s": 1}}, "joints names is 'a'; expected a list"),
        ({"joints": {"names": ["a"]}}, "key 'max_age_s' of joints is missing"),
        ({"joints": {"names": ["a", "a"], "max_age_s": 1}}, "streams: states joints names has 'a' 2 times"),
        ({"joints": {"names": [], "max_age_s": 1}}, "streams: states joints names is empty"),
        (
            {"joints": {"names": ["a"], "max_age_s": -1}},
            r"streams: states joints max_age_s is -1\.0; expected 0 to 3600",
        ),
        ({"streams": {}}, "unknown key 'streams'"),
    ],
)
def test_a_card_of_format_1_that_can_not_be_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(CardError, match=says) as refused:
        load(tmp_path, format_1(**changes))
    assert "card.json: " in str(refused.value) and "\n" not in str(refused.value)


ROBOT = StreamSpec(
    "front",
    {
        "front": CameraSpec(topic=("/front",), size_px=64, crop=(10, 20, 300, 300)),
        "wrist": CameraSpec(topic=("/wrist/compressed",), size_px=64, crop="full", max_age_s=0.3),
    },
    {
        "arm": StateSpec(topic=("/a", "/b"), names=("x", "y"), fields=("position", "effort"), max_age_s=0.5),
        "wrench": StateSpec(topic=("/ft",), type="geometry_msgs/msg/Wrench", fields=("force.x", "torque.z")),
    },
    15.0,
    7,
)


@pytest.mark.parametrize("streams", [ROBOT, replace(ROBOT, states={}), replace(ROBOT, cameras={}, clock="wrench")])
def test_streams_come_back_as_they_were_in_their_order(tmp_path: Path, streams: StreamSpec) -> None:
    encoder = EncoderSpec(5, "float32", "onnx:abc") if streams.cameras else None
    saved = save_card(make_card(streams=streams, encoder=encoder), tmp_path).card
    again = load_bundle(tmp_path).card
    assert again.streams == saved.streams == streams and again.encoder == encoder
    assert again.streams.names == streams.names and again.streams.values == streams.values


def test_every_precision_has_its_graphs() -> None:
    assert graph_files("fp32") == ("encoder.onnx", "step.onnx")
    assert graph_files("fp16") == ("encoder.fp16.onnx", "step.fp16.onnx")
    with pytest.raises(CardError, match="precision 'int4' is unknown; expected one of fp32, fp16"):
        graph_files("int4")


def test_a_saved_card_loads_as_it_was(bundle: Bundle) -> None:
    loaded = load_bundle(bundle.folder)
    assert loaded == bundle
    assert replace(loaded.card, files={}) == make_card(trained_from={"dataset": "abc"})
    assert sorted(loaded.card.files) == sorted(FILES)


def test_the_bundle_hash_changes_with_any_file(bundle: Bundle) -> None:
    (bundle.folder / "step.onnx").write_bytes(b"other weights")
    assert save_card(bundle.card, bundle.folder).sha256 != bundle.sha256


@pytest.mark.parametrize("name", FILES)
def test_a_tampered_file_is_named(bundle: Bundle, name: str) -> None:
    path = bundle.folder / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CardError, match=name):
        load_bundle(bundle.folder)


def test_a_missing_file_is_named(bundle: Bundle) -> None:
    (bundle.folder / "step.onnx").unlink()
    with pytest.raises(CardError, match=r"step\.onnx"):
        load_bundle(bundle.folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.update(format=99), "format 1 or 2"),
        (lambda f: f["streams"].update(rate_hz=0), "streams: rate_hz is 0"),
        (lambda f: f.update(lag_ticks=-1), "lag_ticks is -1"),
        (lambda f: f.update(vocabulary=["one", "one"]), "vocabulary"),
        (lambda f: f.update(vocabularie=[]), "did you mean 'vocabulary'"),
        (lambda f: f.pop("encoder"), "'encoder'"),
        (lambda f: f["streams"].pop("clock"), "key 'clock' of streams is missing"),
        (lambda f: f["streams"].update(cameras={}, states={}), "neither cameras nor states"),
        (lambda f: f["decoder"].update(kind="viterbi"), "viterbi"),
        (lambda f: f["decoder"].update(kind="duration"), "no priors"),
        (lambda f: f["decoder"].update(commit_prob=0.5), "did you mean 'commit_probability'"),
        (lambda f: f["decoder"].update(commit_probability=1.5), "commit_probability is 1.5; expected 0 to 1"),
        (lambda f: f["decoder"].update(temper=-1), "temper is -1"),
        (lambda f: f["decoder"].update(boundary_delay_ticks=3), "expected 0 to lag_ticks, 2"),
        (lambda f: f["decoder"].update(boundary_gain=float("nan")), "boundary_gain is nan"),
        (lambda f: f["decoder"].update(priors={"initial": [1, 0, 0]}), "'transitions'"),
        (lambda f: f["decoder"].update(priors=priors_with(initials=[1])), "did you mean 'initial'"),
        (lambda f: f["decoder"].update(priors=priors_with(initial=[0.5, 0.5])), "initial .* expected 3"),
        (lambda f: f["decoder"].update(priors=priors_with(transitions=[[0, 1], [1, 0]])), "3 rows of 3"),
        (lambda f: f["decoder"].update(priors=priors_with(transitions=3)), "transitions is 3; expected a list"),
        (lambda f: f.update(decoder=None), "decoder is None; expected an object"),
        (lambda f: f["streams"].update(rate_hz="fast"), "rate_hz is 'fast'; expected a finite number"),
        (lambda f: f["streams"].update(rate_hz=True), "rate_hz is True; expected a finite number"),
        (lambda f: f["streams"].update(rate_hz=float("inf")), "rate_hz is inf; expected a finite number"),
        (lambda f: f["streams"].update(rate_hz=10**400), "rate_hz is 1000.*; expected a finite number"),
        (lambda f: f["streams"].update(rate_hz=1e10), r"rate_hz is 10000000000\.0; expected 0\.01 to 1000"),
        (lambda f: f["streams"].update(rate_hz=1e-300), "rate_hz is 1e-300; expected 0"),
        (lambda f: f.update(lag_ticks=4.5), r"lag_ticks is 4\.5; expected a whole number"),
        (lambda f: f.update(lag_ticks=True), "lag_ticks is True; expected a whole number"),
        (lambda f: f.update(window_ticks=10**9), "window_ticks is 1000000000; expected 1 to 100000"),
        (lambda f: f.update(name=3), "name is 3; expected text"),
        (lambda f: f.update(vocabulary="pour"), "vocabulary is 'pour'; expected a list"),
        (lambda f: f.update(vocabulary=["red", "", "blue"]), r"vocabulary\[1\] is ''; expected a name"),
        (lambda f: f.update(vocabulary=["red", 2, "blue"]), r"vocabulary\[1\] is 2; expected text"),
        (lambda f: f.update(files=["step.onnx"]), "files is .*; expected an object"),
        (lambda f: f["files"].update({"step.onnx": 3}), r"files step\.onnx is 3; expected text"),
        (lambda f: camera(f).update(size_px="128"), "cameras camera size_px is '128'; expected a whole number"),
        (lambda f: joints(f).update(names="a"), "states joints names is 'a'; expected a list"),
        (lambda f: joints(f).update(names=["a", "a"]), "states joints names has 'a' 2 times; expected each once"),
        (lambda f: joints(f).update(max_age_s=-1), r"states joints max_age_s is -1\.0; expected 0 to 3600"),
        (lambda f: f["decoder"].update(hold_ticks="x"), "decoder hold_ticks is 'x'; expected a whole number"),
        (lambda f: f["decoder"].update(hold_ticks=-3), "decoder hold_ticks is -3; expected 0 to"),
        (lambda f: f["decoder"].update(boundary_delay_ticks=1.0), r"boundary_delay_ticks is 1\.0; expected a whole"),
        (lambda f: f["decoder"].update(boundary_delay_ticks=-1), "boundary_delay_ticks is -1; expected 0 to"),
        (
            lambda f: f["decoder"].update(priors=priors_with(duration_mean_ticks=[10, "x", 12])),
            r"priors duration_mean_ticks\[1\] is 'x'; expected a finite number",
        ),
        (
            lambda f: f["decoder"].update(priors=priors_with(duration_mean_ticks=[10, 1e9, 12])),
            r"duration_mean_ticks .*: expected values from 0\.1 to 20000",
        ),
        (
            lambda f: f["decoder"].update(priors=priors_with(duration_shape=[1, 1e300, 1])),
            r"duration_shape .*: expected values from 0\.01 to 10000",
        ),
        (
            lambda f: f["decoder"].update(priors=priors_with(transitions=[[0, 1, 0], ["x", 0, 1], [1, 0, 0]])),
            r"priors transitions\[1\]\[0\] is 'x'; expected a finite number",
        ),
        (
            lambda f: f["decoder"].update(priors=priors_with(max_age_ticks=160.5)),
            r"max_age_ticks is 160\.5; expected a whole number",
        ),
        (lambda f: f["decoder"].update(priors=priors_with(max_age_ticks=10**6)), "max_age_ticks <= 10000"),
        (lambda f: camera(f).update(size=3), "unknown key 'size' of streams cameras camera; did you mean 'size_px'"),
        (lambda f: f["encoder"].update(channels=f["encoder"]["feature_dim"] + 1), "expected a divisor of feature_dim"),
        (lambda f: f["encoder"].update(channels=-1), "encoder channels is -1; expected 0 to"),
        (lambda f: f["encoder"].update(dtype="float16"), "encoder dtype is 'float16'; expected one of uint8, float32"),
        (lambda f: f["encoder"].update(feature_dim=0), "encoder feature_dim is 0; expected 1 to"),
        (lambda f: f.update(encoder=None), "has cameras alone; expected both or neither"),
        (lambda f: f["streams"].update(cameras={}, clock="joints"), "has an encoder alone; expected both or neither"),
        (lambda f: f["streams"].update(clock="joint"), "streams: clock is 'joint'; expected one of camera, joints"),
        (lambda f: f["streams"].update(clocks="joints"), "unknown key 'clocks' of streams; did you mean 'clock'"),
        (lambda f: f["streams"].update(cameras=[]), r"streams cameras is \[\]; expected an object"),
        (lambda f: f["streams"]["cameras"].update(camera=3), "streams cameras camera is 3; expected an object"),
        (lambda f: camera(f).update(topic="/image"), "streams cameras camera topic is '/image'; expected a list"),
        (lambda f: camera(f).update(topic=[3]), r"streams cameras camera topic\[0\] is 3; expected text"),
        (lambda f: camera(f).update(crop=3), "streams cameras camera crop is 3; expected text in quotes, or a list"),
        (lambda f: camera(f).update(crop="all"), "streams: cameras camera crop is 'all'; expected centre, full or"),
        (lambda f: camera(f).update(crop=[0, 0, 5.5, 5]), r"camera crop\[2\] is 5\.5; expected a whole number"),
        (lambda f: camera(f).update(crop=[0, 0, 5]), r"cameras camera crop is \[0, 0, 5\]; expected x, y"),
        (lambda f: joints(f).update(type="JointState"), "states joints type is 'JointState'; expected one as"),
        (lambda f: joints(f).update(fields=["torque"]), "states joints fields has 'torque'; expected some of position"),
        (lambda f: joints(f).update(field=["position"]), "unknown key 'field' of streams states joints; did you mean"),
        (lambda f: joints(f).update(names=[]), "states joints names is empty"),
        (lambda f: f["streams"]["states"].update({"a b": {}}), "stream 'a b' is no name"),
        (lambda f: f.update(caches="ring"), "caches is 'ring'; expected one of shift, delta"),
        (lambda f: f.update(target="9"), "target is '9'; expected one of 8.6, 10, 11"),
    ],
)
def test_a_card_that_can_not_be_is_refused(
    bundle: Bundle, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    edit(bundle, change)
    with pytest.raises(CardError, match=says) as refused:
        load_bundle(bundle.folder)
    assert "card.json: " in str(refused.value) and "\n" not in str(refused.value)


HOSTILE = ["x", "", -3, 4.5, 10**400, float("inf"), float("nan"), 1e-320, None, True, [], {}, [["x"]]]


def places(fields: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (owner, key) of every value in a card, also of those that own others."""
    for key in list(fields) if isinstance(fields, dict) else range(len(fields)):
        yield fields, key
        if isinstance(fields[key], (dict, list)):
            yield from places(fields[key])


def test_any_value_is_refused_in_one_line_or_can_be_used(bundle: Bundle) -> None:
    spec = DecoderSpec("duration", priors=replace(PRIORS, max_age_ticks=20))
    save_card(replace(bundle.card, decoder=spec), bundle.folder)
    path = bundle.folder / "card.json"
    fields = json.loads(path.read_text())
    refused: list[str] = []
    for owner, key in places(fields):
        kept = owner[key]
        for value in HOSTILE:
            owner[key] = value
            path.write_text(json.dumps(fields))
            try:
                card = load_bundle(bundle.folder).card
            except CardError as error:
                refused.append(str(error))
                continue
            assert card.period_ns > 0
            Decoder(card.decoder).step(np.log(np.full(3, 1 / 3, np.float32)), INITIAL)
        owner[key] = kept
    assert len(refused) > 500
    assert all(text.startswith(str(bundle.folder)) and "\n" not in text for text in refused)


def test_what_is_no_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="can't be read"):
        load_bundle(tmp_path)
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(CardError, match="not JSON"):
        load_bundle(tmp_path)
    (tmp_path / "card.json").write_text("[]")
    with pytest.raises(CardError, match="not a card"):
        load_bundle(tmp_path)


def test_a_file_the_card_does_not_name_is_refused(bundle: Bundle) -> None:
    with pytest.raises(CardError, match="names no file 'engine'"):
        bundle.path("engine")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"format": 2, "name": "a", "name": "b"}', "has key 'name' twice; expected each key once"),
        ('{"streams": {"cameras": {"front": {}, "front": {}}}}', "has key 'front' twice"),
        ("[" * 100_000, "is not JSON"),
        ('{"a":' * 100_000, "is not JSON"),
    ],
)
def test_text_of_which_json_would_keep_the_last_or_overflow_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(CardError, match=says) as refused:
        load_bundle(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "half \ud800"}, r"name is 'half \\ud800'; expected whole characters"),
        ({"vocabulary": ["red", "\udfff"]}, r"vocabulary\[1\] is '\\udfff'; expected whole characters"),
        ({"files": {"step\0.onnx": "0"}}, "expected plain names"),
        ({"name": "nul \0"}, "expected whole characters, none of them NUL"),
    ],
)
def test_text_that_can_not_be_written_again_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(CardError, match=says):
        load(tmp_path, format_1(**changes))
