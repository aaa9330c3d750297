"""Hashes of large files, remembered: a data set of bags is not read to its end at every call.

A note is believed while the file has the size, time of change and inode that it had. A file that was changed within the
last seconds is not noted: it may change again without another time (git calls such files racy).
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

from hal_ros.core.errors import DatasetError

LARGE_BYTES = 1 << 20
SETTLED_NS = 2_000_000_000
PIECE_BYTES = 1 << 20


def file_digest(path: Path, notes: Path) -> bytes:
    """Return the SHA-256 of a file's content; `notes` is the folder in which those of large files are remembered.

    Raises DatasetError where the file is a link that leads nowhere.
    """
    try:
        about = path.stat()
        if about.st_size < LARGE_BYTES:
            return _read(path)
        key = f"{about.st_size} {about.st_mtime_ns} {about.st_ino} {about.st_dev}"
        note = notes / hashlib.sha256(os.fsencode(path.resolve())).hexdigest()
        return _noted(note, key) or _note(note, key, _read(path), about.st_mtime_ns)
    except FileNotFoundError as error:
        leads = f"leads to {path.readlink()}, which is gone" if path.is_symlink() else "is gone"
        raise DatasetError(f"{path}: {leads}; expected the bag there (`hal ingest` it anew)") from error


def _read(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return digest.digest()


def _noted(note: Path, key: str) -> bytes | None:
    with suppress(OSError, ValueError):
        stored, _, digest = note.read_text(encoding="ascii").rpartition(" ")
        if stored == key and len(digest) == 2 * hashlib.sha256().digest_size:
            return bytes.fromhex(digest)
    return None


def _note(note: Path, key: str, digest: bytes, changed_ns: int) -> bytes:
    if time.time_ns() - changed_ns > SETTLED_NS:
        with suppress(OSError):  # a cache that can't be written is slow, and no more
            note.parent.mkdir(parents=True, exist_ok=True)
            unfinished = note.with_name(f"{note.name}.{os.getpid()}")
            unfinished.write_text(f"{key} {digest.hex()}", encoding="ascii")
            unfinished.replace(note)
    return digest
