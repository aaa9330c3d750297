"""The truth of a recording that holds none: the annotation.json beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hal_ros.core.answers import NO_ACTION
from hal_ros.datasets.episodes import ANNOTATION, read_segments, segments_at

LABELLED = "-labelled"
"""What `hal label` adds to a bag's name."""


class TruthMark(NamedTuple):
    """What the robot truly did at one image, '' for nothing that has a name."""

    stamp_ns: int
    action: str


def place_of_annotation(recording: Path) -> Path | None:
    """Return the annotation.json that lies beside a recording or, of BAG-labelled, beside BAG; None without one."""
    recording = recording.resolve()
    name = recording.name if recording.is_dir() else recording.stem
    folders = [recording if recording.is_dir() else recording.parent]
    folders += [recording.with_name(name.removesuffix(LABELLED))] * name.endswith(LABELLED)
    return next((place for place in (folder / ANNOTATION for folder in folders) if place.is_file()), None)


def annotated_truth(annotation: Path | None, stamps_ns: Sequence[int]) -> tuple[TruthMark, ...]:
    """Return what an annotation says at each stamp, () without one. DatasetError for a broken one, or another bag's."""
    if annotation is None:
        return ()
    segments = read_segments(annotation)
    actions = tuple(sorted({segment.action for segment in segments}))
    labels = segments_at(annotation, segments, np.asarray(stamps_ns, np.int64), actions)
    names = {NO_ACTION: "", **dict(enumerate(actions))}
    return tuple(TruthMark(stamp, names[int(label)]) for stamp, label in zip(stamps_ns, labels, strict=True))
