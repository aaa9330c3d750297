"""A remembered hash is that of the file as it is: whatever is done to the file, the next answer is its content's."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from hal_ros.core.errors import DatasetError
from hal_ros.outside import digests
from hal_ros.outside.digests import LARGE_BYTES, file_digest

OLD_NS = 10**18


def write(path: Path, content: bytes, changed_ns: int = OLD_NS) -> Path:
    path.write_bytes(content)
    os.utime(path, ns=(changed_ns, changed_ns))
    return path


def read_count(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    read: list[Path] = []
    whole = digests._read
    monkeypatch.setattr(digests, "_read", lambda path: read.append(path) or whole(path))
    return read


@pytest.mark.parametrize(("content", "reads"), [(b"a" * LARGE_BYTES, 1), (b"a", 3)])
def test_large_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, reads: int) -> None:
    path, read = write(tmp_path / "bag", content), read_count(monkeypatch)
    expected = hashlib.sha256(content).digest()
    assert [file_digest(path, tmp_path / "notes") for _ in range(3)] == [expected] * 3
    assert len(read) == reads


@pytest.mark.parametrize("changed_ns", [OLD_NS, OLD_NS + 1])
@pytest.mark.parametrize("replaced", [True, False])
def test_a_changed_file_is_read_anew(tmp_path: Path, changed_ns: int, replaced: bool) -> None:
    path = write(tmp_path / "bag", b"a" * LARGE_BYTES)
    file_digest(path, tmp_path / "notes")
    size_tells = changed_ns == OLD_NS and not replaced  # it is written in place, and has its old time
    content = b"b" * (LARGE_BYTES + size_tells)
    if replaced:
        write(tmp_path / "new", content, changed_ns).replace(path)
    else:
        write(path, content, changed_ns)
    assert file_digest(path, tmp_path / "notes") == hashlib.sha256(content).digest()


def test_what_has_just_been_written_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = tmp_path / "bag", read_count(monkeypatch)
    path.write_bytes(b"a" * LARGE_BYTES)
    for _ in range(2):
        file_digest(path, tmp_path / "notes")
    assert len(read) == 2


@pytest.mark.parametrize("note", [b"", b"\xff\xfe", b"1 2 3 4 zz", b"no note at all"])
def test_a_broken_note_is_no_note(tmp_path: Path, note: bytes) -> None:
    path = write(tmp_path / "bag", b"a" * LARGE_BYTES)
    expected = file_digest(path, tmp_path / "notes")
    (stored,) = (tmp_path / "notes").iterdir()
    stored.write_bytes(note)
    assert file_digest(path, tmp_path / "notes") == expected


def test_a_link_that_leads_nowhere_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bag").symlink_to(tmp_path / "gone")
    with pytest.raises(DatasetError, match=r"leads to .*gone, which is gone"):
        file_digest(tmp_path / "bag", tmp_path / "notes")
