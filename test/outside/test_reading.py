"""A file of others is read whole, or refused in one line that says why; see also test/test_strangers_files.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hal_ros.core.errors import BagError, DatasetError
from hal_ros.outside.reading import Expected, parse_json, read_bytes, read_json, read_text, reading

NOTES = Expected(DatasetError, "notes", 100)


def test_what_is_as_expected_is_read(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_bytes('\ufeff{"ä": [1]}'.encode())
    assert read_bytes(path, NOTES).startswith(b"\xef")
    assert read_text(path, NOTES) == '{"ä": [1]}'
    assert read_json(path, NOTES) == {"ä": [1]}
    (tmp_path / "link").symlink_to(path)
    assert read_json(tmp_path / "link", NOTES) == {"ä": [1]}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"x" * 101, "has 101 bytes, expected at most 100"),
        (b"a\xff", "byte 0xff at 1 is not UTF-8"),
        (b'{"a": 1, "a": 2}', "has key 'a' twice"),
        (b"{", "is not JSON: "),
        (b"[" * 100, "is not JSON: |nested too deep"),
    ],
)
def test_what_is_not_is_refused_with_the_reason(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "notes"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"notes: can't be read as notes \(({why})"):
        read_json(path, NOTES)


def test_what_is_no_file_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe", tmp_path / "zero", tmp_path):
        with pytest.raises(DatasetError, match=r"is no regular file|Is a directory"):
            read_bytes(path, NOTES)
    with pytest.raises(DatasetError, match=r"gone: can't be read \(No such file or directory\); expected notes"):
        read_bytes(tmp_path / "gone", NOTES)


def test_an_error_of_our_own_passes_and_any_other_becomes_one(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="as it was"), reading(tmp_path, NOTES):
        raise BagError("as it was")
    with pytest.raises(DatasetError, match=r"\(no 'key'\)"), reading(tmp_path, NOTES):
        dict[str, int]()["key"]
    with pytest.raises(DatasetError) as refused, reading(tmp_path, NOTES):
        raise RuntimeError("first\nsecond \x1b[31m" + "x" * 1000)
    assert "first second \\x1b[31mxxx" in str(refused.value)
    assert len(str(refused.value)) < 500
    with pytest.raises(KeyboardInterrupt), reading(tmp_path, NOTES):
        raise KeyboardInterrupt


def test_depth_is_no_traceback() -> None:
    with pytest.raises(ValueError, match="nested too deep"):
        parse_json("[" * 200_000 + "]" * 200_000)
