"""Episodes with a new action are played oftener beside old ones, and as they are among themselves."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from hal_ros.core.answers import NO_ACTION
from hal_ros.datasets.clips import Clip
from hal_ros.train.clips import Supervised
from hal_ros.train.warm_start.rehearsal import NEW_SHARE, rehearsed

pytestmark = pytest.mark.torch


def supervised(old: int, new: int, soft: bool = False) -> Supervised:
    ids = {f"old-{n}": np.array([0, 1, 1, NO_ACTION]) for n in range(old)}
    ids |= {f"new-{n}": np.array([0, 2, 2, NO_ACTION]) for n in range(new)}
    clips = [Clip(name, np.zeros((4, 1), np.float32), actions, ()) for name, actions in ids.items()]
    rows = {name: np.eye(3, dtype=np.float32)[[*actions[:3].tolist(), 0]] for name, actions in ids.items()}
    return Supervised(clips, rows if soft else ids)


@pytest.mark.parametrize("soft", [False, True])
def test_new_clips_make_up_their_share(soft: bool) -> None:
    lines: list[str] = []
    played = rehearsed(supervised(old=70, new=5, soft=soft), 2, lines.append)
    new = [clip.name for clip in played.clips if clip.name.startswith("new")]
    assert len(new) / len(played.clips) == pytest.approx(NEW_SHARE, abs=0.02)
    assert {new.count(f"new-{n}") for n in range(5)} == {6}
    assert sum(clip.name.startswith("old") for clip in played.clips) == 70, "each old one is played once"
    assert lines == ["5 clips with a new action, played 6 times an epoch; 70 without"]


@pytest.mark.parametrize(("old", "new"), [(0, 5), (5, 0), (3, 3)])
def test_where_one_kind_is_missing_or_small_each_is_played_once(old: int, new: int) -> None:
    before = supervised(old, new)
    assert list(rehearsed(before, 2, lambda _: None).clips) == list(before.clips)


def test_clips_without_a_target_count_nothing() -> None:
    before = supervised(old=70, new=5)
    told = {name: ids for name, ids in before.targets.items() if name != "new-0"}
    played = rehearsed(Supervised(before.clips, told), 2, lambda _: None)
    assert [clip.name for clip in played.clips].count("new-0") == 1
