"""Bags made ready for the tables: simulated where they are the benchmark's, ingested, told apart by hashes."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hal_ros.bags.inputs import expected_topics, transport_base
from hal_ros.core.card import ModelCard
from hal_ros.core.errors import ConfigError
from hal_ros.datasets import episodes
from hal_ros.datasets.config import TRAINING, VALIDATION, DataConfig, asked_topics, streams_of
from hal_ros.datasets.folder import BENCHMARK
from hal_ros.datasets.formats.folds import groups_of
from hal_ros.datasets.hold_out import Grouping, hold_out_episodes, hold_out_groups, in_nested_order
from hal_ros.datasets.look.marks import MARKS
from hal_ros.sim import messages
from hal_ros.sim.benchmark import ACTIONS
from hal_ros.sim.extras import Extras
from hal_ros.sim.simulate import write_missing
from hal_ros.train import stages
from hal_ros.train.config import MIXED, TrainConfig, config_from_mapping

EXTRA_TOPICS = frozenset(
    (messages.WRIST_IMAGE_TOPIC, messages.WRENCH_TOPIC, messages.TOOL_POSE_TOPIC, messages.GRIPPER_TOPIC)
)
"""Topics that the simulated robot has beside its camera and its joints."""


@dataclass(frozen=True)
class PreparedEpisodes:
    """Episodes with their features, split by split."""

    card: ModelCard
    fold: Mapping[str, Any]  # what tells the data: part of the jobs' keys
    places: Mapping[str, Any]  # where they lie: no part of them


def extras_for(data: DataConfig) -> Extras | None:
    """Return the extra topics of the simulated robot where the settings ask for one of them."""
    asked = (topic for topics in asked_topics(data).values() for topic in topics)
    wanted = {transport_base(topic) for topic in (*expected_topics(streams_of(data)), *asked)}
    return Extras() if wanted & EXTRA_TOPICS else None


def write_benchmark(data: DataConfig, splits: Sequence[str], limits: Mapping[str, int] | None = None) -> None:
    """Simulate what the benchmark's folder lacks for these settings; see `sim.simulate.write_missing`."""
    write_missing(Path(data.folder), splits, data.processes, limits, extras_for(data))


def ingest(settings: Mapping[str, Any], scored: Sequence[str], limits: Mapping[str, int]) -> PreparedEpisodes:
    """Ingest training, validation and the splits that are scored; of each the first episodes where `limits` says so.

    Without a folder for validation some training episodes are held out. Raises what `train.stages.ingest` raises.
    """
    config = _with_all_actions(config_from_mapping(dict(settings)))
    validated = (Path(config.data.folder) / VALIDATION).is_dir()
    splits = (TRAINING, *((VALIDATION,) if validated else ()), *scored)
    card, encoder, prepared = stages.ingest(config, splits, limits)
    folders = {split: split_data.folders for split, split_data in zip(splits, prepared, strict=True)}
    hashes = {split: split_data.sha256 for split, split_data in zip(splits, prepared, strict=True)}
    if not validated:
        kept, held_out = _hold_out(config.data, folders[TRAINING])
        folders = {TRAINING: kept, VALIDATION: held_out, **{split: folders[split] for split in scored}}
        hashes |= {TRAINING: _sha256(kept), VALIDATION: _sha256(held_out)}
    fold = {"episodes": hashes, "vocabulary": list(card.vocabulary)}
    places: dict[str, Any] = {
        "encoder": str(encoder or ""),  # "" without cameras
        "episodes": {split: [str(folder) for folder in each] for split, each in folders.items()},
    }
    found = PreparedEpisodes(card, fold, places)
    return _with_bags(found, config.data) if config.supervision == MIXED else found


def _with_bags(found: PreparedEpisodes, data: DataConfig) -> PreparedEpisodes:
    """Return also the bags beside which marks tell of episodes to learn from; a changed mark makes other episodes."""
    known, hashes, named = _bags(data), dict(found.fold["episodes"]), {}
    for split in (TRAINING, VALIDATION):
        folders = found.places["episodes"][split]
        bags = [known[_bag_name(folder)] for folder in folders]
        hashes[split] = _sha256([Path(folder) for folder in folders], bags)
        named[split] = [str(bag) for bag in bags]
    fold = {**found.fold, "episodes": hashes}
    return PreparedEpisodes(found.card, fold, {**found.places, "bags": named})


def _bags(data: DataConfig) -> dict[str, Path]:
    """Return the bags to learn from and to choose by, by name."""
    return {path.name: path for split in (TRAINING, VALIDATION) for path in Path(data.folder).glob(f"{split}/*")}


