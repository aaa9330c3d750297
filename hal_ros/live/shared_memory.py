"""What Fast DDS leaves in /dev/shm: segments that a killed process can no longer remove itself."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

FOLDER = Path("/dev/shm")
_NAME = r"fast(?:dds|rtps)_(?:port\d+|[0-9a-f]{16})"  # fastrtps before ROS 2 Jazzy
_SEGMENT = re.compile(rf"/dev/shm/(?:sem\.)?({_NAME})")
_FILE = re.compile(rf"(?:sem\.)?({_NAME})(?:_el|_sl|_mutex)?")


def held_by(pids: Iterable[int]) -> set[str]:
    """Return the names of the Fast DDS segments that these processes have mapped (those that can be read)."""
    names: set[str] = set()
    for pid in pids:
        with contextlib.suppress(OSError):  # the process has ended, or belongs to somebody else
            names.update(_SEGMENT.findall(Path(f"/proc/{pid}/maps").read_text(errors="replace")))
    return names


def remove_unused(names: Collection[str]) -> list[str]:
    """Remove those segments that no process uses any more, with their locks; return the names of the removed ones."""
    if not names:
        return []
    removed = []
    for name in sorted(set(names) & unused().keys()):
        for path in _files(name):
            with contextlib.suppress(FileNotFoundError, PermissionError):
                (FOLDER / path).unlink()
                removed.append(name)
    return sorted(set(removed))


def unused() -> dict[str, int]:
    """Return the segments that no process uses any more, whoever left them, and their size in bytes."""
    found = {match[1] for entry in _entries() if (match := _FILE.fullmatch(entry))}
    used = held_by(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()) if found else set()
    # What /proc does not show, such as a process of another container, holds the lock.
    left = [name for name in sorted(found - used) if not _is_locked(FOLDER / f"{name}_el")]
    return {name: sum(_size(FOLDER / path) for path in _files(name)) for name in left}


def _entries() -> list[str]:
    return [entry.name for entry in FOLDER.iterdir()] if FOLDER.is_dir() else []


def _files(name: str) -> tuple[str, ...]:
    return name, f"{name}_el", f"{name}_sl", f"sem.{name}_mutex"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
