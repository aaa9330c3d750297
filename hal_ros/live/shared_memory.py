"""What Fast DDS leaves in /dev/shm: segments that a killed process can no longer remove itself."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

FOLDER = Path("/dev/shm")
_SEGMENT = re.compile(r"/dev/shm/(?:sem\.)?(fastdds_(?:port\d+|[0-9a-f]{16}))")


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
    used = held_by(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    removed = []
    for name in sorted(set(names) - used):
        if _is_locked(FOLDER / f"{name}_el"):  # held from where /proc does not show it, such as another container
            continue
        for path in (name, f"{name}_el", f"{name}_sl", f"sem.{name}_mutex"):
            with contextlib.suppress(FileNotFoundError, PermissionError):
                (FOLDER / path).unlink()
                removed.append(name)
    return sorted(set(removed))


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