def annotated_alone(found: PreparedEpisodes, data: DataConfig, scored: Sequence[str]) -> PreparedEpisodes:
    """Return the same without episodes that nobody has annotated among those to be scored; they are counted.

    Raises ConfigError where none is left.
    """
    there, hashes = dict(found.places["episodes"]), dict(found.fold["episodes"])
    for split in scored:
        folders = there.pop(split)
        bags = {path.name: path for path in (Path(data.folder) / split).iterdir()}
        kept = [folder for folder in folders if episodes.read_annotation(bags[_bag_name(folder)])]
        if len(kept) < len(folders):
            print(f"{split}: {len(folders) - len(kept)} of {len(folders)} episodes have no annotation: not scored")
            hashes[split] = _sha256([Path(folder) for folder in kept])
        if kept:
            there[split] = kept
        else:
            del hashes[split]
    if not any(split in there for split in scored):
        raise ConfigError(
            f"{data.folder}: no episode of {' or '.join(scored)} is annotated; expected one at least, to be scored"
        )
    places = {**found.places, "episodes": there}
    return PreparedEpisodes(found.card, {**found.fold, "episodes": hashes}, places)


def first_episodes(found: PreparedEpisodes, data: DataConfig, count: int) -> PreparedEpisodes:
    """Return the same with the first episodes of `in_nested_order` alone to learn from and to choose by.

    Raises ConfigError where there are fewer, DatasetError where none of them can be held out.
    """
    places = found.places["episodes"]
    folders = {_bag_name(folder): folder for split in (TRAINING, VALIDATION) for folder in places[split]}
    if count > len(folders):
        raise ConfigError(f"{count} episodes, but there are {len(folders)} to learn from; expected that many at most")
    groups = groups_of(data, folders)
    chosen = in_nested_order(folders, groups)[:count]
    bags = _bags(data)
    held_out = _held_out(data, [bags[name] for name in chosen])
    if not held_out:  # each alone shows an action: few episodes are few
        ids = {name: [found.card.vocabulary.index(a) for a in episodes.read_transcript(bags[name])] for name in chosen}
        held_out = hold_out_groups(ids, groups or {name: name for name in chosen}, 1 / 5)
    kept = [Path(folders[name]) for name in chosen if name not in held_out]
    held = [Path(folders[name]) for name in chosen if name in held_out]
    parts = {TRAINING: kept, VALIDATION: held}
    hashes = {**found.fold["episodes"], **{split: _sha256(part) for split, part in parts.items()}}
    there = {**places, **{split: [str(folder) for folder in part] for split, part in parts.items()}}
    few = PreparedEpisodes(found.card, {**found.fold, "episodes": hashes}, {**found.places, "episodes": there})
    return _with_bags(few, data) if "bags" in found.places else few


def parts_of(
    whole: PreparedEpisodes, data: DataConfig, declared: Mapping[str, Any], dataset: str
) -> list[tuple[PreparedEpisodes, int]]:
    """Return all episodes, and the first ones for each point of the declared learning curve, with their numbers.

    All come first. A number of which there are no more is left out by name.
    """
    count = sum(len(whole.places.get("episodes", {}).get(split, ())) for split in (TRAINING, VALIDATION))
    found = [(whole, count)]
    for number in declared.get("curve", {}).get("episodes", ()):
        if number < count:
            found.append((first_episodes(whole, data, number), number))
        else:
            print(f"{dataset}: {number} episodes: left out, there are {count}")
    return found


def _bag_name(cached: str) -> str:
    """Return the name of the bag behind a cached episode's folder, which ends in a hash."""
    return Path(cached).name.rpartition("-")[0]


def _held_out(data: DataConfig, bags: Sequence[Path]) -> set[str]:
    """Return the names of the episodes that are chosen by: some of all, or those of some groups."""
    groups = groups_of(data, [bag.name for bag in bags])
    transcripts = {bag.name: episodes.read_transcript(bag) for bag in bags}
    return hold_out_episodes(transcripts, {}, False, None if groups is None else Grouping(groups))


def _with_all_actions(config: TrainConfig) -> TrainConfig:
    """Return settings that name all of the benchmark's actions: the first few of its episodes do not show them all."""
    data = config.data
    if data.actions or Path(data.folder).name != BENCHMARK:
        return config
    return dataclasses.replace(config, data=dataclasses.replace(data, actions=tuple(sorted(ACTIONS))))


def _hold_out(data: DataConfig, folders: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return the cached episodes that stay in training, and those that are chosen by."""
    bags = episodes.find_bags(Path(data.folder), TRAINING)[: len(folders)]
    chosen = _held_out(data, bags)
    by_bag = list(zip(bags, folders, strict=True))
    kept = [folder for bag, folder in by_bag if bag.name not in chosen]
    return kept, [folder for bag, folder in by_bag if bag.name in chosen]


def _sha256(folders: Sequence[Path], bags: Sequence[Path] = ()) -> str:
    """Return a hash as `train.stages.prepare` makes it of a split, and of the marks beside its bags."""
    marks = [bag / MARKS for bag in bags if (bag / MARKS).exists()]
    names = [folder.name for folder in folders] + [hashlib.sha256(path.read_bytes()).hexdigest() for path in marks]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()
