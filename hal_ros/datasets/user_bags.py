"""The user's own bags and transcripts: what there is, what belongs together, and all that does not fit.

Nothing here raises for what a user may have got wrong: each problem is one line that is returned, so that a call tells
them all at once and does nothing while there are any.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from hal_ros.bags.reader import METADATA, bag_files
from hal_ros.core.errors import HalError
from hal_ros.datasets.episodes import read_actions, read_annotation
from hal_ros.datasets.look.marks import MARKS, read_marks, unknown_actions

STORAGES = (".mcap", ".db3")
NOTHING_ELSE: Mapping[str, tuple[str, ...]] = {}
PACKED = ".zstd"
_DECORATED = re.compile(r"#|//|[-*•]\s|\[[ xX]?\]|\(?\d+[.):]\s|\d+[.:,]\d+")
"""What a line of a list, a comment or a table of times begins with."""
ALMOST = 0.9
"""Names as like as that, by difflib's ratio, may be one name with a slip of the pen."""


class UserBag(NamedTuple):
    """A bag by its name: the folder's, or that of a lone file without its ending."""

    name: str
    path: Path
    files: tuple[Path, ...]  # what has to be there to read it, beside metadata.yaml


# --- bags -------------------------------------------------------------------------------------------------------------


def find_user_bags(paths: Sequence[Path]) -> tuple[dict[str, UserBag], list[str]]:
    """Return the bags among files and in folders, however deep, by name and in the names' order; and problems."""
    bags: dict[str, UserBag] = {}
    problems = []
    for path in paths:
        found = list(_bags_in(path))
        if not found:
            lacking = "holds no bag" if path.exists() else "does not exist"
            problems.append(f"{path}: {lacking}; expected .mcap or .db3 files or rosbag2 folders")
        for bag in found:
            name = bag.resolve().name if bag.is_dir() else Path(bag.name.removesuffix(PACKED)).stem
            try:
                files = tuple(bag_files(bag))
            except HalError as error:
                problems.append(str(error))
                continue
            problems += [f"{bag}: names {file.name}, which is not there" for file in files if not file.exists()]
            before = bags.setdefault(name, UserBag(name, bag, files))
            if before.path.resolve() != bag.resolve():
                problems.append(f"{before.path} and {bag}: both are named {name}; expected a name for each")
    return dict(sorted(bags.items())), problems


def _bags_in(path: Path, seen: set[Path] | None = None) -> Iterator[Path]:
    """Yield the bags in a folder, or the one that it is; each folder is looked into once, whatever links lead to it."""
    seen = set() if seen is None else seen
    if not path.is_dir():
        if path.name.removesuffix(PACKED).endswith(STORAGES) and path.exists():
            yield path
    elif (path / METADATA).exists() or _is_one_recording(path):
        yield path
    elif path.resolve() not in seen:
        seen.add(path.resolve())
        for entry in sorted(path.iterdir()):
            if not entry.name.startswith("."):
                yield from _bags_in(entry, seen)


def _is_one_recording(folder: Path) -> bool:
    """Whether a folder without metadata is what rosbag2 leaves when it is killed: <folder>_0.mcap, <folder>_1.mcap …

    A folder with bags in folders of their own is none.
    """
    names = (file.name.removesuffix(PACKED) for file in folder.iterdir())
    stems = [Path(name).stem for name in names if name.endswith(STORAGES)]
    name = re.escape(folder.resolve().name)
    below = (file for suffix in STORAGES for file in folder.glob(f"*/*{suffix}"))
    return bool(stems) and all(re.fullmatch(rf"{name}_\d+", stem) for stem in stems) and not any(below)


# --- transcripts ------------------------------------------------------------------------------------------------------


