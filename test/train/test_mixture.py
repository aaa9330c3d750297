"""Laws of mixtures: what each supervision reads, which targets come out, and that the known is kept to the last bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.datasets.clips import Clip
from hal_ros.labels.doubt_files import PROOF
from hal_ros.labels.restart_files import RESTARTS, load_checks
from hal_ros.labels.targets import Targets, of_annotations
from hal_ros.labels.transcripts.first_labels import first_labels
from hal_ros.train.chain import RunSettings, _source
from hal_ros.train.clips import AttendedClips, Columns, Data, Supervised, probabilities
from hal_ros.train.config import config_from_mapping, to_mapping
from hal_ros.train.mixture import Learnt, decoder_kind, judges, kind_of, mixture_of, targets_of, unseen_actions
from synthetic_clips import ACTIONS, FEATURES, make_clips
from synthetic_episodes import make_encoded_clips

pytestmark = pytest.mark.torch

TEACHER = {
    "width": 16, "heads": 2, "layers": 3, "feed_forward": 16, "visual_width": 8, "action_width": 8, "visual_layer": 1,
    "start_epochs": 1, "epochs": 1,
}  # fmt: skip
TRAINING, VALIDATION = make_clips(4), make_clips(2, seed=1)


def quiet(_: str) -> None: ...


def hidden(clip: Clip, shown: slice = slice(0)) -> Clip:
    actions = np.full(clip.ticks, NO_ACTION)
    actions[shown] = clip.actions[shown]
    return replace(clip, actions=actions)


def targets(supervision: str, training: Any, validation: Any, folder: Path, **teacher: Any) -> Targets:
    """Return what a student learns, the teacher's targets where there is one."""
    config = config_from_mapping({"supervision": supervision, "teacher": {**TEACHER, **teacher}})
    run = RunSettings(config, folder, lambda _: None)
    folder.mkdir(exist_ok=True)
    mixture = mixture_of(config, training, validation, run.report)
    sides = (mixture.training, mixture.validation)
    data = Data(ACTIONS, Columns(0, FEATURES), *(AttendedClips(clips, {}) for clips in sides))
    return _source(run, mixture, ACTIONS, sides).fit(data)


def same(one: Targets, other: Targets) -> bool:
    return all(
        ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)
        for ours, theirs in zip(vars(one).values(), vars(other).values(), strict=True)
    )


def test_full_annotations_of_all_give_the_targets_of_annotations(tmp_path: Path) -> None:
    late = [replace(clip, actions=np.where(np.arange(clip.ticks) < 1, NO_ACTION, clip.actions)) for clip in TRAINING]
    for training in (TRAINING, late):
        mixed = targets("mixed", training, VALIDATION, tmp_path)
        assert same(mixed, targets("annotations", training, VALIDATION, tmp_path))
        assert same(mixed, of_annotations(training, VALIDATION))
    assert not (tmp_path / "teacher").exists()


def test_transcripts_of_all_give_the_targets_of_transcripts_which_read_no_annotation(tmp_path: Path) -> None:
    bare = [[hidden(clip) for clip in part] for part in (TRAINING, VALIDATION)]
    mixed = targets("mixed", bare[0], bare[1], tmp_path / "a")
    assert same(mixed, targets("transcripts", bare[0], bare[1], tmp_path / "b"))
    assert same(mixed, targets("transcripts", TRAINING, VALIDATION, tmp_path / "c"))
    assert not mixed.weights


def test_known_ticks_keep_their_labels_in_targets_of_every_kind(tmp_path: Path) -> None:
    ordered, marked, annotated, untold = TRAINING
    other = (marked.actions[20] + 1) % ACTIONS
    shown = slice(20, 21)
    training = [hidden(ordered), hidden(marked, shown), annotated, replace(hidden(untold, slice(5, 9)), transcript=())]
    validation = [hidden(VALIDATION[0], slice(0, 30)), VALIDATION[1]]
    found = targets("mixed", training, validation, tmp_path, doubt_discount=1.0)
    assert json.loads((tmp_path / PROOF).read_text())["ticks"] == annotated.ticks + VALIDATION[1].ticks
    for clip in (*training, *validation):
        known = np.flatnonzero(clip.actions != NO_ACTION)
        labels = found.training.get(clip.name, found.validation.get(clip.name))
        assert labels is not None
        np.testing.assert_array_equal(labels[known], clip.actions[known])
        if clip.name in found.training:
            assert (found.weight(clip.name)[known] == 1).all()
    assert found.soft[marked.name][20].tolist() == np.eye(ACTIONS)[marked.actions[20]].tolist()
    assert found.soft[marked.name][20, other] == 0 and (found.weight(ordered.name) < 1).any()
    assert annotated.name not in found.soft
    np.testing.assert_array_equal(found.weight(untold.name), (training[3].actions != NO_ACTION).astype(float))


