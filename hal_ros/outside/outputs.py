"""One rule for whatever writes: nothing that hal did not write is ever removed or written over.

- A new file or folder is written aside, in a place of its own beside it, and gets its name when it is whole.
- A file that is there already is replaced only where its content tells that hal wrote it (`replace_text`).
- A folder that is there already is replaced only where a listing, kept outside it, says that hal wrote each file in it
  and that none was changed since (`check_folder`). Folders of earlier versions have no listing: there the caller says
  how to know them.
- What a killed call left behind is removed by the next one (`staging`).
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO

from hal_ros.core.errors import ConfigError, HalError
from hal_ros.outside.reading import MIB, Expected, read_json

LISTINGS = ".made-by-hal"
"""Folder at the root of an output with one listing for each folder that was made there."""
LOCK = ".lock"
UNFINISHED = ".unfinished"
LEFT = re.compile(rf"(?P<name>.+)\.\d+{re.escape(UNFINISHED)}")
"""How a file is called that `write_whole` was killed at."""
SHOWN = 3
LISTING = Expected(ConfigError, "a listing of what hal wrote")
Mine = Callable[[Path], bool]
"""Tells by a file's or folder's content whether hal wrote it."""

# --- files ------------------------------------------------------------------------------------------------------------


def check_file(path: Path, is_mine: Mine, what: str) -> None:
    """Refuse to write where something lies that is not `what` hal writes there; ConfigError."""
    if not os.path.lexists(path):
        return
    if not (path.is_file() and _tells(is_mine, path)):
        raise ConfigError(f"{path}: is there already and is not {what} that hal wrote; expected a new name")


def _tells(is_mine: Mine, path: Path) -> bool:
    with suppress(HalError):  # what can't be read is not ours
        return is_mine(path)
    return False


def replace_text(path: Path, text: str, is_mine: Mine, what: str) -> None:
    """Write a file whole or not at all, in place of an older one of the same kind; ConfigError as `check_file`."""
    check_file(path, is_mine, what)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=".", delete=False) as file:
            try:
                file.write(text)
                file.flush()
                os.fchmod(file.fileno(), 0o666 & ~_umask())
                Path(file.name).replace(path.resolve() if path.is_symlink() else path)
            except BaseException:
                Path(file.name).unlink()
                raise
    except OSError as error:
        raise ConfigError(f"{path}: can't be written ({error.strerror}); expected a place for {what}") from error


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file of hal's own folder aside and give it its name when it is whole; ConfigError where that fails.

    A folder has one writer at a time (`alone_in`), or the file the same content whoever writes it.
    """
    unfinished = path.with_name(f"{path.name}.{os.getpid()}{UNFINISHED}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("wb") as file:
                write(file)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{path}: can't be written ({error.strerror}); expected a place for it") from error


def write_whole_text(path: Path, text: str) -> None:
    """Do so with text."""
    write_whole(path, lambda file: file.write(text.encode("utf-8")))


def left_files(folder: Path) -> list[Path]:
    """Return what killed calls of `write_whole` left in a folder and below it, of `alone_in` or nobody's any more."""
    return [path for path in folder.rglob(f"*{UNFINISHED}") if LEFT.fullmatch(path.name) and path.is_file()]


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def has_mark(mark: str) -> Mine:
    """Return what tells a file of hal's by a text in its first 64 KiB."""

    def is_mine(path: Path) -> bool:
        with path.open("rb") as file:
            return mark.encode() in file.read(1 << 16)

    return is_mine


# --- folders ----------------------------------------------------------------------------------------------------------


def note_folder(root: Path, folder: Path) -> None:
    """Remember what `folder`, somewhere below `root`, holds now: hal wrote it."""
    listing = _listing(root, folder)
    listing.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({name: _print_of(folder / name) for name in _names(folder)}, indent=1)
    unfinished = listing.with_name(f"{listing.name}.{os.getpid()}")
    unfinished.write_text(text + "\n", encoding="utf-8")
    unfinished.replace(listing)


def foreign(root: Path, folder: Path, is_mine: Mine, usual: Collection[str] = ()) -> list[str]:
    """Return the files in `folder` that hal did not write, or that were changed since, sorted.

    Where there is no listing, a folder that `is_mine` knows holds nothing else than links and files of `usual` names.
    """
    listing = _listing(root, folder)
    names = _names(folder)
    if not listing.is_file():
        known = _tells(is_mine, folder)
        return [name for name in names if not (known and ((folder / name).is_symlink() or name in usual))]
    noted = read_json(listing, LISTING)
    if not isinstance(noted, dict):
        raise ConfigError(f"{listing}: is no {LISTING.what}; remove it, and what it was made of")
    inner = {parent.as_posix() for name in noted for parent in PurePosixPath(name).parents}  # emptied since, perhaps
    return [name for name in names if name not in inner and noted.get(name) != _print_of(folder / name)]


def check_folder(root: Path, folder: Path, is_mine: Mine, usual: Collection[str] = ()) -> None:
    """Refuse to replace a folder in which a user's file lies; ConfigError naming it. What is not there is fine."""
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise ConfigError(f"{folder}: is no folder that hal wrote; expected another place, or move it away")
    if others := foreign(root, folder, is_mine, usual):
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        raise ConfigError(
            f"{folder}: {', '.join(others[:SHOWN])}{more}: hal did not write it so, and would remove it; "
            "expected another place, or move it away"
        )


def forget_folder(root: Path, folder: Path) -> None:
    """Take back `note_folder`, once the folder is gone."""
    _listing(root, folder).unlink(missing_ok=True)


def _listing(root: Path, folder: Path) -> Path:
    inside = folder.absolute().relative_to(root.absolute())
    return root / LISTINGS / f"{inside.as_posix()}.json"


def _names(folder: Path) -> list[str]:
    """Return all files below a folder and the empty folders too; links are not followed."""
    found = []
    for place, folders, files in os.walk(folder):
        here = Path(place).relative_to(folder)
        links = [name for name in folders if Path(place, name).is_symlink()]
        empty = [name for name in folders if name not in links and not any(Path(place, name).iterdir())]
        found += [(here / name).as_posix() for name in (*files, *links, *empty)]
    return sorted(found)


def _print_of(path: Path) -> str:
    """Return what tells a file from others: a small one by its content, a recording by its size, a link by its end."""
    if path.is_symlink():
        return f"link {path.readlink()}"
    if not path.is_file():
        return "folder" if path.is_dir() else "special"
    size = path.stat().st_size
    return f"size {size}" if size > MIB else f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other calls out of a folder of hal's meanwhile. It is made; if nothing came into it, it is gone afterwards.

    Raises ConfigError where another call is at work in it, and where it can't be made.
    """
    made = not os.path.lexists(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"{folder}: can't be opened ({error.strerror}); expected a place for a folder") from error
    try:
        _lock(descriptor, folder)
        yield
    finally:
        if made:
            with suppress(OSError):  # there is something in it
                folder.rmdir()
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(
            f"{folder}: another call is at work there; expected to wait for its end, or another folder"
        ) from error
    except OSError:  # of a file system without locks
        return


# --- places that are gone afterwards ----------------------------------------------------------------------------------


@contextmanager
def staging(folder: Path, prefix: str) -> Iterator[Path]:
    """Give a place of this call alone inside `folder`, empty but for its lock; it is gone afterwards. OSError.

    Places that killed calls left there are removed first: each call holds a lock on its own as long as it lives.
    """
    for left in left_places(folder, prefix):
        shutil.rmtree(left, ignore_errors=True)
    place = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
    try:
        with (place / f"{LOCK}.new").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            Path(lock.name).rename(place / LOCK)  # locked already when others come to see it
            yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def left_places(folder: Path, prefix: str) -> Iterator[Path]:
    """Yield the places of killed calls, each locked meanwhile. One without a lock file is nobody's that is known."""
    for lock_file in sorted(folder.glob(f"{glob.escape(prefix)}*/{LOCK}")):
        with suppress(OSError), lock_file.open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield lock_file.parent
