"""What a batch holds is what a stream would have given."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hal_ros.core.answers import NO_ACTION  # noqa: E402
from hal_ros.core.streams.columns import ValueGroups  # noqa: E402
from hal_ros.datasets.clips import Clip  # noqa: E402
from hal_ros.train.batches import (  # noqa: E402
    BatchSpec,
    Masked,
    _stretch,
    _with_gaps,
    batches,
    changes,
    plan,
    played,
    training_clips,
)
from hal_ros.train.clips import AttendedClips, Columns, Rows, Supervised  # noqa: E402
from hal_ros.train.config import BatchConfig  # noqa: E402
from synthetic_episodes import ACTIONS, COLUMNS, random_clips  # noqa: E402

PLAIN = BatchConfig(
    streams=3,
    chunk_ticks=16,
    late_start=0.0,
    held=0.0,
    camera_masked=0.0,
    joints_masked=0.0,
    joint_dropout=0.0,
    stream_masked=0.0,
)
LAG, HELD = 2, 3
STREAM = BatchSpec(COLUMNS, ACTIONS, LAG, HELD)


def all_batches(material: Any, config: Any, seed: int = 0, stream: BatchSpec = STREAM) -> list[Any]:
    random = np.random.default_rng(seed)
    return list(batches(plan(training_clips(material), config, random), config, stream, random))


def joined(column: Any) -> np.ndarray:
    """The batches of one stream behind each other."""
    return torch.cat([part[0] for part in column]).numpy()


def test_an_epoch_plays_every_tick_once_and_in_order() -> None:
    material = random_clips(7, seed=0, ticks=45)
    assert sum(int(batch.targets.weight.sum()) for batch in all_batches(material, PLAIN)) == 7 * 45
    for stream in plan(training_clips(material), PLAIN, np.random.default_rng(0)):
        for before, after in itertools.pairwise(stream):
            assert after.start == (before.stop if after.clip is before.clip else 0)


def test_a_stream_carries_its_state_except_at_a_clips_entry() -> None:
    config = replace(PLAIN, late_start=1.0)
    material = random_clips(5, seed=0)
    streams = plan(training_clips(material), config, np.random.default_rng(0))
    assert any(chunk.entry > 0 for stream in streams for chunk in stream)
    for index, batch in enumerate(all_batches(material, config)):
        for stream, carried in zip(streams, batch.carried.tolist(), strict=True):
            goes_on = index < len(stream) and stream[index].start > stream[index].entry
            assert carried == float(goes_on)


def test_lagged_targets_are_the_actions_of_lag_ticks_before() -> None:
    material = random_clips(1, seed=0, ticks=40)
    rows = all_batches(material, PLAIN)
    actions = joined(batch.targets.lagged_actions for batch in rows)[:40].argmax(1)
    weight = joined(batch.targets.lagged_weight for batch in rows)[:40]
    np.testing.assert_array_equal(actions[LAG:], material.clips[0].actions[:-LAG])
    np.testing.assert_array_equal(weight, [0] * LAG + [1] * (40 - LAG))


def test_soft_targets_arrive_as_they_were_given() -> None:
    material = random_clips(1, seed=0, ticks=16)
    soft = np.random.default_rng(1).dirichlet(np.ones(ACTIONS), 16)
    (batch,) = all_batches(replace(material, targets={"clip-0": soft}), PLAIN)
    np.testing.assert_allclose(batch.targets.actions[0], soft, rtol=1e-6)
    assert batch.targets.weight[0].tolist() == [1] * 16
    np.testing.assert_allclose(batch.targets.lagged_actions[0, LAG:], soft[:-LAG], rtol=1e-6)
    assert batch.targets.lagged_weight[0].tolist() == [0] * LAG + [1] * (16 - LAG)


def test_targets_count_and_not_the_clips_own_actions() -> None:
    material = random_clips(2, seed=0, ticks=16)
    other = (material.clips[0].actions + 1) % ACTIONS
    (batch,) = all_batches(replace(material, targets={"clip-0": other}), PLAIN)
    assert len(batch.carried) == 1  # a clip without target is not played
    np.testing.assert_array_equal(batch.targets.actions[0].argmax(1), other)


def test_ticks_without_a_label_weigh_nothing() -> None:
    material = random_clips(1, seed=0, ticks=16)
    material.clips[0].actions[4:7] = NO_ACTION
    (batch,) = all_batches(material, PLAIN)
    assert batch.targets.weight[0].tolist() == [1] * 4 + [0] * 3 + [1] * 9


def test_a_change_is_where_the_label_changes_and_its_share_where_that_is_unsure() -> None:
    hard = np.array([2, 2, 0, 0, NO_ACTION, 1, 1, 3])
    np.testing.assert_array_equal(changes(hard), [0, 0, 1, 0, 0, 0, 0, 1])
    soft = np.array([[1.0, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    np.testing.assert_allclose(changes(soft), [0, 0.25, 0.5, 0.25])
    material = random_clips(1, seed=0, ticks=40)
    found = joined(batch.targets.change for batch in all_batches(material, PLAIN))[:40]
    np.testing.assert_array_equal(found, changes(material.clips[0].actions))


def test_held_ticks_repeat_the_input_before_and_keep_their_own_target() -> None:
    material = random_clips(1, seed=0, ticks=16)
    (clip,) = material.clips
    (batch,) = all_batches(material, replace(PLAIN, held=0.3))
    joints, expected = batch.inputs.joints[0].numpy(), COLUMNS.split(clip.inputs).joints
    held = [tick for tick in range(1, 16) if (joints[tick] == joints[tick - 1]).all()]
    assert held
    others = [tick for tick in range(16) if tick not in held]
    np.testing.assert_array_equal(joints[others], expected[others])
    np.testing.assert_array_equal(batch.targets.actions[0].argmax(1), clip.actions)


def test_dropout_takes_away_cameras_and_joints_and_without_joints_the_eye_sees_otherwise() -> None:
    config = replace(PLAIN, camera_masked=0.5, joints_masked=0.5)
    material = random_clips(6, seed=0)
    rows = all_batches(material, config)
    images = torch.cat([batch.inputs.image_valid.flatten() for batch in rows])
    joints = torch.cat([batch.inputs.joints_valid.flatten(0, 1) for batch in rows])
    attended = torch.cat([batch.inputs.attended.flatten(0, 1) for batch in rows])
    played = torch.cat([batch.targets.weight.flatten() for batch in rows]) > 0
    assert 0 < float(images.mean()) < 1
    gone = (joints == 0).all(1)
    assert 0 < int((gone & played).sum()) < int(played.sum())
    joints_masked = attended.mean(1) > 50  # `random_clips` adds 100 to what is seen without joints
    assert torch.equal(joints_masked[played], gone[played])


def test_single_joints_go_with_all_their_values() -> None:
    rows = all_batches(random_clips(6, seed=0), replace(PLAIN, joint_dropout=0.5))
    valid = torch.cat([batch.inputs.joints_valid.flatten(0, 1) for batch in rows])
    by_joint = valid.reshape(-1, 3, COLUMNS.groups.name_count)
    assert torch.equal(by_joint.amin(1), by_joint.amax(1))
    assert 0 < float((by_joint[:, 0].sum(1) == 1).float().mean()) < 1  # one gone, the other not


# --- several cameras and states ---------------------------------------------------------------------------------------

ROBOT = Columns(attended=3, values=5, groups=ValueGroups((0, 0, 1, 2, 3), (0, 0, 0, 1, 1)), cameras=2)
WIDE = replace(STREAM, columns=ROBOT)


def several(count: int = 8, ticks: int = 60) -> Any:
    """Clips of two cameras and two states, in which all is there; the eyes see 10 more without the first state."""
    random = np.random.default_rng(0)
    clips = [
        Clip(f"clip-{index}", np.ones((ticks, ROBOT.width), np.float32), random.integers(0, ACTIONS, ticks), ())
        for index in range(count)
    ]
    joints_masked: dict[str, Any] = {clip.name: np.full((ticks, 6), 100, np.float32) for clip in clips}
    states_masked: dict[str, Any] = {
        clip.name: np.stack([np.full((ticks, 6), shown) for shown in (11, 22)]) for clip in clips
    }
    attended = AttendedClips(clips, joints_masked, states_masked)
    return attended.supervised({clip.name: clip.actions for clip in clips}, ROBOT.groups)


def played_ticks(rows: list[Any]) -> tuple[Any, Any, Any]:
    """What the ticks with a target hold: attended, image_valid and joints_valid."""
    played = torch.cat([batch.targets.weight.flatten() for batch in rows]) > 0
    names = ("attended", "image_valid", "joints_valid")
    return tuple(torch.cat([getattr(batch.inputs, name).flatten(0, 1) for batch in rows])[played] for name in names)


def test_one_of_several_streams_goes_at_a_time_and_the_eyes_see_what_is_left() -> None:
    attended, image_valid, joints_valid = played_ticks(
        all_batches(several(), replace(PLAIN, stream_masked=0.7), stream=WIDE)
    )
    assert set(image_valid.sum(1).tolist()) == {1, 2}
    assert (image_valid == 0).any(0).all()  # each camera
    by_state = torch.stack([joints_valid[:, :3].mean(1), joints_valid[:, 3:].mean(1)], 1)
    assert set(by_state.flatten().tolist()) == {0, 1}
    shown = torch.where(by_state[:, 0] == 0, 11, torch.where(by_state[:, 1] == 0, 22, 1))
    assert {1, 11, 22} == set(shown.tolist())
    assert torch.equal(attended, shown[:, None].expand(-1, 6).float())


def test_where_all_states_are_gone_the_eyes_see_without_any() -> None:
    config = replace(PLAIN, stream_masked=0.7, joints_masked=0.7)
    attended, _, joints_valid = played_ticks(all_batches(several(), config, stream=WIDE))
    gone = (joints_valid == 0).all(1)
    assert 0 < int(gone.sum()) < len(gone)
    assert torch.equal((attended == 100).all(1), gone)


def test_all_cameras_go_together_and_names_with_all_their_values() -> None:
    _, image_valid, _ = played_ticks(all_batches(several(), replace(PLAIN, camera_masked=0.7), stream=WIDE))
    assert set(image_valid.sum(1).tolist()) == {0, 2}
    _, _, joints_valid = played_ticks(all_batches(several(), replace(PLAIN, joint_dropout=0.5), stream=WIDE))
    assert torch.equal(joints_valid[:, 0], joints_valid[:, 1])  # two fields of one name
    assert not torch.equal(joints_valid[:, 0], joints_valid[:, 2])


ALL_GAPS = replace(PLAIN, camera_masked=1.0, joints_masked=1.0, stream_masked=1.0)


def test_what_has_one_kind_of_streams_never_loses_all_of_them() -> None:
    targets = {"clip": np.zeros(48, np.int64)}
    seeing, feeling = Columns(3, 0, cameras=2), Columns(0, 4, ValueGroups((0, 0, 1, 2), (0, 0, 1, 1)), 0)
    for columns, name in ((seeing, "image_valid"), (feeling, "joints_valid")):
        clip = Clip("clip", np.ones((48, columns.width), np.float32), targets["clip"], ())
        material = Supervised([clip], targets, groups=columns.groups)
        rows = all_batches(material, ALL_GAPS, stream=replace(STREAM, columns=columns))
        valid = torch.cat([getattr(batch.inputs, name)[0] for batch in rows])
        assert (valid > 0).any(1).all() and (valid == 0).any()


def gaps_of_the_first_version(rows: Rows, joints_masked: Any, joints: int, config: BatchConfig, random: Any) -> Rows:
    """What 0.1.0 did with one camera and one topic of joints."""
    attended, image_valid, joints_valid = rows.attended, rows.image_valid.copy(), rows.joints_valid.copy()
    ticks = len(image_valid)
    if random.random() < config.camera_masked:
        image_valid[_stretch(ticks, random)] = 0
    if joints_masked is not None and random.random() < config.joints_masked:
        gone = _stretch(ticks, random)
        joints_valid[gone] = 0
        attended = attended.copy()
        attended[gone] = joints_masked[gone]
    for joint in np.flatnonzero(random.random(joints) < config.joint_dropout):
        joints_valid[_stretch(ticks, random), joint::joints] = 0
    return Rows(attended, image_valid, rows.joints, joints_valid)


@pytest.mark.parametrize("known", [True, False])
def test_one_camera_and_one_topic_of_joints_lose_what_they_lost_in_the_first_version(known: bool) -> None:
    config = BatchConfig(camera_masked=0.4, joints_masked=0.4, joint_dropout=0.4)
    clip = random_clips(1, seed=0, ticks=48)
    rows = COLUMNS.split(clip.clips[0].inputs)
    joints_masked = clip.joints_masked["clip-0"] if known else None
    for seed in range(30):
        ours, theirs = np.random.default_rng(seed), np.random.default_rng(seed)
        found = _with_gaps(rows, Masked(joints_masked), COLUMNS, config, ours)
        expected = gaps_of_the_first_version(rows, joints_masked, 2, config, theirs)
        for name, values in vars(found).items():
            np.testing.assert_array_equal(values, getattr(expected, name))
        assert ours.random() == theirs.random()


def test_a_robot_with_single_streams_draws_what_it_drew() -> None:
    config = BatchConfig(streams=3, chunk_ticks=16, stream_masked=1.0)
    without = replace(config, stream_masked=0.0)
    for one, other in zip(*(all_batches(random_clips(6, seed=0), each) for each in (config, without)), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.inputs, other.inputs, strict=True))


def test_plain_feature_vectors_stand_where_joints_stand_and_are_never_dropped() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(20, 5))
    values[3, 1] = np.nan
    clip = Clip("clip", values, np.zeros(20, np.int64), ())
    stream = replace(STREAM, columns=Columns(0, 5))
    rows = all_batches(
        Supervised([clip], {"clip": clip.actions}), replace(PLAIN, camera_masked=1, joints_masked=1), stream=stream
    )
    valid = joined(batch.inputs.joints_valid for batch in rows)[:20]
    np.testing.assert_array_equal(valid, np.isfinite(values))
    np.testing.assert_allclose(joined(batch.inputs.joints for batch in rows)[:20], np.nan_to_num(values), rtol=1e-6)
    assert rows[0].inputs.attended.shape[2] == 0


def test_the_same_seed_gives_the_same_epoch_and_another_does_not() -> None:
    config = BatchConfig(streams=3, chunk_ticks=16)
    material = random_clips(6, seed=0)

    def signature(seed: Any) -> Any:
        return torch.cat([batch.inputs.joints.flatten() for batch in all_batches(material, config, seed)])

    first, again, other = signature(0), signature(0), signature(1)
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)


# --- other people, calibrations and sensors ---------------------------------------------------------------------------

SPREAD = np.arange(1.0, COLUMNS.values + 1).astype(np.float32)


def joints_of(material: Any, config: BatchConfig, seed: int = 0) -> np.ndarray:
    return joined(batch.inputs.joints for batch in all_batches(material, config, seed, replace(STREAM, spread=SPREAD)))


def test_an_offset_and_a_factor_last_for_a_whole_clip_and_noise_does_not() -> None:
    material = random_clips(1, seed=0, ticks=45)
    plain = COLUMNS.split(material.clips[0].inputs).joints
    moved = joints_of(material, replace(PLAIN, offset=0.5))[:45] - plain  # three chunks
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=1e-5)
    assert np.abs(moved[0]).min() > 0 and not np.allclose(moved[0] / SPREAD, moved[0, 0])
    scaled = joints_of(material, replace(PLAIN, scale=0.3))[:45] / plain
    np.testing.assert_allclose(scaled, np.broadcast_to(scaled[0], scaled.shape), rtol=1e-4)
    noise = joints_of(material, replace(PLAIN, noise=0.1))[:45] - plain
    np.testing.assert_allclose(noise.std(0), 0.1 * SPREAD, rtol=0.4)
    assert not np.array_equal(moved, joints_of(material, replace(PLAIN, offset=0.5), seed=1)[:45] - plain)
    held = joints_of(material, replace(PLAIN, noise=0.1, held=0.3))[:16]
    assert (held[1:] == held[:-1]).all(1).any() and (held[1:] != held[:-1]).all(1).any()


def test_a_clip_at_another_speed_keeps_its_inputs_targets_and_changes_together() -> None:
    material = random_clips(4, seed=0, ticks=45)
    lengths = set()
    config = replace(PLAIN, streams=1, warp=0.4)
    for seed in range(3):
        (stream,) = plan(training_clips(material), config, np.random.default_rng(seed))
        for chunk in stream:
            place = chunk.played.ticks
            lengths.add(len(place))
            assert (np.diff(place) >= 0).all() and place[0] == 0 and place[-1] <= 44 and chunk.stop <= len(place)
            begun = chunk.played.changes(chunk.clip.change)
            assert begun.sum() == chunk.clip.change[: place[-1] + 1].sum() or len(place) < 45
            target = chunk.clip.target[place]
            assert (begun[1:] > 0).sum() >= (target[1:] != target[:-1]).sum()
    assert len(lengths) > 6 and min(lengths) >= 22 and max(lengths) <= 91
    rows = all_batches(random_clips(1, seed=0, ticks=45), replace(PLAIN, warp=0.4), seed=3)
    ids = joined(batch.targets.actions for batch in rows).argmax(1)
    joints, (clip,) = joined(batch.inputs.joints for batch in rows), random_clips(1, seed=0, ticks=45).clips
    source = COLUMNS.split(clip.inputs).joints
    weights = joined(batch.targets.weight for batch in rows)
    for tick in np.flatnonzero(weights):
        (place,) = np.flatnonzero((source == joints[tick]).all(1))
        assert ids[tick] == clip.actions[place]


def test_nothing_is_drawn_for_what_is_not_asked_for() -> None:
    random, untouched = np.random.default_rng(0), np.random.default_rng(0)
    how = played(9, PLAIN, random)
    assert how.seed is None and how.ticks.tolist() == list(range(9))
    assert random.random() == untouched.random()