def test_a_mark_moves_the_labels_around_it(tmp_path: Path) -> None:
    """A boundary that is told far from where the alignment had it takes the ticks before it along."""
    clip = hidden(TRAINING[0])
    config = config_from_mapping({"supervision": "mixed"})
    first = int(np.flatnonzero(np.diff(TRAINING[0].actions))[0]) + 1
    moved = np.array(clip.actions)
    moved[first + 7], moved[first + 8] = clip.transcript[:2]
    run = RunSettings(config, tmp_path, lambda _: None)
    for actions, boundary in ((clip.actions, first), (moved, first + 8)):
        training = [replace(clip, actions=actions), *map(hidden, TRAINING[1:])]
        mixture = mixture_of(config, training, [VALIDATION[0]], quiet)
        source = _source(run, mixture, ACTIONS, (mixture.training, mixture.validation))
        labels = targets_of(mixture, source.first, config).training[clip.name]
        assert abs(int(np.flatnonzero(np.diff(labels))[0]) + 1 - boundary) <= (2 if boundary == first else 0)


def test_what_nothing_is_told_of_is_left_out_or_answered_by_the_teacher(tmp_path: Path) -> None:
    bare = replace(hidden(TRAINING[0]), transcript=())
    training = [bare, *TRAINING[1:]]
    assert bare.name not in targets("mixed", training, VALIDATION, tmp_path / "a").training
    found = targets("mixed", training, VALIDATION, tmp_path / "b", pseudo_labels=0.5, start_epochs=4)
    assert 0 < found.weight(bare.name).max() <= 0.5
    assert found.training[TRAINING[1].name] is TRAINING[1].actions


def test_tools_count_as_much_as_they_are_right_and_persons_come_first(tmp_path: Path) -> None:
    encoded = make_encoded_clips(3, 0)
    wrong = (encoded[0].actions + 1) % 4
    claimed = [
        replace(encoded[0], claims={"vlm": encoded[0].actions, "rules": wrong}),
        replace(encoded[1], actions=np.full(60, NO_ACTION), transcript=(), claims={"vlm": encoded[1].actions}),
        encoded[2],
    ]
    assert [kind_of(clip) for clip in claimed] == ["annotated", "labelled by tools alone", "annotated"]
    config, lines = config_from_mapping({"supervision": "mixed"}), list[str]()
    run = RunSettings(config, tmp_path, lines.append)
    mixture = mixture_of(config, claimed, [replace(encoded[2], name="other")], run.report)
    found = targets_of(mixture, _source(run, mixture, 4, []).first, config)
    np.testing.assert_array_equal(found.training["track-0"], encoded[0].actions)
    np.testing.assert_array_equal(found.training["track-1"], encoded[1].actions)
    assert len(np.unique(found.weight("track-1"))) == 1 and 0.7 < found.weight("track-1")[0] < 1
    assert any("labels of rules: right in 0%" in line for line in lines)
    hides = mixture_of(replace(config, supervision="transcripts"), claimed, [replace(encoded[2], name="other")], quiet)
    assert not hides.claims and all((clip.actions == NO_ACTION).all() for clip in hides.training)


def test_contradictions_and_nothing_at_all_are_one_line(tmp_path: Path) -> None:
    clip = TRAINING[0]
    against = np.full(clip.ticks, NO_ACTION)
    against[0] = clip.transcript[1]
    with pytest.raises(DatasetError, match=f"{clip.name}: what is told of tick 0 does not fit"):
        targets("mixed", [replace(clip, actions=against)], VALIDATION, tmp_path)
    with pytest.raises(DatasetError, match="of none of 1 episodes anything is told"):
        targets("mixed", [replace(hidden(clip), transcript=())], VALIDATION, tmp_path)
    lines: list[str] = []
    other = replace(clip, transcript=(*clip.transcript, (clip.transcript[-1] + 1) % ACTIONS))
    mixture = mixture_of(config_from_mapping({"supervision": "mixed"}), [other], VALIDATION, lines.append)
    assert mixture.training[0].transcript == clip.transcript
    assert f"{clip.name}: annotated in another order than its transcript's; the annotation counts" in lines


