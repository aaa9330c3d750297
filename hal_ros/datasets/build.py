"""The user's own bags on their way into a dataset folder: checked together, ingested, and only then put in place."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import yaml

from hal_ros.bags.sensors import SensorTopics
from hal_ros.core.card import ModelCard
from hal_ros.core.errors import ConfigError, HalError
from hal_ros.datasets import episodes, user_bags
from hal_ros.datasets import folder as dataset_folder
from hal_ros.datasets.card import draft_card
from hal_ros.datasets.config import DataConfig
from hal_ros.datasets.pool import in_order
from hal_ros.datasets.user_bags import Contents, UserBag
from hal_ros.train.config import load_config

TRAINING, VALIDATION, CACHE = "train", "validation", "cache"
USUAL_OUT = Path("datasets/mine")
CONFIG_NAME = "train.yaml"
CONFIG_HEAD = """# Settings of `hal train` for this dataset, written by `hal ingest`. What is left out keeps the
# defaults of hal_ros/train/config.py.
"""


class Plan(NamedTuple):
    """All that a call will do, before it does any of it."""

    out: Path
    data: DataConfig
    config: Path  # whose data settings these are, or where they will be written
    bags: dict[str, UserBag]
    transcripts: dict[str, tuple[str, ...]]
    splits: dict[str, str]  # of each bag
    contents: dict[str, Contents]

    @property
    def topics(self) -> SensorTopics:
        """The topics that are asked for by name."""
        return SensorTopics(self.data.camera_topic or None, self.data.joint_topic or None)


class Ingested(NamedTuple):
    """One bag's episode in the cache, or the problem that it gave."""

    name: str
    cached: Path | None
    problem: str


def ingest(args: argparse.Namespace) -> int:
    """Check, ingest, put in place, report; 1, and nothing changed in the dataset, when there are problems."""
    problems: list[str] = []
    plan = _plan(args, problems)
    if problems:
        return _refuse(problems, plan.out)
    card = draft_card(plan.data, _vocabulary(plan))
    with dataset_folder.staging(plan.out) as place:
        made = {
            name: dataset_folder.lay(bag, plan.transcripts[name], place / plan.splits[name], args.copy)
            for name, bag in plan.bags.items()
        }
        job = partial(_ingest_one, card=card, topics=plan.topics, cache=Path(plan.data.cache))
        done = list(_with_progress(in_order(job, list(made.values()), plan.data.processes), len(made)))
        problems += [result.problem for result in done if result.problem]
        if problems:
            return _refuse(problems, plan.out)
        if not plan.config.exists():
            written = place / CONFIG_NAME
            written.write_text(_config_text(plan), encoding="utf-8")
            written.rename(plan.config)
        dataset_folder.put_in_place(made, plan.out)
    _report(plan, done)
    return 0


def _refuse(problems: Iterable[str], out: Path) -> int:
    for problem in dict.fromkeys(problems):
        print(f"hal ingest: {problem}", file=sys.stderr)
    print(f"hal ingest: nothing was added to {out}", file=sys.stderr)
    return 1


# --- checks -----------------------------------------------------------------------------------------------------------


def _plan(args: argparse.Namespace, problems: list[str]) -> Plan:
    out, config, data = _settings(args)
    bags = user_bags.find_user_bags(args.sources, problems)
    present = dataset_folder.episodes_in(out)
    transcripts = user_bags.read_transcripts(bags, args.transcripts, present, args.partial, problems)
    known = {
        split: dataset_folder.transcripts_in(out, split) for split in {path.parent.name for path in present.values()}
    }
    for split in known:
        known[split] = {name: actions for name, actions in known[split].items() if name not in bags}
    splits = _splits(args, bags, transcripts, present, known, problems)
    _check_places(out, bags, splits, present, args.replace, problems)
    _check_vocabulary(data, transcripts, splits, known, problems)
    card = draft_card(data)
    asked = SensorTopics(data.camera_topic or None, data.joint_topic or None)
    looked = {name: user_bags.look_into(bag, card, asked, problems) for name, bag in bags.items()}
    contents = {name: found for name, found in looked.items() if found is not None}
    if not data.joints:
        data = dataclasses.replace(data, joints=_joints_of(contents, problems))
    return Plan(out, data, config, bags, transcripts, splits, contents)


