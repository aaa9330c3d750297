"""`hal sim`: what it writes and says, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hal_ros.bags.reader import read_messages
from hal_ros.cli import main
from short_episodes import shortened

pytestmark = pytest.mark.sim


@pytest.fixture(autouse=True, scope="module")
def short_episodes() -> Iterator[None]:
    with shortened():
        yield


def test_the_command_goes_on_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["sim", "--out", str(tmp_path), "--splits", "test", "unseen", "--limit"]
    assert main([*arguments, "1"]) == 0
    assert "2 episodes written, 0 were there already" in capsys.readouterr().out
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mcap")}
    assert len(kept) == 2
    assert main([*arguments, "2"]) == 0
    printed = capsys.readouterr().out
    assert "2 episodes written, 2 were there already" in printed
    assert "times real time per core" in printed
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    assert not list(tmp_path.rglob(".unfinished"))
    assert main([*arguments, "1", "--overwrite"]) == 0
    assert "2 episodes written, 0 were there already" in capsys.readouterr().out


def test_the_extra_topics_are_written_unless_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["sim", "--out", str(tmp_path), "--splits", "test", "--limit", "1"]
    for options, topics in ((["--no-extras"], 5), (["--split-gripper"], 10), ([], 10), (["--no-extras"], 10)):
        assert main([*arguments, *options]) == 0
        (bag,) = (tmp_path / "test").iterdir()
        assert len({message.topic for message in read_messages(bag)}) == topics
    printed = capsys.readouterr().out
    assert printed.count("1 of them in place of") == 2
    assert printed.count("0 episodes written, 1 were there already") == 1


@pytest.mark.parametrize(
    "arguments", [["--jobs", "3"], ["--jobs", "0"], ["--limit", "0"], ["--no-extras", "--split-gripper"]]
)
def test_wrong_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", *arguments]) == 1
    assert "expected" in capsys.readouterr().err
