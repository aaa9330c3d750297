"""What may be wrong with a user's bags on their way into a dataset's folder.

Settings and arguments that disagree raise ConfigError; what is wrong with bags is returned, one line each.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.spec import CAMERA, JOINTS
from hal_ros.datasets import folder as dataset_folder
from hal_ros.datasets import user_bags
from hal_ros.datasets.config import EPISODES, TRAINING, VALIDATION, DataConfig, asked_topics, streams_of
from hal_ros.datasets.folder import BENCHMARK
from hal_ros.datasets.look.asked import AskedStreams
from hal_ros.datasets.user_bags import UserBag

CACHE = "cache"
"""The folder beside the splits where a new dataset keeps its ingested episodes."""


@dataclass(frozen=True)
class Given:
    """The bags of a call, their transcripts as far as there are any, and where each is to go."""

    bags: Mapping[str, UserBag]
    transcripts: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, str]


@dataclass(frozen=True)
class Present:
    """What a dataset's folder holds already."""

    folder: Path
    episodes: Mapping[str, Path]
    transcripts: Mapping[str, Mapping[str, tuple[str, ...]]]  # by split, of the episodes that are not given anew

    @classmethod
    def look(cls, folder: Path, given: Collection[str]) -> Present:
        """Return what is in a folder; `given` are the names of the bags of this call."""
        episodes = dataset_folder.episodes_in(folder)
        transcripts = {
            split: {n: a for n, a in dataset_folder.transcripts_in(folder, split).items() if n not in given}
            for split in {path.parent.name for path in episodes.values()}
        }
        return cls(folder, episodes, transcripts)


# --- settings and arguments -------------------------------------------------------------------------------------------


def check_settings(data: DataConfig, config: Path, out: Path | None) -> None:
    """Refuse settings that bags can't follow, or that are of another folder; ConfigError."""
    if data.layout != EPISODES:
        raise ConfigError(f"data.layout in {config} is {data.layout!r}; expected {EPISODES!r}, which bags become")
    if not data.joints and not data.names_streams:
        raise ConfigError(f"{config}: data.joints is empty; expected the joints' names in the model's order")
    if out is not None and out.resolve() != Path(data.folder).resolve():
        raise ConfigError(f"data.folder in {config} is {data.folder}; expected {out}, where the bags go")


def check_asked(data: DataConfig, config: Path, asked: AskedStreams) -> None:
    """Refuse streams that are asked for and not those of the settings; ConfigError."""
    spec, topics = streams_of(data), asked_topics(data)
    for kind, named in (("cameras", asked.cameras), ("states", {n: s.topics for n, s in asked.states.items()})):
        streams = spec.cameras if kind == "cameras" else spec.states
        usual, old_key = (CAMERA, "camera_topic") if kind == "cameras" else (JOINTS, "joint_topic")
        for name, wanted in named.items():
            meant = next(iter(streams)) if name == usual and name not in streams and len(streams) == 1 else name
            if meant not in streams:
                known = ", ".join(spec.names)
                raise ConfigError(
                    f"{config}: has no stream {name!r} among its {kind}; expected one of {known}; write it there"
                )
            key = f"streams.{kind}.{meant}.topic" if data.names_streams else old_key
            there = streams[meant].topic or topics.get(meant, ())
            if set(wanted) != set(there):
                raise ConfigError(f"data.{key} in {config} is {_shown(there)}; expected {_shown(wanted)}, as asked")
    for name, state in asked.states.items():
        if state.fields and name in spec.states and state.fields != spec.states[name].fields:
            fields = ", ".join(spec.states[name].fields)
            raise ConfigError(f"{config}: {name} has fields {fields}; expected {', '.join(state.fields)}, as asked")


def check_groups_file(data: DataConfig, config: Path, groups: Path | None) -> None:
    """Refuse a file of groups that is not the settings' one; ConfigError."""
    if groups is not None and str(groups) != data.groups:
        raise ConfigError(f"data.groups in {config} is {data.groups!r}; expected {str(groups)!r}, as asked")


def _shown(topics: Collection[str]) -> str:
    return repr(next(iter(topics), "")) if len(topics) < 2 else repr(list(topics))


def check_folder(out: Path, cache: Path, split: str | None) -> None:
    """Refuse the benchmark's folder, and a split that is no folder's name or that of another one; ConfigError."""
    if out.name == BENCHMARK:
        raise ConfigError(f"{out}: is the benchmark's own folder; expected another one")
    if split is None:
        return
    if not re.fullmatch(r"[A-Za-z0-9_][\w.-]*", split):
        raise ConfigError(f"--split {split}: is no folder's name; expected letters, digits, '_', '-' and '.'")
    if split == CACHE or (out / split).resolve() == cache.resolve():
        raise ConfigError(f"--split {split}: is the cache's folder; expected another name, as {VALIDATION}")


# --- bags -------------------------------------------------------------------------------------------------------------


def check_splits(given: Given, present: Present, replace: bool) -> list[str]:
    """Tell the bags whose name an episode has that lies in another split, or is of another bag."""
    problems = []
    for name, bag in given.bags.items():
        there = present.episodes.get(name)
        if there is None:
            continue
        if there.parent.name != given.splits[name]:
            problems.append(f"{bag.path}: is in {there} already; expected it there, or gone from there")
        elif not replace and dataset_folder.holds_other_bag(there, bag):
            problems.append(f"{bag.path}: is not the bag in {there}; expected another name, or --replace")
    return problems


def check_places(given: Given, present: Present, replace: bool) -> list[str]:
    """Refuse to take away what is no episode of the dataset: the bags of this call above all."""
    problems = []
    for name, bag in given.bags.items():
        target = present.folder / given.splits[name] / name
        if any(dataset_folder.lies_in(bag, folder) for folder in (present.folder, target.parent)):
            problems.append(f"{bag.path}: lies in {present.folder}, the dataset itself; expected bags from elsewhere")
        elif name not in present.episodes and not replace and os.path.lexists(target):
            problems.append(f"{target}: is there and no episode; expected nothing of that name")
        else:
            try:
                dataset_folder.check_place(bag, target, present.folder)
            except ConfigError as error:
                problems.append(str(error))
    return problems


def named_actions(given: Given, present: Present, actions: tuple[str, ...]) -> tuple[str, ...]:
    """Return the actions that marks may name: those of the settings, or of all transcripts."""
    parts = (*present.transcripts.values(), given.transcripts)
    return actions or tuple(sorted({action for part in parts for told in part.values() for action in told}))


def check_vocabulary(given: Given, present: Present, actions: tuple[str, ...]) -> list[str]:
    """Check all actions against the settings; without any there, those of the training transcripts count."""
    if actions:
        return user_bags.check_actions(given.transcripts, actions, "data.actions")
    parts = (*present.transcripts.values(), given.transcripts)
    problems = user_bags.check_bare(given.transcripts)
    problems += user_bags.check_spelling({name: told for part in parts for name, told in part.items()})
    training = dict(present.transcripts.get(TRAINING, {}))
    others = {n: told for split, part in present.transcripts.items() if split != TRAINING for n, told in part.items()}
    for name, told in given.transcripts.items():
        (training if given.splits[name] == TRAINING else others)[name] = told
    if training:
        shown = sorted({action for told in training.values() for action in told})
        problems += user_bags.check_actions(others, shown, "the training transcripts' actions")
    return problems