def _settings(args: argparse.Namespace) -> tuple[Path, Path, DataConfig]:
    """Return the dataset's folder, the settings' file, and what it says or will say of data; ConfigError."""
    config = args.config or (args.out or USUAL_OUT) / CONFIG_NAME
    if args.config is None and not config.exists():
        out = args.out or USUAL_OUT
        topics = args.camera_topic or "", args.joint_topic or ""
        data = DataConfig(folder=str(out), cache=str(out / CACHE), camera_topic=topics[0], joint_topic=topics[1])
    else:
        data = load_config(config).data
        out = args.out or Path(data.folder)
        if data.layout != "episodes":
            raise ConfigError(f"data.layout in {config} is {data.layout!r}; expected 'episodes', which bags become")
        if not data.joints:
            raise ConfigError(f"{config}: data.joints is empty; expected the joints' names in the model's order")
        if out.resolve() != Path(data.folder).resolve():
            raise ConfigError(f"data.folder in {config} is {data.folder}; expected {out}, where the bags go")
        for key in ("camera_topic", "joint_topic"):
            asked_for = getattr(args, key)
            if asked_for and asked_for != getattr(data, key):
                raise ConfigError(f"data.{key} in {config} is {getattr(data, key)!r}; expected {asked_for!r}, as asked")
    if out.name == dataset_folder.BENCHMARK:
        raise ConfigError(f"{out}: is the benchmark's own folder; expected another one")
    if args.split is not None:
        _check_split(args.split, out, Path(data.cache))
    return out, config, data


def _check_split(split: str, out: Path, cache: Path) -> None:
    """Refuse what is no name of a folder in the dataset, or is that of another one in it; ConfigError."""
    if not re.fullmatch(r"[A-Za-z0-9_][\w.-]*", split):
        raise ConfigError(f"--split {split}: is no folder's name; expected letters, digits, '_', '-' and '.'")
    if split == CACHE or (out / split).resolve() == cache.resolve():
        raise ConfigError(f"--split {split}: is the cache's folder; expected another name, as {VALIDATION}")


def _splits(
    args: argparse.Namespace,
    bags: Mapping[str, UserBag],
    transcripts: Mapping[str, tuple[str, ...]],
    present: Mapping[str, Path],
    known: Mapping[str, Mapping[str, tuple[str, ...]]],
    problems: list[str],
) -> dict[str, str]:
    """Return where each bag goes: where its episode is already, where it is asked for, or held out for validation."""
    new = {name: actions for name, actions in transcripts.items() if name not in present}
    kept = {name: path.parent.name for name, path in present.items()}
    training = {name: actions for name, actions in transcripts.items() if kept.get(name) == TRAINING}
    held_out = user_bags.hold_out(new, {**known.get(TRAINING, {}), **training}, VALIDATION in kept.values())
    splits = {}
    for name, bag in bags.items():
        splits[name] = args.split or kept.get(name) or (VALIDATION if name in held_out else TRAINING)
        if name in present and kept[name] != splits[name]:
            problems.append(f"{bag.path}: is in {present[name]} already; expected it there, or gone from there")
        elif name in present and not args.replace and dataset_folder.holds_other_bag(present[name], bag):
            problems.append(f"{bag.path}: is not the bag in {present[name]}; expected another name, or --replace")
    return splits


def _check_places(
    out: Path,
    bags: Mapping[str, UserBag],
    splits: Mapping[str, str],
    present: Mapping[str, Path],
    replace: bool,
    problems: list[str],
) -> None:
    """Refuse to take away what is no episode of the dataset: the bags of this call above all."""
    for name, bag in bags.items():
        target = out / splits[name] / name
        if any(dataset_folder.lies_in(bag, folder) for folder in (out, target.parent)):
            problems.append(f"{bag.path}: lies in {out}, the dataset itself; expected bags from elsewhere")
        elif name not in present and not replace and os.path.lexists(target):
            problems.append(f"{target}: is there and no episode; expected nothing of that name, or --replace")


def _check_vocabulary(
    data: DataConfig,
    transcripts: Mapping[str, tuple[str, ...]],
    splits: Mapping[str, str],
    known: Mapping[str, Mapping[str, tuple[str, ...]]],
    problems: list[str],
) -> None:
    """Check all actions against the settings; without any there, those of the training transcripts count."""
    if data.actions:
        user_bags.check_actions(transcripts, data.actions, "data.actions", problems)
        return
    user_bags.check_spelling({name: a for part in (*known.values(), transcripts) for name, a in part.items()}, problems)
    training = [*known.get(TRAINING, {}).values(), *(a for name, a in transcripts.items() if splits[name] == TRAINING)]
    if training:
        others = {name: a for split, part in known.items() if split != TRAINING for name, a in part.items()}
        others |= {name: actions for name, actions in transcripts.items() if splits[name] != TRAINING}
        shown = sorted({action for actions in training for action in actions})
        user_bags.check_actions(others, shown, "the training transcripts' actions", problems)


