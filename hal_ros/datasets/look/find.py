"""From a user's bags to the streams of a dataset: the settings' own, or those that are chosen for new settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hal_ros.bags.inputs import expected_topics
from hal_ros.core.errors import HalError
from hal_ros.datasets.config import DataConfig, asked_topics, streams_of
from hal_ros.datasets.look.asked import AskedStreams
from hal_ros.datasets.look.candidates import Candidate, find_candidates
from hal_ros.datasets.look.choice import choose
from hal_ros.datasets.look.fit import Contents, about, fit, nowhere, stream_warnings, unreadable
from hal_ros.datasets.look.topics import BagLook, look_at


@dataclass(frozen=True)
class FoundStreams:
    """What the bags hold of the streams: of those in the settings, or of those that are chosen now."""

    data: DataConfig
    contents: Mapping[str, Contents]
    problems: tuple[str, ...]
    candidates: tuple[Candidate, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def find_streams(bags: Mapping[str, Path], data: DataConfig, asked: AskedStreams | None) -> FoundStreams:
    """Look at bags; where there are no settings yet streams are chosen, those `asked` for or the likely ones."""
    named = asked.topics if asked else expected_topics(streams_of(data))
    looked = {name: _look(path, named) for name, path in bags.items()}
    looks = {name: found for name, found in looked.items() if not isinstance(found, str)}
    problems = [found for found in looked.values() if isinstance(found, str)]
    candidates = tuple(find_candidates(looks))
    choice = None if asked is None or not looks else choose(candidates, len(looks), asked)
    if choice is not None:
        if choice.problems:
            return FoundStreams(data, {}, (*problems, *choice.problems))
        data = dataclasses.replace(data, streams=choice.streams)
    spec, topics = streams_of(data), asked_topics(data)
    fitted = {name: fit(bags[name], look, spec, topics) for name, look in looks.items()}
    contents = {name: found for name, found in fitted.items() if isinstance(found, Contents)}
    problems += [found for found in fitted.values() if isinstance(found, str)]
    problems += unreadable(contents, spec)
    if len(contents) == len(bags):  # else what no bag has may be in one of the others
        problems += nowhere(contents, spec)
    reasons = {} if choice is None else choice.reasons
    warnings = tuple(stream_warnings(contents, spec))
    return FoundStreams(data, contents, tuple(problems), candidates, reasons, warnings)


def _look(path: Path, topics: Collection[str]) -> BagLook | str:
    try:
        return look_at(path, topics)
    except HalError as error:
        return about(path, str(error))
