"""What is held out of the training data to choose by: whole episodes, every n-th clip, or the end of each recording.

Where it is known who is seen in which clip, whole groups are held out: a user, a session, a recipe is never in training
and in validation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from hal_ros.core.errors import DatasetError
from hal_ros.core.segments import transcript
from hal_ros.datasets.clips import Clip

Name = TypeVar("Name")
TEACHERS, JUDGES = 3, 2
"""Where a few clips are annotated: so many show the alignment of the others where actions begin, and then so many are
worth being chosen by. More than three teach it little more (docs/log.md)."""


class Grouping(NamedTuple):
    """Who is seen in which episode, those of earlier calls too, and which of these are for validation."""

    groups: Mapping[str, str]
    validation: Collection[str] = ()


def hold_out_episodes(
    transcripts: Mapping[str, tuple[str, ...]],
    training: Mapping[str, tuple[str, ...]],
    validated: bool,
    grouping: Grouping | None = None,
    annotated: Collection[str] = (),
) -> set[str]:
    """Choose every fifth of the new episodes for validation, and one at least unless there is one (`validated`).

    `training` are the transcripts that are in training already. An episode with an action that no other one in training
    shows is not chosen: nobody could learn it then. With a `grouping` whole groups are chosen: an episode whose group
    is in validation already is, one whose group is in training is not. Where some are `annotated`, and not all, these
    are chosen by `annotated_to_hold_out`; if it leaves them all to training, the others are chosen from.
    """
    if grouping is not None:
        return _hold_out_episode_groups(transcripts, training, validated, grouping)
    names = sorted(transcripts)
    wanted = max(len(names) // 5, 0 if validated or len(names) + len(training) < 2 else 1)
    some = [name for name in names if name in annotated]
    if 0 < len(some) < len(names):
        judges = annotated_to_hold_out(some)
        names = judges or [name for name in names if name not in annotated]
        wanted = len(judges) or wanted
    chosen: set[str] = set()
    for name in [*names[4::5], *reversed(names)]:
        if len(chosen) == wanted:
            break
        others = [actions for other, actions in transcripts.items() if other not in chosen | {name}]
        shown = {action for actions in [*others, *training.values()] for action in actions}
        if set(transcripts[name]) <= shown:
            chosen.add(name)
    return chosen


def annotated_to_hold_out(annotated: Sequence[Name]) -> list[Name]:
    """Return which of the annotated ones, among others that are not, are for validation: every fifth, JUDGES at least.

    None where fewer than TEACHERS would be left: a validation that is aligned itself chooses less well, but labels
    that are learned from come first.
    """
    if len(annotated) < TEACHERS + JUDGES:
        return []
    count = max(JUDGES, len(annotated) // 5)
    every = len(annotated) // count
    return list(annotated[every - 1 :: every])[:count]


def _hold_out_episode_groups(
    transcripts: Mapping[str, tuple[str, ...]],
    training: Mapping[str, tuple[str, ...]],
    validated: bool,
    grouping: Grouping,
) -> set[str]:
    groups = grouping.groups
    trained, held_out = ({groups[name] for name in part} for part in (training, grouping.validation))
    follow = {name for name in transcripts if groups[name] in held_out - trained}
    fresh = sorted({groups[name] for name in transcripts} - trained - held_out)
    wanted = max(round(len(fresh) / 5), 0 if validated or follow else 1)
    rest = {name: actions for name, actions in {**transcripts, **training}.items() if name not in follow}
    if len(fresh) + len(trained) < 2:  # the only group is for training
        return follow
    return follow | _choose_groups(rest, groups, _every_nth(fresh, 5), wanted)


def hold_out_groups(shown: Mapping[str, Collection[int]], groups: Mapping[str, str], share: float) -> set[str]:
    """Return the names to hold out: those of every n-th group, about this share of all groups and one at least.

    `shown` are the actions of each name. A group that alone shows an action is held out only where all do, and then the
    one that takes the fewest away. Raises DatasetError where there is one group alone.
    """
    found = sorted({groups[name] for name in shown})
    if len(found) < 2:
        raise DatasetError(f"all {len(shown)} training clips are of {found[0]}; expected two groups or more")
    order = _every_nth(found, max(2, round(1 / share)))
    wanted = min(max(1, round(share * len(found))), len(found) - 1)
    return _choose_groups(shown, groups, order, wanted) or _choose_groups(shown, groups, order, 1, lose=True)


def _every_nth(groups: Sequence[str], every: int) -> list[str]:
    """Return the groups in the order in which they are chosen: every n-th, then the others from the end."""
    return list(dict.fromkeys([*groups[every - 1 :: every], *reversed(groups)]))


def _choose_groups(
    shown: Mapping[str, Collection[object]],
    groups: Mapping[str, str],
    order: Sequence[str],
    wanted: int,
    lose: bool = False,
) -> set[str]:
    """Return the names of the first groups that take no action away with them; or, to `lose` some, of the mildest."""
    chosen: list[str] = []

    def lost(group: str) -> int:
        kept = {action for name, actions in shown.items() if groups[name] not in (group, *chosen) for action in actions}
        return len({action for actions in shown.values() for action in actions} - kept)

    while len(chosen) < wanted and (left := [group for group in order if group not in chosen]):
        best = min(left, key=lost)
        if lost(best) and not lose:
            break
        chosen.append(best)
    return {name for name in shown if groups[name] in chosen}


def in_nested_order(names: Collection[str], groups: Mapping[str, str] | None = None) -> list[str]:
    """Return names so that the first N of them are a fair sample for every N, the same on every machine.

    The order is that of the names' hashes; with `groups` these take turns, so that a few clips show many of them.
    """
    order = sorted(names, key=_hash)
    if groups is None:
        return order
    turn: dict[str, int] = {}
    places = {}
    for name in order:
        places[name] = turn[groups[name]] = turn.get(groups[name], -1) + 1
    return sorted(order, key=lambda name: (places[name], _hash(groups[name])))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


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