def _joints_of(contents: Mapping[str, Contents], problems: list[str]) -> tuple[str, ...]:
    """Return the joints that all bags name, in the first one's order."""
    named = [found.joint_names for found in contents.values()]
    common = tuple(name for name in (named[0] if named else ()) if all(name in names for names in named))
    if contents and not common:
        problems.append("the bags' joint states name no joint that all have; expected JointState with the same names")
    return common


def _vocabulary(plan: Plan) -> tuple[str, ...]:
    """Return the actions as `hal train` will find them: ids in an annotation depend on them.

    While there is no training episode, they are those of all others.
    """
    known = {name: (path.parent.name, path) for name, path in dataset_folder.episodes_in(plan.out).items()}
    told = [(split, episodes.read_transcript(path)) for name, (split, path) in known.items() if name not in plan.bags]
    told += [(plan.splits[name], actions) for name, actions in plan.transcripts.items()]
    training = {action for split, actions in told if split == TRAINING for action in actions}
    return plan.data.actions or tuple(sorted(training or {action for _, actions in told for action in actions}))


# --- work -------------------------------------------------------------------------------------------------------------


def _ingest_one(episode: Path, card: ModelCard, topics: SensorTopics, cache: Path) -> Ingested:
    try:
        cached = episodes.cached(episode, card, topics, cache / episode.parent.name)
    except HalError as error:
        return Ingested(episode.name, None, str(error).replace(str(episode), f"bag {episode.name}"))
    return Ingested(episode.name, cached, "")


def _with_progress(results: Iterable[Ingested], count: int) -> Iterator[Ingested]:
    for number, result in enumerate(results, 1):
        if number % 20 == 0 and number < count:
            print(f"{number}/{count} bags read", flush=True)
        yield result


# --- words ------------------------------------------------------------------------------------------------------------


def _report(plan: Plan, done: Iterable[Ingested]) -> None:
    """Print the topics taken, each bag's faults, what the dataset holds now, and what to do next."""
    for kind in SensorTopics._fields:
        taken = Counter(getattr(found.topics, kind) or "none" for found in plan.contents.values())
        print(f"{kind}: " + ", ".join(f"{topic} in {_count(count, 'bag')}" for topic, count in sorted(taken.items())))
    _report_joints(plan)
    divided = []
    for name, cached, _ in done:
        assert cached is not None  # otherwise there was a problem
        episode = episodes.load(cached)
        if found := episodes.faults(episode.counters):
            print(f"{name}: {found}")
        divided += [name] * (int(episode.fresh.sum()) > 1)
    if divided:
        print(f"{', '.join(divided)}: in parts with a tick grid each, which are trained on without a transcript")
    for split in sorted({path.parent.name for path in dataset_folder.episodes_in(plan.out).values()}):
        there = len(dataset_folder.transcripts_in(plan.out, split))
        came = [result for result in done if plan.splits[result.name] == split]
        print(f"{plan.out / split}: {_count(there, 'episode')}, {len(came)} of this call{_ticks(came)}")
    vocabulary = _vocabulary(plan)
    print(f"{_count(len(vocabulary), 'action')}: {', '.join(vocabulary)}")
    if not (plan.out / VALIDATION).exists():
        print(
            f"{plan.out}: has no {VALIDATION} episode yet, which `hal train` needs: ingest some with --split validation"
        )
    print(f"next: hal train {plan.config}")


def _report_joints(plan: Plan) -> None:
    print(f"joints of the model: {', '.join(plan.data.joints)}")
    named = {joint for found in plan.contents.values() for joint in found.joint_names}
    ignored = sorted(named - set(plan.data.joints))
    if ignored:
        print(f"joints left out: {', '.join(ignored)}")
    for name, found in plan.contents.items():
        absent = [joint for joint in plan.data.joints if joint not in found.joint_names]
        if absent:
            print(f"{name}: has no joint {', '.join(absent)}")


def _ticks(came: Iterable[Ingested]) -> str:
    loaded = [episodes.load(result.cached) for result in came if result.cached is not None]
    ticks, held = sum(len(episode.held) for episode in loaded), sum(int(episode.held.sum()) for episode in loaded)
    return f": {ticks} ticks, {held} of them held" if loaded else ""


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _config_text(plan: Plan) -> str:
    data = plan.data
    settings = {"folder": data.folder, "cache": data.cache, "joints": list(data.joints)}
    settings |= {key: getattr(data, key) for key in ("camera_topic", "joint_topic") if getattr(data, key)}
    content = {"name": plan.out.resolve().name, "supervision": "transcripts", "data": settings}
    return CONFIG_HEAD + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