def annotated_orders(bags: Mapping[str, UserBag]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the order of actions that annotations beside bags have, by bag name, and problems."""
    orders, problems = {}, []
    for name, bag in bags.items():
        try:
            segments = read_annotation(bag.path) if bag.path.is_dir() else None
        except HalError as error:
            problems.append(str(error))
            continue
        if segments:
            orders[name] = tuple(action for action, _ in groupby(segment.action for segment in segments))
    return orders, problems


def read_transcripts(
    bags: Collection[str],
    folder: Path,
    known: Collection[str],
    partial: bool,
    otherwise: Mapping[str, tuple[str, ...]] = NOTHING_ELSE,
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the transcript <folder>/<bag name>.txt of each bag, or what stands for it `otherwise`, and problems.

    A transcript without a bag is a problem, unless its bag is `known` from an earlier call, or `partial` is asked for.
    """
    if not folder.is_dir():
        return {}, [f"{folder}: is no folder; expected one with <bag name>.txt for each bag"]
    files = {path.stem: path for path in sorted(folder.glob("*.txt"))}
    transcripts = {}
    problems = []
    for name in bags:
        if name not in files and name in otherwise:
            transcripts[name] = otherwise[name]
            continue
        if name not in files:
            near = _parts(name, files) or _near(name, [stem for stem in files if stem not in bags], ".txt")
            problems.append(f"bag {name}: has no transcript; expected {folder / name}.txt{near}")
            continue
        try:
            transcripts[name] = read_actions(files[name])
        except HalError as error:
            problems.append(str(error))
            continue
        if not transcripts[name]:
            problems.append(f"{files[name]}: is empty; expected one action a line")
    for name in files if not partial else ():
        if name not in bags and name not in known:
            near = _near(name, [bag for bag in bags if bag not in files])
            problems.append(f"{files[name]}: belongs to no bag of this call{near} (--partial leaves it out)")
    return transcripts, problems


def find_marks(
    bags: Mapping[str, UserBag], folder: Path | None, known: Collection[str], partial: bool
) -> tuple[dict[str, Path], list[str]]:
    """Return the marks of the bags that have some, <folder>/<bag name>.csv or marks.csv in the bag's own folder.

    Of problems there are folders that are none, and files without a bag, as with transcripts.
    """
    if folder is not None and not folder.is_dir():
        return {}, [f"{folder}: is no folder; expected one with <bag name>.csv for bags"]
    given = {path.stem: path for path in sorted(folder.glob("*.csv"))} if folder is not None else {}
    beside = {name: bag.path / MARKS for name, bag in bags.items() if bag.path.is_dir() and (bag.path / MARKS).exists()}
    problems = [
        f"{path}: belongs to no bag of this call{_near(name, bags)} (--partial leaves it out)"
        for name, path in given.items()
        if not partial and name not in bags and name not in known
    ]
    return beside | {name: path for name, path in given.items() if name in bags}, problems


def check_marks(marks: Mapping[str, Path], vocabulary: Collection[str]) -> list[str]:
    """Tell what is wrong with files of marks, as far as it shows without their bags."""
    problems: list[str] = []
    for path in marks.values():
        try:
            found = read_marks(path)
        except HalError as error:
            problems.append(str(error))
            continue
        problems += unknown_actions(found, vocabulary) if found is not None else []
    return problems


def _parts(name: str, transcripts: Collection[str]) -> str:
    """Tell that a bag was made of a folder's files, where transcripts are named as these are; "" otherwise."""
    if not any(re.fullmatch(rf"{re.escape(name)}_\d+", stem) for stem in transcripts):
        return ""
    return f"; files {name}_0, {name}_1, … of a folder {name} are one recording: where each is a bag, give the files"


def check_actions(transcripts: Mapping[str, tuple[str, ...]], vocabulary: Collection[str], whose: str) -> list[str]:
    """Tell each action that is not among those of `whose`, e.g. 'data.actions', once, with the nearest one that is."""
    problems = []
    for action, names in _used_by(transcripts).items():
        if action not in vocabulary:
            near = _near(action, vocabulary) or f"; expected one of {_listed(vocabulary)}"
            problems.append(f"{_transcripts(names)}: action {action!r} is not one of {whose}{near}")
    return problems


def check_spelling(transcripts: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Tell the actions that differ in nothing but case, blanks and punctuation: they are meant to be one."""
    spellings: dict[str, list[str]] = {}
    used_by = _used_by(transcripts)
    for action in used_by:
        spellings.setdefault(re.sub(r"[\W_]+", "", action).casefold(), []).append(action)
    return [
        f"{_transcripts(used_by[other])}: action {other!r} is {first!r} in {_transcripts(used_by[first])}; "
        "expected one spelling"
        for first, *others in spellings.values()
        for other in others
    ]


def check_bare(transcripts: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Tell the transcripts with lines of a list, a comment or a table: each would be an action of its own."""
    found = {name: [action for action in told if _DECORATED.match(action)] for name, told in transcripts.items()}
    return [
        f"transcript {name}.txt: {lines[0]!r}{f' and {len(lines) - 1} more' if lines[1:] else ''} looks like a list, a "
        "comment or a time; expected the action alone, or data.actions in the settings that names it so"
        for name, lines in found.items()
        if lines
    ]


def likely_slips(transcripts: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return lines on actions of one transcript alone whose name is almost that of one which several have."""
    used_by, lines = _used_by(transcripts), []
    common = [action for action, names in used_by.items() if len(names) > 1]
    for action in (action for action, names in used_by.items() if len(names) == 1):
        near = difflib.get_close_matches(action, common, n=1, cutoff=ALMOST)
        if near and re.sub(r"\d", "", near[0]) != re.sub(r"\d", "", action):
            names = used_by[near[0]]
            lines.append(f"action {action!r} is in {_transcripts(used_by[action])} alone; {near[0]!r} in {len(names)}")
    return lines


def _used_by(transcripts: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Return each action's transcripts, the most used action first."""
    used = Counter(action for actions in transcripts.values() for action in set(actions))
    order = sorted(used, key=lambda action: (-used[action], action))
    return {action: [name for name, actions in transcripts.items() if action in actions] for action in order}


def _transcripts(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"transcript {names[0]}.txt{more}"


def _near(name: str, others: Collection[str], ending: str = "") -> str:
    near = difflib.get_close_matches(name, list(others), n=1)
    return f"; did you mean {near[0]}{ending}?" if near else ""


def _listed(names: Collection[str]) -> str:
    return ", ".join(names)
