"""Which boundaries no amount of transcripts fixes, told from the transcripts alone, before anything is learnt.

Actions before a boundary and actions after it make a graph: an edge for each two that follow each other somewhere. Of
its connected parts, one with a single action on a side says nothing of where that side ends: whatever all of the other
side have in common next to the boundary may as well belong to the single action. A lift that is always followed by a
transport can end before or behind it, and every episode agrees with either. One known boundary of the part settles it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

EDGE = -1
"""Stands before the first action of a clip and after the last one."""
COMPANY = 3
"""Where a side has more actions than this, they have too little in common to be taken for the single one's."""
REMEDY = "annotate 1 to 3 episodes that have them"


@dataclass(frozen=True)
class Junction:
    """Actions that are only ever followed by `after`, which are only ever preceded by `before`."""

    before: tuple[int, ...]  # rising action ids
    after: tuple[int, ...]
    boundaries: int  # how many there are in the transcripts

    @property
    def ambiguous(self) -> bool:
        """Whether one side is a single action, so that transcripts do not tell where it ends or begins."""
        return EDGE not in (*self.before, *self.after) and 1 in (len(self.before), len(self.after))

    def named(self, vocabulary: Sequence[str] = ()) -> str:
        """Return it in words, as `lift | put_down or stack`; without names by the actions' ids."""
        sides = ([vocabulary[a] if vocabulary else str(a) for a in side] for side in (self.before, self.after))
        return " | ".join(" or ".join(names) for names in sides)


def junctions(transcripts: Sequence[Sequence[int]]) -> list[Junction]:
    """Return the connected parts of the graph of who follows whom; repeated neighbours count as one action.

    The beginnings and ends of transcripts are in it too, as EDGE: an action that can begin a clip is seen there
    without anything before it.
    """
    counts: dict[tuple[int, int], int] = {}
    for transcript in transcripts:
        merged = [action for action, _ in groupby(transcript)]
        for pair in pairwise([EDGE, *merged, EDGE] if merged else []):
            counts[pair] = counts.get(pair, 0) + 1
    found: list[tuple[set[int], set[int]]] = []
    for before, after in counts:
        touching = [part for part in found if before in part[0] or after in part[1]]
        found = [part for part in found if not any(part is other for other in touching)]
        lefts, rights = ([part[side] for part in touching] for side in (0, 1))
        found.append(({before}.union(*lefts), {after}.union(*rights)))
    return [
        Junction(
            tuple(sorted(befores)), tuple(sorted(afters)), sum(n for pair, n in counts.items() if pair[0] in befores)
        )
        for befores, afters in sorted(found, key=lambda part: (sorted(part[0]), sorted(part[1])))
    ]


def ambiguous_junctions(transcripts: Sequence[Sequence[int]]) -> list[Junction]:
    """Return the junctions whose boundaries transcripts alone do not place, those with most boundaries first."""
    found = [junction for junction in junctions(transcripts) if junction.ambiguous]
    return sorted(found, key=lambda junction: -junction.boundaries)


def unplaced_junctions(transcripts: Sequence[Sequence[int]], known: Collection[tuple[int, int]] = ()) -> list[Junction]:
    """Return the ambiguous junctions of few actions, but for those that have a `known` boundary: (before, after)."""
    return [
        one
        for one in ambiguous_junctions(transcripts)
        if max(len(one.before), len(one.after)) <= COMPANY
        and not any(before in one.before and after in one.after for before, after in known)
    ]


def inseparable_groups(transcripts: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Return chains of actions that never occur but right after each other, in their order.

    Nothing but a change in the evidence itself divides them; they could as well be one action.
    """
    following = {
        one.before[0]: one.after[0]
        for one in junctions(transcripts)
        if one.ambiguous and len(one.before) == len(one.after) == 1
    }
    chains = []
    for start in sorted(following.keys() - set(following.values())):
        chain = [start]
        while chain[-1] in following:
            chain.append(following[chain[-1]])
        chains.append(tuple(chain))
    return chains
