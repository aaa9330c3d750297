"""Aligned labels against annotations."""

from __future__ import annotations

import numpy as np
import pytest

from hal_ros.core.answers import NO_ACTION
from hal_ros.datasets.clips import Clip
from hal_ros.labels.transcripts.quality import PairBias, alignment_quality


def clip_of(name: str, lengths: list[int]) -> Clip:
    actions = np.repeat([0, 1, 0, 1], lengths)
    return Clip(name, np.zeros((len(actions), 1)), actions, (0, 1, 0, 1))


def test_a_constant_bias_of_a_pair_is_told_from_what_is_left() -> None:
    clips = [clip_of("a", [10, 10, 10, 10]), clip_of("b", [10, 10, 10, 10])]
    labels = {"a": np.repeat([0, 1, 0, 1], [14, 6, 14, 6]), "b": np.repeat([0, 1, 0, 1], [14, 6, 18, 2])}
    found = alignment_quality(labels, clips, 0.1)
    assert found.right == pytest.approx((80 - 8 - 12) / 80)
    assert found.errors_s == pytest.approx([0.4, 0.0, 0.4, 0.4, 0.0, 0.8])
    late, right = found.biases()
    assert (late.pair, late.count, late.bias_s, late.spread_s) == ((0, 1), 4, pytest.approx(0.4), pytest.approx(0.0))
    assert right == PairBias((1, 0), 2, 0.0, 0.0)
    assert found.unbiased_s() == pytest.approx([0, 0, 0, 0, 0, 0.4])
    row = found.row()
    assert row["median"] == pytest.approx(0.4) and row["unbiased median"] == pytest.approx(0.0)
    assert row["near"] == pytest.approx(100 * 2 / 6)


def test_what_is_not_annotated_and_another_order_count_no_boundary() -> None:
    clip = clip_of("a", [5, 5, 5, 5])
    actions = clip.actions.copy()
    actions[7:12] = NO_ACTION
    gap = Clip("gap", clip.inputs, actions, clip.transcript)
    late = Clip("late", clip.inputs, np.where(np.arange(20) < 4, NO_ACTION, clip.actions), clip.transcript)
    labels = {"a": clip.actions, "gap": clip.actions, "late": clip.actions}
    found = alignment_quality(labels, [clip, gap, late], 1.0)
    assert found.right == 1.0 and found.other_order == 1 and len(found.errors_s) == 6
    assert np.isnan(alignment_quality({"gap": clip.actions}, [gap], 1.0).row()["median"])
