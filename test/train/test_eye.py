"""The eye learns from single ticks, copes without joints, repeats itself, and is looked through once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hal_ros.core.answers import NO_ACTION  # noqa: E402
from hal_ros.core.errors import DatasetError  # noqa: E402
from hal_ros.core.streams.columns import NO_GROUPS, ValueGroups  # noqa: E402
from hal_ros.datasets.encoded_clips import EncodedClip, measure  # noqa: E402
from hal_ros.train import clips, eye  # noqa: E402
from hal_ros.train.clips import Columns, attended_clips, columns_of  # noqa: E402
from hal_ros.train.config import config_from_mapping  # noqa: E402
from synthetic_episodes import ACTIONS, COLUMNS, GRID, GROUPS, SETTINGS, make_encoded_clips, restrict  # noqa: E402

CONFIG = config_from_mapping(SETTINGS)
TRACKS, OTHERS = make_encoded_clips(10, seed=0), make_encoded_clips(4, seed=1)


def actions_of(encoded_clips: Any) -> dict[Any, Any]:
    return {encoded.name: encoded.actions for encoded in encoded_clips}


def trained(
    epochs: int, folder: Any = None, targets: Any = None, seed: int = 0, report: Callable[..., Any] = lambda _: None
) -> Any:
    config = replace(CONFIG, seed=seed, eye=replace(CONFIG.eye, epochs=epochs))
    model = eye.new_eye(config, ACTIONS, GRID, measure(TRACKS, GRID[2]))
    ticks = eye.gather(TRACKS, targets or actions_of(TRACKS), ACTIONS)
    return eye.fit_eye(config, model, ticks, folder, report)


@torch.no_grad()
def accuracy(model: Any, encoded_clips: Any) -> float:
    right = []
    for encoded in encoded_clips:
        inputs = (encoded.features[0].astype(np.float32), encoded.joints, encoded.joints_valid)
        log_probs = model.head(model(*(torch.from_numpy(x)[None] for x in inputs)))
        right.append(float((log_probs[0].argmax(1).numpy() == encoded.actions).mean()))
    return float(np.mean(right))


def same(first: Any, second: Any) -> bool:
    return all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_single_ticks_are_told_apart_by_camera_and_joints_together() -> None:
    model = trained(40)
    assert accuracy(model, OTHERS) > 0.8
    assert accuracy(model, restrict(OTHERS, "camera")) < 0.7  # the control: joints say where to look


def test_probabilities_teach_as_labels_do() -> None:
    soft = {name: np.eye(ACTIONS)[target] for name, target in actions_of(TRACKS).items()}
    assert same(trained(2), trained(2, targets=soft))


def test_ticks_without_picture_or_label_are_not_shown() -> None:
    dark = replace(TRACKS[0], image_valid=np.zeros_like(TRACKS[0].image_valid))
    unknown = replace(TRACKS[1], actions=np.full_like(TRACKS[1].actions, NO_ACTION))
    encoded_clips = [dark, unknown, TRACKS[2], TRACKS[3]]
    ticks = eye.gather(encoded_clips, {encoded.name: encoded.actions for encoded in encoded_clips[:3]}, ACTIONS)
    assert set(ticks.encoded.tolist()) == {2}
    assert len(ticks.tick) == TRACKS[2].ticks


def test_material_without_a_single_labelled_picture_is_refused() -> None:
    with pytest.raises(DatasetError, match="no tick"):
        eye.gather(TRACKS, {}, ACTIONS)


def test_a_resumed_eye_ends_as_the_uninterrupted_one_and_loads_again(tmp_path: Path) -> None:
    whole = trained(4)

    def stop(_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(4, tmp_path, report=stop)
    resumed = trained(4, tmp_path)
    assert same(whole, resumed)
    assert same(whole, eye.load_eye(tmp_path))
    assert not same(whole, trained(4, seed=1))


# --- its clips --------------------------------------------------------------------------------------------------------


def test_a_clip_holds_what_the_eye_saw_and_the_joints_where_they_are_valid() -> None:
    model = trained(1)
    encoded = OTHERS[0]
    encoded.image_valid[5] = 0
    encoded.joints_valid[3, 1] = 0
    encoded.joints[3, 1] = 77.0
    attended = attended_clips([model], [encoded], GROUPS)
    (clip,) = attended.clips
    assert columns_of([model], GROUPS) == COLUMNS
    rows = COLUMNS.split(clip.inputs)
    with torch.no_grad():
        inputs = (encoded.features[0].astype(np.float32), encoded.joints, encoded.joints_valid)
        expected = model(*(torch.from_numpy(x)[None] for x in inputs))[0].numpy()
        inputs = (inputs[0], inputs[1], 0 * encoded.joints_valid)
        expected_masked = model(*(torch.from_numpy(x)[None] for x in inputs))[0].numpy()
    lit = encoded.image_valid[:, 0] > 0
    np.testing.assert_allclose(rows.attended[lit], expected[lit], atol=1e-5)
    np.testing.assert_allclose(attended.joints_masked[encoded.name][lit], expected_masked[lit], atol=1e-5)
    assert not rows.attended[5].any()
    assert rows.joints[3, 1] == 0
    np.testing.assert_array_equal(rows.image_valid, encoded.image_valid)
    np.testing.assert_array_equal(rows.joints_valid, encoded.joints_valid)
    assert clip.transcript == encoded.transcript


def test_the_eye_looks_once_and_again_only_where_eye_or_tracks_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, looked = trained(1), []
    look = clips._attend
    monkeypatch.setattr(clips, "_attend", lambda *arguments: looked.append(1) or look(*arguments))
    first = attended_clips([model], OTHERS, GROUPS, tmp_path)
    count = len(looked)
    again = attended_clips([model], OTHERS, GROUPS, tmp_path)
    assert len(looked) == count
    for one, other in zip(first.clips, again.clips, strict=True):
        np.testing.assert_array_equal(one.inputs, other.inputs)
    attended_clips([model], restrict(OTHERS, "joints"), GROUPS, tmp_path)
    assert len(looked) == 2 * count
    with torch.no_grad():
        model.second.bias += 1
    attended_clips([model], OTHERS, GROUPS, tmp_path)
    assert len(looked) == 3 * count


def test_inputs_of_another_width_are_refused() -> None:
    with pytest.raises(DatasetError, match=f"expected {COLUMNS.width}"):
        COLUMNS.split(np.zeros((3, 5)))


def test_columns_are_found_again_where_they_were_put(rng: np.random.Generator) -> None:
    sizes = {"attended": (7, 16), "image_valid": (7, 1), "joints": (7, 6), "joints_valid": (7, 6)}
    rows = clips.Rows(**{name: rng.normal(size=size).astype(np.float32) for name, size in sizes.items()})
    inputs = COLUMNS.join(rows)
    assert inputs.shape == (7, COLUMNS.width)
    for name, found in vars(COLUMNS.split(inputs)).items():
        np.testing.assert_array_equal(found, getattr(rows, name))
        at = getattr(COLUMNS.places, name)
        assert found.shape[1] == at.stop - at.start


# --- several cameras and states ---------------------------------------------------------------------------------------

APART = ValueGroups(GROUPS.names, (0, 1) * 3)  # each joint is a state of its own
TWO_EYES = Columns(attended=16, values=6, groups=APART, cameras=2)


def twice(encoded: EncodedClip) -> EncodedClip:
    """The clip of a robot whose second camera sees the same upside down, and not always."""
    image_valid = np.concatenate([encoded.image_valid, encoded.image_valid], 1)
    image_valid[7:9, 1] = 0
    return replace(encoded, features=(encoded.features[0], encoded.features[0][:, ::-1]), image_valid=image_valid)


def test_every_eye_looks_at_its_camera_with_and_without_each_state(tmp_path: Path) -> None:
    eyes, clip = [trained(1), trained(1, seed=1)], twice(make_encoded_clips(1, seed=3)[0])
    attended = attended_clips(eyes, [clip], APART, tmp_path)
    again = attended_clips(eyes, [clip], APART, tmp_path)
    assert columns_of(eyes, APART) == TWO_EYES
    views = [attended.clips[0].inputs[:, TWO_EYES.places.attended], attended.joints_masked[clip.name]]
    views += list(attended.states_masked[clip.name])
    np.testing.assert_array_equal(again.states_masked[clip.name], attended.states_masked[clip.name])
    for view, kept in zip(views, ([1] * 6, [0] * 6, [0, 1] * 3, [1, 0] * 3), strict=True):
        for camera, model in enumerate(eyes):
            inputs = (
                clip.features[camera].astype(np.float32),
                clip.joints,
                clip.joints_valid * np.array(kept, np.float32),
            )
            with torch.no_grad():
                expected = model(*(torch.from_numpy(x)[None] for x in inputs))[0].numpy()
            found = view[:, 16 * camera : 16 * (camera + 1)]
            np.testing.assert_allclose(found, expected * clip.image_valid[:, camera, None], atol=1e-2)


def test_states_alone_need_no_eye() -> None:
    clip = replace(OTHERS[1], features=(), image_valid=np.zeros((OTHERS[1].ticks, 0), np.float32))
    clip.joints_valid[4, 2] = 0
    attended = attended_clips([], [clip], APART)
    columns = columns_of([], APART)
    assert (columns.eyes, columns.width) == (0, 6)
    assert np.isnan(attended.clips[0].inputs[4]).tolist() == [False, False, True, False, False, False]
    assert not attended.joints_masked and not attended.states_masked
    np.testing.assert_array_equal(columns.split(attended.clips[0].inputs).joints_valid, clip.joints_valid)


def test_cameras_alone_have_nothing_to_mask() -> None:
    nothing = np.zeros((OTHERS[2].ticks, 0), np.float32)
    clip = replace(OTHERS[2], joints=nothing, joints_valid=nothing)
    model = eye.new_eye(CONFIG, ACTIONS, GRID, measure([clip], GRID[2]))
    attended = attended_clips([model], [clip], NO_GROUPS)
    assert attended.clips[0].inputs.shape == (clip.ticks, 17)
    assert not attended.joints_masked and not attended.states_masked


def test_a_state_goes_from_single_ticks_as_a_whole(rng: np.random.Generator) -> None:
    settings = replace(CONFIG.eye, joint_dropout=0.0, joints_masked=0.0, stream_masked=0.5)
    valid = np.ones((200, 6), np.float32)
    kept = eye._with_losses(valid, APART, settings, rng)
    by_state = kept.reshape(-1, 3, 2)
    np.testing.assert_array_equal(by_state.min(1), by_state.max(1))
    assert set(by_state[:, 0].sum(1).tolist()) == {1, 2}
    assert (eye._with_losses(valid, GROUPS, settings, rng) == 1).all()  # the only state stays


def test_one_topic_of_joints_loses_what_it_lost_in_the_first_version() -> None:
    settings = replace(CONFIG.eye, joint_dropout=0.3, joints_masked=0.3)
    valid = np.random.default_rng(0).integers(0, 2, (50, 6)).astype(np.float32)
    ours, theirs = np.random.default_rng(1), np.random.default_rng(1)
    kept = theirs.random((50, 2)) >= settings.joint_dropout
    kept &= theirs.random((50, 1)) >= settings.joints_masked
    found = eye._with_losses(valid, GROUPS, settings, ours)
    np.testing.assert_array_equal(found, valid * np.tile(kept, 3).astype(np.float32))
    assert ours.random() == theirs.random()


def test_a_camera_that_shows_nothing_is_named() -> None:
    dark = [replace(twice(clip), image_valid=np.eye(2, dtype=np.float32)[:1].repeat(60, 0)) for clip in TRACKS]
    assert len(eye.gather(dark, actions_of(dark), ACTIONS).tick) == 600
    with pytest.raises(DatasetError, match="a picture of camera 2"):
        eye.gather(dark, actions_of(dark), ACTIONS, camera=1)


def test_columns_of_two_eyes_are_found_again(rng: np.random.Generator) -> None:
    widths = {"attended": 32, "image_valid": 2, "joints": 6, "joints_valid": 6}
    rows = clips.Rows(**{name: rng.normal(size=(7, width)).astype(np.float32) for name, width in widths.items()})
    inputs = TWO_EYES.join(rows)
    assert inputs.shape == (7, TWO_EYES.width) == (7, 46)
    for name, found in vars(TWO_EYES.split(inputs)).items():
        np.testing.assert_array_equal(found, getattr(rows, name))
