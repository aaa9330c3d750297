"""What a batch holds is what a stream would have given."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from synthetic_tracks import make_tracks  # noqa: E402

from hal_ros.core.types import NO_ACTION  # noqa: E402
from hal_ros.train.batches import batches, plan  # noqa: E402
from hal_ros.train.config import BatchConfig  # noqa: E402

PLAIN = BatchConfig(streams=3, chunk_ticks=16, late_start=0.0, held=0.0, blind=0.0, numb=0.0, joint_dropout=0.0)
LAG, HELD = 2, 3


def all_batches(tracks, config, seed=0):
    random = np.random.default_rng(seed)
    return list(batches(plan(tracks, config, random), config, LAG, HELD, random))


def test_an_epoch_plays_every_tick_once_and_in_order():
    tracks = make_tracks(7, seed=0, ticks=45)
    counted = sum(int(batch.targets.weight.sum()) for batch in all_batches(tracks, PLAIN))
    assert counted == 7 * 45
    for stream in plan(tracks, PLAIN, np.random.default_rng(0)):
        for before, after in itertools.pairwise(stream):
            assert after.start == (before.stop if after.track is before.track else 0)


def test_a_stream_carries_its_state_except_at_a_tracks_entry():
    config = replace(PLAIN, late_start=1.0)
    tracks = make_tracks(5, seed=0)
    streams = plan(tracks, config, np.random.default_rng(0))
    assert any(chunk.entry > 0 for stream in streams for chunk in stream)
    for index, batch in enumerate(all_batches(tracks, config)):
        for stream, carried in zip(streams, batch.carried.tolist(), strict=True):
            goes_on = index < len(stream) and stream[index].start > stream[index].entry
            assert carried == float(goes_on)


def test_lagged_targets_are_the_actions_of_lag_ticks_before():
    (track,) = make_tracks(1, seed=0, ticks=40)
    rows = all_batches([track], PLAIN)
    actions = torch.cat([batch.targets.lagged_actions[0] for batch in rows])[:40].numpy()
    weight = torch.cat([batch.targets.lagged_weight[0] for batch in rows])[:40].numpy()
    np.testing.assert_array_equal(actions[LAG:], track.actions[:-LAG])
    np.testing.assert_array_equal(weight, [0] * LAG + [1] * (40 - LAG))


def test_ticks_without_annotation_weigh_nothing():
    (track,) = make_tracks(1, seed=0, ticks=16)
    track.actions[4:7] = NO_ACTION
    (batch,) = all_batches([track], PLAIN)
    assert batch.targets.weight[0].tolist() == [1] * 4 + [0] * 3 + [1] * 9


def test_held_ticks_repeat_the_input_before_and_keep_their_own_target():
    (track,) = make_tracks(1, seed=0, ticks=16)
    (batch,) = all_batches([track], replace(PLAIN, held=0.3))
    joints = batch.inputs.joints[0].numpy()
    held = [tick for tick in range(1, 16) if (joints[tick] == joints[tick - 1]).all()]
    assert held
    others = [tick for tick in range(16) if tick not in held]
    np.testing.assert_array_equal(joints[others], track.joints[others])
    np.testing.assert_array_equal(batch.targets.actions[0].numpy(), track.actions)


@pytest.mark.parametrize("modality", ["joints", "camera"])
def test_a_modality_that_is_never_seen_has_zero_flags(modality):
    for batch in all_batches(make_tracks(4, seed=0), replace(PLAIN, modalities=modality)):
        hidden = batch.inputs.image_valid if modality == "joints" else batch.inputs.joints_valid
        shown = batch.inputs.joints_valid if modality == "joints" else batch.inputs.image_valid
        assert float(hidden.abs().max()) == 0
        assert float(shown.max()) == 1


def test_dropout_takes_away_cameras_and_joints_and_only_flags_change():
    config = replace(PLAIN, blind=0.5, numb=0.5, joint_dropout=0.5)
    tracks = make_tracks(6, seed=0)
    rows, plain = all_batches(tracks, config), all_batches(tracks, PLAIN)
    images = torch.cat([batch.inputs.image_valid.flatten() for batch in rows])
    joints = torch.cat([batch.inputs.joints_valid.flatten() for batch in rows])
    assert 0 < float(images.mean()) < 1
    assert 0 < float(joints.mean()) < 1
    assert len(rows) == len(plain)


def test_the_same_seed_gives_the_same_epoch_and_another_does_not():
    config = BatchConfig(streams=3, chunk_ticks=16)
    tracks = make_tracks(6, seed=0)

    def signature(seed):
        return torch.cat([batch.inputs.joints.flatten() for batch in all_batches(tracks, config, seed)])

    first, again, other = signature(0), signature(0), signature(1)
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)
