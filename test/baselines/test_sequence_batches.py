"""Laws of the baselines' batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from hal_ros.baselines.sequence_batches import Piece, Sampling, assemble, check, measure, order_of, plan, progress_of
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.datasets.clips import Clip
from hal_ros.train.clips import Supervised

WHOLE = Sampling(batch=3, piece_ticks=50, window_ticks=0, window_stride_ticks=1, loss_ticks=0)
WINDOWS = Sampling(batch=4, piece_ticks=50, window_ticks=8, window_stride_ticks=5, loss_ticks=1)


def clip(name: str, ticks: int, columns: int = 2) -> Clip:
    inputs = np.arange(ticks * columns, dtype=np.float32).reshape(ticks, columns)
    return Clip(name, inputs, np.arange(ticks) % 3, ())


def material(*clips: Any, **more: Any) -> Supervised:
    return Supervised(clips, {c.name: c.actions for c in clips}, **more)


def pieces_of(lengths: Any, sampling: Any, seed: int = 0) -> list[Any]:
    return [piece for batch in plan(lengths, sampling, np.random.default_rng(seed)) for piece in batch]


def test_whole_clips_cover_every_tick_once_and_long_ones_are_cut() -> None:
    lengths = [1, 30, 50, 51, 230]
    pieces = pieces_of(lengths, WHOLE)
    for index, ticks in enumerate(lengths):
        seen = sorted(tick for p in pieces if p.clip == index for tick in range(p.start, p.stop))
        assert seen == list(range(ticks))
    assert max(p.stop - p.start for p in pieces) <= WHOLE.piece_ticks
    assert all(p.counts == p.start for p in pieces)


def test_windows_end_everywhere_equally_often_and_count_at_their_end() -> None:
    ends = np.zeros(40, int)
    for seed in range(400):
        for piece in pieces_of([40], WINDOWS, seed):
            assert piece.stop - piece.start == min(8, piece.stop)
            assert piece.counts == piece.stop - 1
            ends[piece.stop - 1] += 1
    assert ends.min() > 0.6 * ends.mean()
    assert ends.max() < 1.4 * ends.mean()


def test_a_clip_shorter_than_the_stride_still_gives_a_window() -> None:
    assert pieces_of([1], WINDOWS) == [Piece(0, 0, 1, 0)]


def test_batches_hold_similar_lengths_in_an_order_that_the_seed_decides() -> None:
    lengths = [10, 11, 12, 45, 46, 47]
    found = plan(lengths, WHOLE, np.random.default_rng(0))
    assert sorted(sorted(p.stop for p in batch) for batch in found) == [[10, 11, 12], [45, 46, 47]]
    assert plan(lengths, WHOLE, np.random.default_rng(5)) == plan(lengths, WHOLE, np.random.default_rng(5))


def test_targets_of_both_heads_weights_and_padding() -> None:
    clips = [clip("a", 6), clip("b", 4)]
    clips[1].actions[1] = NO_ACTION
    batch = assemble([Piece(0, 0, 6, 4), Piece(1, 0, 4, 0)], material(*clips), actions=3, lag_ticks=2)
    assert batch.mask.tolist() == [[1] * 6, [1, 1, 1, 1, 0, 0]]
    assert batch.weight[0, :, 0].tolist() == [0, 0, 0, 0, 1, 1]
    assert batch.weight[0, :, 1].tolist() == [0, 0, 0, 0, 1, 1]
    assert batch.weight[1, :, 0].tolist() == [1, 0, 1, 1, 0, 0]
    assert batch.weight[1, :, 1].tolist() == [0, 0, 1, 0, 0, 0]  # of ticks 0 and 1
    assert batch.targets[0, 5].argmax(-1).tolist() == [5 % 3, 3 % 3]
    whole = assemble([Piece(0, 0, 6, 0)], material(*clips), actions=3, lag_ticks=2)
    assert whole.weight[0, :, 0].tolist() == [1] * 6
    assert whole.weight[0, :, 1].tolist() == [0, 0, 1, 1, 1, 1]


def test_a_piece_shorter_than_the_lag_says_nothing_of_the_past() -> None:
    batch = assemble([Piece(0, 3, 4, 3)], material(clip("a", 6)), actions=3, lag_ticks=2)
    assert batch.weight[0].tolist() == [[1, 0]]


def test_means_and_spreads_leave_out_what_is_missing_and_leave_constants_unscaled() -> None:
    inputs = np.array([[0, np.nan, 5], [2, np.nan, 5], [np.inf, np.nan, 5]], np.float16)
    mean, std = measure([Clip("a", inputs, np.zeros(3, np.int64), ())])
    assert mean.tolist() == [1, 0, 5]
    assert std.tolist() == [1, 1, 1]


def test_targets_that_do_not_fit_are_refused_by_name() -> None:
    a = clip("a", 6)
    with pytest.raises(DatasetError, match="clip a: target has shape"):
        check(Supervised([a], {"a": np.zeros(5, np.int64)}), 3)
    with pytest.raises(DatasetError, match="clip a: target has shape"):
        check(Supervised([a], {"a": np.zeros((6, 4))}), 3)
    with pytest.raises(DatasetError, match="clip a: target has ids 0 to 2"):
        check(material(a), 2)
    with pytest.raises(DatasetError, match="none of 1 clips has a tick with a target"):
        check(Supervised([a], {}), 3)
    with pytest.raises(DatasetError, match="none of 1 clips has a tick with a target"):
        check(Supervised([a], {"a": np.full(6, NO_ACTION)}), 3)


def test_a_clip_without_target_teaches_nothing() -> None:
    kept = check(Supervised([clip("a", 6), clip("b", 6)], {"b": np.zeros(6, np.int64)}), 3)
    assert [c.name for c in kept.clips] == ["b"]


def test_progress_rises_to_1_in_every_segment_and_is_0_where_nobody_knows() -> None:
    labels = np.array([NO_ACTION, 0, 0, 1, 1, 1, 1, 0, NO_ACTION])
    assert progress_of(labels).tolist() == [0, 0.5, 1, 0.25, 0.5, 0.75, 1, 1, 0]
    assert len(progress_of(labels[:0])) == 0
    assert order_of(labels) == [0, 1, 0]
    assert order_of(labels[:1]) == []


def test_a_piece_of_a_clip_knows_how_far_its_segments_are_in_the_clip() -> None:
    labels = np.repeat([0, 1], 4)
    clips = Supervised([Clip("a", np.zeros((8, 2), np.float32), labels, ())], {"a": labels})
    pieces = [Piece(0, 2, 6, 2), Piece(0, 0, 2, 0)]
    read = assemble(pieces, clips, 2, 0, {"a": progress_of(labels)})
    assert read.progress.tolist() == [[0.75, 1, 0.25, 0.5], [0.25, 0.5, 0, 0]]
    assert not assemble(pieces, clips, 2, 0).progress.any()
