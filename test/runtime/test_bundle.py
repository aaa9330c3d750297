"""Bundles: round trip, and everything that is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import make_card
from hal_ros.core.card import DecoderSpec, Priors
from hal_ros.core.decoding.decode import INITIAL, Decoder
from hal_ros.core.errors import CardError
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


def test_a_card_of_before_half_precision_still_loads(bundle: Bundle) -> None:
    edit(bundle, lambda f: (f.pop("caches"), f.pop("target"), f["image"].pop("dtype")))
    assert load_bundle(bundle.folder).card == bundle.card


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
        (lambda f: f.update(format=99), "format 1"),
        (lambda f: f.update(rate_hz=0), "rate_hz is 0"),
        (lambda f: f.update(lag_ticks=-1), "lag_ticks is -1"),
        (lambda f: f.update(vocabulary=["one", "one"]), "vocabulary"),
        (lambda f: f.update(vocabularie=[]), "did you mean 'vocabulary'"),
        (lambda f: f.pop("joints"), "'joints'"),
        (lambda f: f.pop("rate_hz"), "rate_hz"),
        (lambda f: f.update(image=None, joints=None), "neither image nor joints"),
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
        (lambda f: f.update(rate_hz="fast"), "rate_hz is 'fast'; expected a finite number"),
        (lambda f: f.update(rate_hz=True), "rate_hz is True; expected a finite number"),
        (lambda f: f.update(rate_hz=float("inf")), "rate_hz is inf; expected a finite number"),
        (lambda f: f.update(rate_hz=10**400), "rate_hz is 1000.*; expected a finite number"),
        (lambda f: f.update(rate_hz=1e10), r"rate_hz is 10000000000\.0; expected 0\.01 to 1000"),
        (lambda f: f.update(rate_hz=1e-300), "rate_hz is 1e-300; expected 0"),
        (lambda f: f.update(lag_ticks=4.5), r"lag_ticks is 4\.5; expected a whole number"),
        (lambda f: f.update(lag_ticks=True), "lag_ticks is True; expected a whole number"),
        (lambda f: f.update(window_ticks=10**9), "window_ticks is 1000000000; expected 1 to 100000"),
        (lambda f: f.update(name=3), "name is 3; expected text"),
        (lambda f: f.update(vocabulary="pour"), "vocabulary is 'pour'; expected a list"),
        (lambda f: f.update(vocabulary=["red", "", "blue"]), r"vocabulary\[1\] is ''; expected a name"),
        (lambda f: f.update(vocabulary=["red", 2, "blue"]), r"vocabulary\[1\] is 2; expected text"),
        (lambda f: f.update(files=["step.onnx"]), "files is .*; expected an object"),
        (lambda f: f["files"].update({"step.onnx": 3}), r"files step\.onnx is 3; expected text"),
        (lambda f: f["image"].update(size_px="128"), "image size_px is '128'; expected a whole number"),
        (lambda f: f["joints"].update(names="a"), "joints names is 'a'; expected a list"),
        (lambda f: f["joints"].update(names=["a", "a"]), "joints names is .*all different"),
        (lambda f: f["joints"].update(max_age_s=-1), r"joints max_age_s is -1\.0; expected 0 to 3600"),
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
        (lambda f: f["image"].update(size=3), "did you mean 'size_px'"),
        (lambda f: f["image"].update(dtype="float16"), "image dtype is 'float16'; expected one of uint8, float32"),
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
