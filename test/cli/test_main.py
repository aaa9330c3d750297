"""`hal` itself: its version, its commands, slips of the pen, what is missing, and names that steer terminals."""

from __future__ import annotations

import errno
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fakes import make_card
from hal_ros import __version__
from hal_ros.cli import SUBCOMMANDS, main
from hal_ros.cli.missing import EXTRAS, ROS, SURROUNDINGS
from hal_ros.core.errors import BagError
from hal_ros.live.nodes import NODES
from hal_ros.runtime.bundle import save_card


def test_it_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"hal {__version__}\n"
    assert (Path(__file__).parents[2] / "package.xml").read_text().count(f"<version>{__version__}</version>") == 1


def test_alone_it_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert [name for name in (*SUBCOMMANDS, *NODES) if not re.search(rf"^ +{name}( |$)", listed, re.MULTILINE)] == []


@pytest.mark.parametrize(
    ("typed", "said"),
    [("trian", "did you mean train?"), ("Report", "did you mean report?"), ("xyz", "`hal` lists them")],
)
def test_a_mistyped_command_gets_a_suggestion(typed: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([typed, "x"]) == 2
    assert capsys.readouterr().err == f"hal: {typed!r} is no command; {said}\n"


@pytest.mark.parametrize("library", [*EXTRAS, ROS[0]])
def test_a_missing_library_is_one_line(
    library: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Any) -> int:
        raise ModuleNotFoundError(f"No module named '{library}.part'", name=f"{library}.part")

    command = SimpleNamespace(add_arguments=lambda _: None, run=fail)
    monkeypatch.setitem(sys.modules, "hal_ros.cli.verify", command)
    assert main(["verify"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"hal verify: needs {library}.part, which is not installed; expected ")
    assert "hal_ros[" in line or "ROS 2" in line


def test_a_missing_module_of_our_own_is_no_matter_of_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> int:
        raise ModuleNotFoundError("No module named 'hal_ros.gone'", name="hal_ros.gone")

    monkeypatch.setitem(sys.modules, "hal_ros.cli.verify", SimpleNamespace(add_arguments=lambda _: None, run=fail))
    with pytest.raises(ModuleNotFoundError):
        main(["verify"])


def test_every_extra_that_is_named_is_there() -> None:
    text = (Path(__file__).parents[2] / "setup.py").read_text()
    assert [extra for extra in EXTRAS.values() if f'"{extra}": [' not in text] == []


def test_an_error_is_one_line_that_steers_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Any) -> int:
        print("\x1b[2Jfound")
        raise BagError("bag \x1b]0;owned\x07\nhal: all is well")

    monkeypatch.setitem(sys.modules, "hal_ros.cli.verify", SimpleNamespace(add_arguments=lambda _: None, run=fail))
    assert main(["verify"]) == 1
    printed = capsys.readouterr()
    assert printed.out == "\\x1b[2Jfound\n"
    assert printed.err == "hal verify: bag \\x1b]0;owned\\x07\\nhal: all is well\n"


def test_ctrl_c_while_a_command_is_loaded_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: str) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib, "import_module", interrupted)
    assert main(["verify"]) == 130


def test_a_node_gets_the_arguments_of_ros(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []
    monkeypatch.setitem(sys.modules, NODES["view"][0], SimpleNamespace(main=lambda args: given.append(args) or 3))
    assert main(["view", "--ros-args", "-p", "a:=1"]) == 3
    assert given == [["--ros-args", "-p", "a:=1"]]


@pytest.mark.parametrize(
    "name", ["../secret", "/dev/zero", "a/b", "..", ".", "", "a\\b", "card.json", ".hidden", "x" * 200, "a\nb"]
)
def test_a_card_names_no_file_outside_its_bundle(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "secret").write_text("secret")
    save_card(make_card(), tmp_path / "model")
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    (tmp_path / "model" / "card.json").write_text(json.dumps(card | {"files": {name: "0" * 64}}))
    assert main(["verify", "--model", str(tmp_path / "model")]) == 1
    assert "plain names of files in the bundle" in capsys.readouterr().err


def test_too_many_open_files_are_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: Any) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setitem(sys.modules, "hal_ros.cli.verify", SimpleNamespace(add_arguments=lambda _: None, run=fail))
    assert main(["verify"]) == 1
    assert "too many open files; expected a higher `ulimit -n`" in capsys.readouterr().err


@pytest.mark.parametrize("number", SURROUNDINGS)
def test_what_the_machine_refuses_is_one_line(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Any) -> int:
        raise OSError(number, os.strerror(number), "runs/a\nb")

    monkeypatch.setitem(sys.modules, "hal_ros.cli.verify", SimpleNamespace(add_arguments=lambda _: None, run=fail))
    assert main(["verify"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hal verify: runs/a\\nb: ") and line.endswith(f"; expected {SURROUNDINGS[number]}")


def test_other_errors_of_the_system_are_faults_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> int:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setitem(sys.modules, "hal_ros.cli.verify", SimpleNamespace(add_arguments=lambda _: None, run=fail))
    with pytest.raises(OSError, match="Bad file"):
        main(["verify"])


def test_a_full_memory_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: Any) -> int:
        raise MemoryError("Unable to allocate 3 TiB")

    monkeypatch.setitem(sys.modules, "hal_ros.cli.verify", SimpleNamespace(add_arguments=lambda _: None, run=fail))
    assert main(["verify"]) == 1
    assert "the memory is full (Unable to allocate 3 TiB); expected more" in capsys.readouterr().err


def test_an_output_that_takes_nothing_is_told_in_one_line() -> None:
    command = [sys.executable, "-m", "hal_ros"]
    own = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env=own, cwd=Path(__file__).parents[2], timeout=60
        )
    assert ended.returncode == 1
    assert ended.stderr == "hal: no space left on device; expected room for what is to be written\n"
