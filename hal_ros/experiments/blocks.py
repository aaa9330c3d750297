"""The blocks of a table: each is a supervision, whose targets all systems of the block learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hal_ros.core.errors import ConfigError
from hal_ros.labels.reveal import NOTHING, Share

WEAK, ANNOTATED = "transcripts", "annotations"
ALL_THERE_IS = "mixed"
"""The setting of a block that learns from all that is told, as `hal train` does with `supervision: mixed`."""
SETTINGS = ("teacher", "annotated", "marks", ALL_THERE_IS, "systems")


@dataclass(frozen=True)
class TableBlock:
    """One supervision: annotations where there is no teacher; or else transcripts, and a share of the annotations."""

    name: str
    teacher: str | None
    systems: tuple[str, ...]
    share: Share = NOTHING
    mixed: bool = False  # all there is, in place of a share

    @property
    def source(self) -> str:
        """What tells its first labels and its eye's from others': blocks of several teachers share the transcripts'."""
        if self.teacher is None:
            return ANNOTATED
        return self.name if self.is_told else WEAK

    @property
    def is_told(self) -> bool:
        """Tell whether some ticks are known beside the transcripts."""
        return self.mixed or self.share != NOTHING

    def told(self, seed: int) -> dict[str, Any]:
        """Return the settings of jobs that say what is known beside the transcripts; none under transcripts alone."""
        if not self.is_told:
            return {}
        return {"told": {ALL_THERE_IS: True} if self.mixed else {**asdict(self.share), "seed": seed}}


TRANSCRIPTS_ALONE = TableBlock(WEAK, "", ())
"""What teachers learn from that stand in a table beside the blocks."""


def read_blocks(declared: Mapping[str, Any]) -> dict[str, TableBlock]:
    """Return the blocks of a data set's declaration by name. Raises ConfigError for one that can't be."""
    return {name: _read(name, said, declared) for name, said in declared["blocks"].items()}


def _read(name: str, said: Any, declared: Mapping[str, Any]) -> TableBlock:
    systems = tuple(declared["systems"])
    if said is None:
        return TableBlock(name, None, systems)
    said = {"teacher": said} if isinstance(said, str) else said
    if not isinstance(said, Mapping) or (unknown := sorted(map(str, {*said} - {*SETTINGS}))):
        raise ConfigError(
            f"block {name!r} has {said if not isinstance(said, Mapping) else unknown[0]!r};"
            f" expected a teacher's name, or some of {', '.join(SETTINGS)}"
        )
    if said.get("teacher") not in declared["teachers"]:
        raise ConfigError(
            f"block {name!r}: teacher is {said.get('teacher')!r}; expected one of {', '.join(declared['teachers'])}"
        )
    share = Share(said.get("annotated", 0), said.get("marks", 0))
    own = tuple(said.get("systems", systems))
    if unknown := [system for system in own if system not in systems]:
        raise ConfigError(
            f"block {name!r}: {unknown[0]!r} is none of the systems; expected some of {', '.join(systems)}"
        )
    return TableBlock(name, said["teacher"], own, share, bool(said.get(ALL_THERE_IS, False)))


def that_fit(declared: Mapping[str, Any], episodes: int, dataset: str) -> dict[str, Any]:
    """Return a declaration without the blocks that annotate more than the training episodes; each is named."""
    kept = {}
    for name, block in read_blocks(declared).items():
        if block.share.annotated > episodes:
            print(f"{dataset}: {name}: left out, there are {episodes} training episodes")
        else:
            kept[name] = declared["blocks"][name]
    return {**declared, "blocks": kept}


def measured_under(blocks: Sequence[TableBlock]) -> TableBlock:
    """Return the block on whose clips costs are measured: what a tick costs, no supervision changes."""
    return next((block for block in blocks if block.teacher is None), blocks[0])