def test_two_annotated_validation_clips_judge_by_themselves() -> None:
    """Aligned labels choose where there are fewer, and never the kind of decoder, which they flatter."""
    annotated, aligned = make_clips(3, seed=2), [hidden(clip) for clip in make_clips(3, seed=3)]
    auto, asked = (config_from_mapping({"supervision": "mixed", "decoder": kind}) for kind in ("auto", "duration"))
    for validation, judging in ((annotated[:1], 1), ([*annotated, aligned[0]], 3), ([annotated[0], *aligned], 0)):
        lines: list[str] = []
        mixture = mixture_of(auto, [*TRAINING[:1], *map(hidden, TRAINING[1:])], validation, lines.append)
        assert judges("mixed", mixture.validation) == mixture.validation[:judging]
        learnt = Learnt(ACTIONS, first_labels([*mixture.training, *mixture.validation], ACTIONS))
        found = targets_of(mixture, learnt, auto)
        assert list(found.validation) == [clip.name for clip in validation[: judging or None]]
        assert decoder_kind(auto, mixture.validation, lines.append) == ("auto" if judging else "hysteresis")
        assert decoder_kind(asked, mixture.validation, lines.append) == "duration"
        said = "\n".join(lines)
        assert ("chosen by aligned labels of validation; with 2 or more annotated" in said) == (not judging)
        assert ("chosen by the 3 annotated of 4 validation clips" in said) == (judging == 3)
        assert ("decoder: hysteresis, as labels of validation are aligned" in said) == (not judging)
    lines = []
    mixture_of(auto, [hidden(clip) for clip in TRAINING], aligned, lines.append)
    assert any("chosen by aligned labels" in line for line in lines), "without any annotation, too"
    assert judges("annotations", aligned) == aligned and not judges("transcripts", annotated)


def test_a_run_says_before_training_what_transcripts_do_not_place_and_restarts_once(tmp_path: Path) -> None:
    """Actions 0 and 1 only come together; a boundary of theirs that is told ends the complaint."""
    order = (2, 0, 1, 3, 2, 3, 0, 1, 2)
    inputs = np.repeat(np.eye(ACTIONS)[list(order)], 8, axis=0)
    right = np.repeat(order, 8)
    clips = [
        Clip(f"a{n}", inputs + 0.1 * np.random.default_rng(n).normal(size=inputs.shape), right, order) for n in range(4)
    ]
    bare, config = list(map(hidden, clips)), config_from_mapping({"supervision": "mixed"})
    for training, complains in ((bare, True), ([hidden(clips[0], slice(8, 20)), *bare[1:]], False)):
        lines: list[str] = []
        folder = tmp_path / str(complains)
        folder.mkdir()
        run = RunSettings(config, folder, lines.append, ("reach", "grasp", "lift", "put"))
        mixture = mixture_of(config, training[:3], training[3:], quiet)
        _source(run, mixture, ACTIONS, (mixture.training, mixture.validation))
        told = [
            line for line in lines if line.startswith("transcripts alone do not tell when these change: reach | grasp;")
        ]
        assert len(told) == complains and (not told or lines.index(told[0]) == 0)
        checks = load_checks(folder)
        found = checks.restarts
        assert checks.unplaced == ({(0, 1)} if complains else set())
        assert found is not None and found.versions.keys() == {clip.name for clip in clips} and not found.guess()
        left = (folder / RESTARTS).stat().st_mtime_ns
        _source(run, mixture, ACTIONS, (mixture.training, mixture.validation))
        assert (folder / RESTARTS).stat().st_mtime_ns == left


def test_what_does_not_fit_and_what_is_never_shown_is_said() -> None:
    clip = TRAINING[0]
    longer = replace(hidden(clip), transcript=(0, 1) * clip.ticks)
    for supervision in ("transcripts", "mixed"):
        lines: list[str] = []
        mixture = mixture_of(config_from_mapping({"supervision": supervision}), [longer], VALIDATION, lines.append)
        squeezed = f"a transcript of {2 * clip.ticks} actions in {clip.ticks} ticks; {clip.ticks} are left out"
        assert f"{clip.name}: {squeezed}" in lines
        assert unseen_actions(mixture.training, 3) == [2]
    assert not unseen_actions(TRAINING, ACTIONS)


def test_settings_of_older_runs_keep_their_hashes() -> None:
    stored = to_mapping(config_from_mapping({}))["teacher"]
    assert not {"doubt_discount", "pseudo_labels"} & stored.keys()
    assert to_mapping(config_from_mapping({"teacher": {"pseudo_labels": 0.5}}))["teacher"]["pseudo_labels"] == 0.5


def test_weights_reach_the_losses() -> None:
    weight = np.array([1, 0.25, 1], np.float32)
    rows, counts = probabilities(np.array([0, 1, NO_ACTION]), 2, weight)
    assert rows.tolist() == [[1, 0], [0, 1], [0, 0]] and counts.tolist() == [1, 0.25, 0]
    clip = Clip("a", np.zeros((3, 1)), np.zeros(3, np.int64), ())
    soft = Supervised([clip], {"a": np.full((3, 2), 0.5)}, weights={"a": np.array([1, 0, 1], np.float32)})
    assert soft.labels(clip).tolist() == [0, NO_ACTION, 0]
