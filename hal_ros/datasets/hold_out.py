"""What is held out of the training data to choose by: whole episodes, every n-th clip, or the end of each recording."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hal_ros.core.errors import DatasetError
from hal_ros.core.segments import transcript
from hal_ros.datasets.clips import Clip


def hold_out_episodes(
    transcripts: Mapping[str, tuple[str, ...]], training: Mapping[str, tuple[str, ...]], validated: bool
) -> set[str]:
    """Choose every fifth of the new episodes for validation, and one at least unless there is one (`validated`).

    `training` are the transcripts that are in training already. An episode with an action that no other one in training
    shows is not chosen: nobody could learn it then.
    """
    names = sorted(transcripts)
    wanted = max(len(names) // 5, 0 if validated or len(names) + len(training) < 2 else 1)
    chosen: set[str] = set()
    for name in [*names[4::5], *reversed(names)]:
        if len(chosen) == wanted:
            break
        others = [actions for other, actions in transcripts.items() if other not in chosen | {name}]
        shown = {action for actions in [*others, *training.values()] for action in actions}
        if set(transcripts[name]) <= shown:
            chosen.add(name)
    return chosen


def hold_out_every_nth(clips: list[Clip], share: float) -> tuple[list[Clip], list[Clip]]:
    """Return training clips and every n-th of them, one at least. Raises DatasetError for fewer than two."""
    if len(clips) < 2:
        raise DatasetError(f"{len(clips)} training clips can be used; expected two or more, one of them to be held out")
    every = max(2, round(1 / share))
    chosen = set(range(every - 1, len(clips), every)) or {len(clips) - 1}
    kept = [clip for index, clip in enumerate(clips) if index not in chosen]
    return kept, [clips[index] for index in sorted(chosen)]


def hold_out_end(clip: Clip, share: float) -> tuple[Clip, Clip]:
    """Cut a clip in two, the last `share` of its ticks by itself; each part's transcript is that of its annotation."""
    if not 0 < share < 1:
        raise DatasetError(f"validation is {share}; expected a share of each training recording, within (0, 1)")
    cut = clip.ticks - max(1, round(share * clip.ticks))
    return _part(clip, slice(0, cut), clip.name), _part(clip, slice(cut, None), f"{clip.name}-end")


def _part(clip: Clip, ticks: slice, name: str) -> Clip:
    actions = clip.actions[ticks]
    return Clip(name, np.asarray(clip.inputs[ticks]), actions, tuple(transcript(actions)))
