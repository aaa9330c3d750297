"""What becomes of a user's bags, decided and checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from hal_ros.core.streams.spec import StreamSpec
from hal_ros.datasets import checks, user_bags
from hal_ros.datasets import folder as dataset_folder
from hal_ros.datasets.checks import CACHE, Given, Present
from hal_ros.datasets.config import TRAINING, VALIDATION, DataConfig, streams_of
from hal_ros.datasets.episodes import read_transcript
from hal_ros.datasets.formats.folds import groups_of
from hal_ros.datasets.hold_out import Grouping, hold_out_episodes
from hal_ros.datasets.look.asked import AskedStreams
from hal_ros.datasets.look.find import FoundStreams, find_streams
from hal_ros.datasets.look.fit import Contents
from hal_ros.datasets.user_bags import UserBag

USUAL_OUT = Path("datasets/mine")
CONFIG_NAME = "train.yaml"
NOTHING_ASKED = AskedStreams()


@dataclass(frozen=True)
class Request:
    """What a user wants: bags with transcripts into a dataset's folder."""

    sources: tuple[Path, ...]  # bags, or folders of them
    transcripts: Path  # folder with <bag name>.txt
    out: Path | None = None  # the dataset's folder; None: the settings' one, or the usual one
    config: Path | None = None  # the settings' file; None: the one in the dataset's folder
    data: DataConfig | None = None  # what that file says; None: it is not there yet
    split: str | None = None  # where all bags go; None: every fifth to validation, the others to training
    asked: AskedStreams = NOTHING_ASKED
    copy: bool = False  # the bags' files are copied, not linked to
    partial: bool = False  # transcripts and marks that belong to no bag are left out
    replace: bool = False  # a bag may take the place of another one of its name
    marks: Path | None = None  # folder with <bag name>.csv, of some of the bags
    unlabelled: bool = False  # a bag needs no transcript
    groups: Path | None = None  # who is seen in which bag; None: as the settings say

    @property
    def config_path(self) -> Path:
        """Where the settings are, or will be."""
        return self.config or (self.out or USUAL_OUT) / CONFIG_NAME


@dataclass(frozen=True)
class Problems:
    """Why nothing is done: each problem is one line, told once."""

    out: Path
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """All that a call will do, before it does any of it."""

    out: Path
    config: Path  # whose data settings these are, or where they will be written
    bags: Mapping[str, UserBag]
    transcripts: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, str]  # of each bag
    found: FoundStreams
    copy: bool
    marks: Mapping[str, Path] = field(default_factory=dict)  # of the bags that have some

    @property
    def data(self) -> DataConfig:
        """The settings that are there, or will be."""
        return self.found.data

    @property
    def contents(self) -> Mapping[str, Contents]:
        """What each bag holds of the streams."""
        return self.found.contents

    @property
    def streams(self) -> StreamSpec:
        """What the dataset takes of the bags."""
        return streams_of(self.data)


def plan(request: Request) -> Plan | Problems:
    """Look at all that a call would take and change; ConfigError where arguments and settings disagree."""
    data = _data(request)
    out = request.out or Path(data.folder)
    checks.check_folder(out, Path(data.cache), request.split)
    bags, problems = user_bags.find_user_bags(request.sources)
    present = Present.look(out, bags)
    orders, broken = user_bags.annotated_orders(bags)
    otherwise = {**(dict.fromkeys(bags, ()) if request.unlabelled else {}), **orders}
    transcripts, wrong = user_bags.read_transcripts(
        bags, request.transcripts, present.episodes, request.partial, otherwise
    )
    given = Given(bags, transcripts, _splits(request.split, data, bags, transcripts, present))
    marks, stray = user_bags.find_marks(bags, request.marks, present.episodes, request.partial)
    problems += [
        *broken,
        *wrong,
        *stray,
        *user_bags.check_marks(marks, checks.named_actions(given, present, data.actions)),
    ]
    problems += checks.check_splits(given, present, request.replace)
    problems += checks.check_places(given, present, request.replace)
    problems += checks.check_vocabulary(given, present, data.actions)
    found = find_streams(
        {name: bag.path for name, bag in bags.items()}, data, request.asked if request.data is None else None
    )
    problems += found.problems
    if problems or not bags:
        return Problems(out, tuple(dict.fromkeys(problems)))
    return Plan(out, request.config_path, bags, transcripts, given.splits, found, request.copy, marks)


def vocabulary_of(plan: Plan) -> tuple[str, ...]:
    """Return the actions as `hal train` will find them: ids in an annotation depend on them.

    While there is no training episode, they are those of all others.
    """
    known = {name: (path.parent.name, path) for name, path in dataset_folder.episodes_in(plan.out).items()}
    told = [(split, read_transcript(path)) for name, (split, path) in known.items() if name not in plan.bags]
    told += [(plan.splits[name], actions) for name, actions in plan.transcripts.items()]
    training = {action for split, actions in told if split == TRAINING for action in actions}
    return plan.data.actions or tuple(sorted(training or {action for _, actions in told for action in actions}))


def _data(request: Request) -> DataConfig:
    """Return what the settings say of data, or will say."""
    if request.data is not None:
        checks.check_settings(request.data, request.config_path, request.out)
        checks.check_asked(request.data, request.config_path, request.asked)
        checks.check_groups_file(request.data, request.config_path, request.groups)
        return request.data
    out = request.out or USUAL_OUT
    return DataConfig(folder=str(out), cache=str(out / CACHE), groups=str(request.groups or ""))


def _splits(
    asked: str | None,
    data: DataConfig,
    bags: Mapping[str, UserBag],
    transcripts: Mapping[str, tuple[str, ...]],
    present: Present,
) -> dict[str, str]:
    """Return where each bag goes: where its episode is already, where it is asked for, or held out for validation.

    Raises DatasetError where the settings name a file of groups and an episode has none.
    """
    kept = {name: path.parent.name for name, path in present.episodes.items()}
    new = {name: actions for name, actions in transcripts.items() if name not in kept and actions}
    training = {name: actions for name, actions in transcripts.items() if kept.get(name) == TRAINING}
    training = {**present.transcripts.get(TRAINING, {}), **training}
    validation = [name for name, split in kept.items() if split == VALIDATION]
    groups = None if asked else groups_of(data, [*new, *training, *validation])
    grouping = None if groups is None else Grouping(groups, validation)
    orders, _ = user_bags.annotated_orders({name: bags[name] for name in new})
    whole = [name for name, order in orders.items() if order == tuple(action for action, _ in groupby(new[name]))]
    held_out = hold_out_episodes(new, training, bool(validation), grouping, whole)
    return {name: asked or kept.get(name) or (VALIDATION if name in held_out else TRAINING) for name in bags}
