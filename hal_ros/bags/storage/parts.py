"""Which files a bag has, and opening them: by what they begin with, whatever their names and metadata.yaml say.

metadata.yaml is somebody's word about the files: the order of those that it names is taken, and what it says and the
files deny is told.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hal_ros.bags import mcap_files
from hal_ros.bags.mcap_files import McapFile
from hal_ros.bags.storage import sqlite_files
from hal_ros.bags.storage.sqlite_files import SqliteFile
from hal_ros.bags.storage.unpack import MOST_DEFINITION_BYTES, ZSTD_MAGIC, unpack_file
from hal_ros.bags.writer import METADATA
from hal_ros.core.errors import BagError
from hal_ros.outside.reading import Expected, reading, reason
from hal_ros.outside.yaml_text import read_yaml

SUFFIXES = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd", ".zstd")
ROS1_MAGIC = b"#ROSBAG V"
CONVERT = "convert it first: rosbags-convert --src {} --dst NEW"
METADATA_FILE = Expected(BagError, "metadata of a rosbag2 folder", MOST_DEFINITION_BYTES)


@dataclass(frozen=True)
class BagParts:
    """The files of a bag, in order; what is named and not there; what metadata.yaml counts, by topic."""

    files: tuple[Path, ...]
    lost: tuple[str, ...] = ()
    counts: Mapping[str, int] | None = None
    packed: bool = False  # metadata.yaml says that each message is packed for itself
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Told:
    """What metadata.yaml says, as far as it says anything."""

    names: tuple[str, ...] = ()
    counts: Mapping[str, int] | None = None
    packed: bool = False
    fault: str = ""


@dataclass
class OpenPart:
    """One file of a bag, open; a packed one lies unpacked in a temporary folder until it is closed."""

    storage: McapFile | SqliteFile
    whole: bool = True  # whether all of a packed file could be unpacked
    folder: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    def __enter__(self) -> McapFile | SqliteFile:
        return self.storage

    def __exit__(self, *_: object) -> None:
        self.storage.close()
        if self.folder is not None:
            self.folder.cleanup()


def open_part(path: Path) -> OpenPart:
    """Open a file of a bag for reading. Raises BagError where it is none, or not of ROS 2."""
    beginning = _beginning(path)
    if beginning.startswith(ZSTD_MAGIC):
        folder = tempfile.TemporaryDirectory(prefix="hal-unpacked-", ignore_cleanup_errors=True)
        try:
            plain = Path(folder.name, path.name.removesuffix(".zstd"))
            whole = unpack_file(path, plain)
            return OpenPart(_open_plain(plain, _beginning(plain), path), whole, folder)
        except BaseException:
            folder.cleanup()
            raise
    return OpenPart(_open_plain(path, beginning, path))


def _open_plain(path: Path, beginning: bytes, called: Path) -> McapFile | SqliteFile:
    if beginning.startswith(ROS1_MAGIC):
        raise BagError(f"{called}: is a bag of ROS 1; {CONVERT.format(called)}")
    if beginning.startswith(sqlite_files.MAGIC) or (not beginning and path.suffix == ".db3"):
        return SqliteFile(path)
    if not beginning.startswith(mcap_files.MAGIC) and path.suffix == ".db3":
        raise BagError(f"{called}: can't be read as a bag (starts with {beginning!r}); expected SQLite or MCAP")
    return McapFile(path)


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(sqlite_files.MAGIC))
    except OSError as error:
        raise BagError(f"{path}: can't be read ({error.strerror}); expected a file of a bag") from error


# --- which files -----------------------------------------------------------------------------------------------------


def bag_parts(path: Path) -> BagParts:
    """Return the files of a bag: of a folder those that metadata.yaml names, and what else belongs to them.

    Raises BagError where there are none.
    """
    if not path.exists():
        raise BagError(f"{path}: does not exist; expected an .mcap or .db3 file or a rosbag2 folder")
    if not path.is_dir():
        if not path.is_file():
            raise BagError(f"{path}: is no file; expected an .mcap or .db3 file or a rosbag2 folder")
        if not path.name.endswith(SUFFIXES) and not _beginning(path).startswith(ROS1_MAGIC):
            raise BagError(f"{path}: is no bag; expected an .mcap or .db3 file or a rosbag2 folder")
        return BagParts((path,))
    told = _read_metadata(path)
    named = [path / Path(name).name for name in told.names]
    files = [file for file in named if file.is_file()]
    files, remarks = _with_others(path, files)
    there = {file.name.removesuffix(".zstd") for file in files}
    lost = tuple(file.name for file in named if file.name.removesuffix(".zstd") not in there)
    if not files and told.fault:
        raise BagError(f"{path / METADATA}: {told.fault}, and no .mcap or .db3 file lies beside")
    if not files and lost:
        raise BagError(f"{path}: names {', '.join(lost)}, which is not there")
    if not files:
        raise BagError(f"{path}: holds neither {METADATA} nor an .mcap or .db3 file; expected a rosbag2 folder")
    remarks += [f"{METADATA} {told.fault}: read from the files alone"] * bool(told.fault)
    return BagParts(tuple(files), lost, told.counts, told.packed, tuple(remarks))


def _with_others(folder: Path, named: list[Path]) -> tuple[list[Path], list[str]]:
    """Add what metadata.yaml does not name and yet belongs to the recording, and say what was left out.

    That is a further part of the same name, or all files of one kind where none is named. Of a file that lies there
    packed and unpacked, the unpacked one is taken.
    """
    there = [file for file in folder.iterdir() if file.is_file() and file.name.endswith(SUFFIXES)]
    unpacked = {file.name for file in there}
    doubled = {f for f in there if f.name.endswith(".zstd") and f.name.removesuffix(".zstd") in unpacked} - {*named}
    others = sorted({*there} - {*named} - doubled, key=_by_number)
    stems = {_by_number(file)[0] for file in named}
    kinds = {_kind(file) for file in named} or ({_kind(file) for file in others} & {".mcap"}) or {".db3", ".zstd"}
    taken = [f for f in others if _kind(f) in kinds and (not named or _by_number(f)[0] in stems)]
    left = [file.name for file in others if file not in taken]
    remarks = [f"{file.name} is not named in {METADATA}, and read" for file in taken] if named else []
    remarks += [f"{', '.join(left)} left out: not of this recording"] * bool(left)
    return (sorted([*named, *taken], key=_by_number) if taken else named), remarks


def _kind(file: Path) -> str:
    return Path(file.name.removesuffix(".zstd")).suffix or ".zstd"


def _by_number(file: Path) -> tuple[str, int, str]:
    """Order the parts of a recording as they were written: run_2 comes before run_10."""
    stem = re.sub(r"(\.mcap|\.db3)?(\.zstd)?$", "", file.name)
    name, number = re.fullmatch(r"(.*?)(\d{0,18})", stem, re.DOTALL).groups()  # type: ignore[union-attr]  # always fits
    return name, int(number or -1), file.name


def bag_files(path: Path) -> list[Path]:
    """Return the files of a bag, packed ones and those that metadata.yaml names in vain too. Raises as bag_parts."""
    parts = bag_parts(path)
    return [*parts.files, *(path / name for name in parts.lost)]


def _read_metadata(folder: Path) -> _Told:
    """Return what metadata.yaml says; it may say nothing, and be of anybody."""
    path = folder / METADATA
    if not path.exists():
        return _Told()
    try:
        content = read_yaml(path, METADATA_FILE, by_people=False)
        with reading(path, METADATA_FILE):
            return _told(content["rosbag2_bagfile_information"])
    except BagError as error:  # the files are believed over it
        return _Told(fault=f"is no {METADATA_FILE.what} ({reason(error.__cause__ or error)})")


def _told(information: Any) -> _Told:
    names = tuple(name for name in information["relative_file_paths"] if isinstance(name, str) and Path(name).name)
    mode = information.get("compression_mode")
    counts: dict[str, int] = {}
    for entry in information.get("topics_with_message_count") or ():
        topic, count = entry["topic_metadata"]["name"], entry["message_count"]
        if not isinstance(topic, str) or not isinstance(count, int):
            raise TypeError("topics_with_message_count is no list of topics and numbers")
        counts[topic] = counts.get(topic, 0) + count
    return _Told(names, counts, isinstance(mode, str) and mode.lower() == "message")


def missing(counted: Mapping[str, int], found: Mapping[str, int]) -> dict[str, int]:
    """Return by reason how many messages metadata.yaml counts that the files do not hold."""
    lacking = {topic: number - found.get(topic, 0) for topic, number in sorted(counted.items())}
    return {f"message on {topic} that {METADATA} counts and no file holds": n for topic, n in lacking.items() if n > 0}


def uncounted(counted: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    """Return a line for each topic of which the files hold more messages than metadata.yaml counts."""
    more = {topic: number - counted.get(topic, 0) for topic, number in sorted(found.items())}
    return [f"{topic}: {number} messages more than {METADATA} counts" for topic, number in more.items() if number > 0]
