"""A dataset folder made of the user's bags: <folder>/<split>/<episode>/ with a bag, its transcript and its metadata.

The bag's files are links to where the user keeps them, or copies. What is small is always copied, so that an episode
whose bag has gone is still seen, and named.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hal_ros.bags.reader import METADATA
from hal_ros.core.errors import DatasetError
from hal_ros.datasets.episodes import ANNOTATION, TRANSCRIPT, read_transcript
from hal_ros.datasets.look.marks import MARKS
from hal_ros.datasets.user_bags import STORAGES, UserBag
from hal_ros.outside import outputs

BENCHMARK = "tabletop-v1"
"""The folder's name of the project's own benchmark, which is simulated and not made of anybody's bags."""
UNFINISHED, REPLACED = ".unfinished-", ".replaced-"
BESIDE = (METADATA, ANNOTATION, TRANSCRIPT, MARKS)


def episodes_in(folder: Path) -> dict[str, Path]:
    """Return the folders of a dataset's episodes by name."""
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/*/{TRANSCRIPT}"))}


def transcripts_in(folder: Path, split: str) -> dict[str, tuple[str, ...]]:
    """Return the transcripts of one split by episode."""
    return {name: read_transcript(path) for name, path in episodes_in(folder).items() if path.parent.name == split}


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Give a place inside a dataset's folder for episodes that are not complete yet; it is gone afterwards.

    But for its lock it is empty.

    Each call has its own, so that two of them at a time do not take each other's work away.
    """
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _restore(folder)
        with outputs.staging(folder, UNFINISHED) as place:
            yield place
    except OSError as error:
        raise DatasetError(f"{folder}: can't be written ({error}); expected a folder for episodes") from error
    finally:
        if not existed and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _restore(folder: Path) -> None:
    """Put back the episodes that a killed call had moved aside and not replaced yet."""
    for left in outputs.left_places(folder, REPLACED):
        for old in left.glob("*/*"):
            target = folder / old.parent.name / old.name
            if not os.path.lexists(target):
                old.rename(target)


def check_place(bag: UserBag, episode: Path, root: Path) -> None:
    """Refuse to replace an episode where a user's file lies in it, or one was changed there; ConfigError naming it."""
    if episode.is_symlink():  # it alone goes, and what it leads to stays
        return
    own = [METADATA, TRANSCRIPT]
    for name in (ANNOTATION, MARKS):
        if (episode / name).is_file() and (bag.path / name).is_file():
            own += [name] * _equal(episode / name, bag.path / name)
    stored = [path.name for path in (episode.iterdir() if episode.is_dir() else ()) if path.suffix in STORAGES]
    outputs.check_folder(root, episode, lambda folder: (folder / TRANSCRIPT).is_file(), (*own, *stored))


def place_episode(
    bag: UserBag, transcript: tuple[str, ...], place: Path, copy: bool, marks: Path | None = None
) -> Path:
    """Make the episode of a bag in an empty place; returns its folder, named as the bag is. May raise OSError."""
    episode = place / bag.name
    episode.mkdir(parents=True)
    for file in bag.files:
        if copy:
            shutil.copyfile(file, episode / file.name)
        else:
            (episode / file.name).symlink_to(file.resolve())
    for name in (METADATA, ANNOTATION):
        if bag.path.is_dir() and (bag.path / name).exists():
            shutil.copyfile(bag.path / name, episode / name)
    if marks is not None:
        shutil.copyfile(marks, episode / MARKS)
    (episode / TRANSCRIPT).write_text("\n".join(transcript) + "\n", encoding="utf-8")
    return episode


def holds_other_bag(episode: Path, bag: UserBag) -> bool:
    """Whether an episode is of another bag than this one; not if its own is gone, or the same somewhere else."""
    there = {path.name: path for path in episode.iterdir() if path.name not in BESIDE}
    if not all(path.exists() for path in there.values()):
        return False
    given = {file.name: file for file in bag.files}
    return there.keys() != given.keys() or not all(_equal(there[name], given[name]) for name in given)


def _equal(one: Path, other: Path) -> bool:
    return one.samefile(other) or filecmp.cmp(one, other, shallow=False)


def lies_in(bag: UserBag, folder: Path) -> bool:
    """Whether a bag, or a file of it, lies inside a folder, also by way of links: to replace what is there takes it."""
    root = folder.resolve()
    return any(path.resolve().is_relative_to(root) for path in (bag.path, *bag.files))


def put_in_place(made: Mapping[str, Path], folder: Path) -> None:
    """Move complete episodes to <folder>/<split>/, the split that they lie in now, in place of what is there.

    What was there goes when the new episode is in its place, and comes back if that fails. May raise OSError.
    """
    for name, episode in made.items():
        target = folder / episode.parent.name / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(target):
            episode.rename(target)
            outputs.note_folder(folder, target)
            continue
        with outputs.staging(folder, REPLACED) as aside:
            old = aside / target.parent.name / name  # so deep that nobody takes it for an episode of the dataset
            old.parent.mkdir()
            try:
                target.rename(old)
                episode.rename(target)
            except BaseException:
                if os.path.lexists(old) and not os.path.lexists(target):
                    old.rename(target)
                raise
        outputs.note_folder(folder, target)
