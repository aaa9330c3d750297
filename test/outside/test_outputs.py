"""What hal wrote it may replace, what anybody else wrote or changed it refuses, what a killed call left it removes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from hal_ros.core.errors import ConfigError
from hal_ros.outside import outputs


def nobodys(_: Path) -> bool:
    return False


def everybodys(_: Path) -> bool:
    return True


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder that hal wrote, and noted."""
    folder = tmp_path / "train" / "episode"
    (folder / "inner").mkdir(parents=True)
    (folder / "transcript.txt").write_text("reach\n")
    (folder / "inner" / "rows").write_bytes(b"1")
    (folder / "link").symlink_to("/nowhere")
    outputs.note_folder(tmp_path, folder)
    return folder


def test_what_was_written_may_be_replaced(made: Path, tmp_path: Path) -> None:
    outputs.check_folder(tmp_path, made, nobodys)
    outputs.check_folder(tmp_path, tmp_path / "absent", nobodys)
    (made / "inner" / "rows").unlink()  # what is missing is no user's either
    outputs.check_folder(tmp_path, made, nobodys)


@pytest.mark.parametrize("name", ["notes.txt", "transcript.txt", "inner/rows", "inner/notes", "link", "empty/"])
def test_what_somebody_added_or_changed_is_found(made: Path, tmp_path: Path, name: str) -> None:
    path = made / name
    if name.endswith("/"):
        path.mkdir()
    else:
        path.unlink(missing_ok=True)
        path.write_text("mine")
    with pytest.raises(ConfigError, match=f"episode: {name.rstrip('/')}: hal did not write it so"):
        outputs.check_folder(tmp_path, made, everybodys)


def test_a_folder_without_a_listing_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "transcript.txt").touch()
    outputs.check_folder(tmp_path, tmp_path / "old", everybodys, ("transcript.txt",))
    for is_mine, usual in ((nobodys, ("transcript.txt",)), (everybodys, ())):
        with pytest.raises(ConfigError, match=r"transcript\.txt"):
            outputs.check_folder(tmp_path, tmp_path / "old", is_mine, usual)


def test_a_link_or_a_file_is_no_folder_to_replace(made: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(made)
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(ConfigError, match="is no folder that hal wrote"):
            outputs.check_folder(tmp_path, tmp_path / name, everybodys)


def test_a_file_is_replaced_whole_and_only_where_it_is_ours(tmp_path: Path) -> None:
    mine = outputs.has_mark("made by hal")
    page = tmp_path / "new" / "page.html"
    outputs.replace_text(page, "made by hal, once", mine, "a page")
    outputs.replace_text(page, "made by hal, twice", mine, "a page")
    assert page.read_text() == "made by hal, twice"
    assert page.stat().st_mode & 0o777 == 0o666 & ~_umask()
    page.write_text("mine")
    with pytest.raises(ConfigError, match="is there already and is not a page that hal wrote"):
        outputs.replace_text(page, "made by hal", mine, "a page")
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]
    assert page.read_text() == "mine"
    with pytest.raises(ConfigError, match="can't be written"):
        outputs.replace_text(page / "below", "made by hal", mine, "a page")


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_what_a_killed_call_left_goes_and_a_living_ones_stays(tmp_path: Path) -> None:
    program = (
        "import os, pathlib\n"
        "from hal_ros.outside import outputs\n"
        f"with outputs.staging(pathlib.Path({str(tmp_path)!r}), '.new-') as place:\n"
        "    (place / 'half').write_text('half')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    (left,) = tmp_path.glob(".new-*/half")
    (tmp_path / ".new-of-a-user").mkdir()  # without a lock: nobody knows whose it is
    with outputs.staging(tmp_path, ".new-") as place:
        assert not left.exists()
        assert list(outputs.left_places(tmp_path, ".new-")) == []
        with outputs.staging(tmp_path, ".new-") as other:
            assert place.exists()
            assert other != place
    assert [path.name for path in tmp_path.iterdir()] == [".new-of-a-user"]


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "numbers.json"
    outputs.write_whole_text(path, "[1]")

    def fail(file: IO[bytes]) -> None:
        file.write(b"[")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outputs.write_whole(path, fail)
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    assert path.read_text() == "[1]"
    with pytest.raises(ConfigError, match=r"numbers\.json/x: can't be written \(.*\); expected a place"):
        outputs.write_whole_text(path / "x", "[]")


def test_a_killed_calls_files_are_known_and_a_users_are_not(tmp_path: Path) -> None:
    for name in ("a.json.12.unfinished", "my.unfinished", "12.unfinished"):
        (tmp_path / name).touch()
    (tmp_path / "b.13.unfinished").mkdir()
    assert [path.name for path in outputs.left_files(tmp_path)] == ["a.json.12.unfinished"]


def test_one_call_at_a_time_is_at_work_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with outputs.alone_in(folder):
        with pytest.raises(ConfigError, match="run: another call is at work there; expected to wait"):
            outputs.alone_in(folder).__enter__()
        assert list(folder.iterdir()) == []  # no sign of it lies in the way
    assert not folder.exists()  # nothing came into it
    folder.mkdir()
    with outputs.alone_in(folder):
        pass
    assert folder.exists()
    (folder / "file").touch()
    for wrong in (folder / "file", folder / "file" / "below"):
        with pytest.raises(ConfigError, match=r"can't be opened \(.*\); expected a place for a folder"):
            outputs.alone_in(wrong).__enter__()
