"""The environment is set up once; a command that fails ends the whole."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest

from other_robots import make_bags
from other_robots.make_bags import REQUIREMENTS, SetupError, in_turn, set_up, simulator_environment


def pretend_environment(venv: Path, requirements: bytes) -> Path:
    python = venv / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    wanted = {"requirements": hashlib.sha256(requirements).hexdigest(), "place": str(venv)}
    (venv / "installed.json").write_text(json.dumps(wanted))
    return python


def test_a_complete_environment_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    python = pretend_environment(tmp_path / "venv", REQUIREMENTS.read_bytes())
    assert set_up(tmp_path / "venv") == python
    assert capsys.readouterr().out == ""


def test_without_the_right_python_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(make_bags, "VERSION", (3, 1))
    pretend_environment(tmp_path / "venv", b"other requirements")
    with pytest.raises(SetupError, match=r"no python3\.1, which"):
        set_up(tmp_path / "venv")
    monkeypatch.setattr(make_bags, "set_up", lambda: set_up(tmp_path / "elsewhere"))
    assert make_bags.main(["panda", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_requirements_are_pinned_and_name_no_place_to_get_them_from() -> None:
    lines = [line for line in REQUIREMENTS.read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if line.count("==") != 1 or line.startswith("-")] == []
    assert {"mujoco==3.8.1", "gym-aloha==0.1.5", "robosuite==1.5.2"} <= set(lines)


def test_a_stage_that_fails_is_the_last(tmp_path: Path) -> None:
    def command(code: str) -> list[str]:
        return [sys.executable, "-c", code]

    late = tmp_path / "late"
    assert in_turn([[command("exit(0)"), command("exit(3)")], [command(f"open({str(late)!r}, 'w')")]]) == 3
    assert not late.exists()
    assert in_turn([[command("exit(0)")], [command(f"open({str(late)!r}, 'w')")]]) == 0
    assert late.exists()


def test_simulators_render_without_a_screen_and_find_this_package() -> None:
    environment = simulator_environment()
    assert environment["MUJOCO_GL"] == "egl"
    assert (Path(environment["PYTHONPATH"].split(":")[0]) / "other_robots" / "plans.py").exists()
