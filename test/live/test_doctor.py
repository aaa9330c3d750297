"""What `hal doctor` says of a machine is true, and what it removes nobody uses."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hal_ros
from hal_ros.live import doctor, shared_memory

GONE, HELD, LOCKED = "fastdds_00000000000000aa", "fastrtps_00000000000000bb", "fastdds_port7413"


def test_it_says_what_is_there_and_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NEEDED", ("numpy", "no-such-library"))
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    monkeypatch.delenv(doctor.RANGE, raising=False)
    facts = {fact.name: fact for fact in doctor.look()}
    assert hal_ros.__version__ in facts["hal_ros"].text
    assert not facts["numpy"].is_fault
    assert facts["no-such-library"].is_fault
    assert facts["ROS_DOMAIN_ID"].text == "42"
    assert "whoever is in this network" in facts[doctor.RANGE].text
    assert all("\n" not in fact.text for fact in facts.values())


def test_only_what_no_process_uses_is_told_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder stands for /dev/shm; that a process has a segment mapped is seen in /proc as it is."""
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path)
    monkeypatch.setattr(shared_memory, "held_by", lambda pids: {HELD} if os.getpid() in set(pids) else set())
    for name in (GONE, HELD, LOCKED):
        (tmp_path / name).write_bytes(bytes(1000))
        (tmp_path / f"{name}_el").touch()
    (tmp_path / f"sem.{GONE}_mutex").touch()
    (tmp_path / "sem.fastdds_00000000000000cc_mutex").touch()
    (tmp_path / "a_users_file").write_text("mine")
    with (tmp_path / f"{LOCKED}_el").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert shared_memory.unused() == {GONE: 1000, "fastdds_00000000000000cc": 0}
        assert [line.split(",")[0] for line in doctor.shared_memory_lines(clean=False)][:1] == [
            f"left in {tmp_path}: {GONE}"
        ]
        assert (tmp_path / GONE).exists()
        assert "removed 2 of 2" in list(doctor.shared_memory_lines(clean=True))
    assert {path.name for path in tmp_path.iterdir()} == {
        HELD, f"{HELD}_el", LOCKED, f"{LOCKED}_el", "a_users_file",
    }  # fmt: skip


def test_many_leftovers_take_few_lines_and_are_all_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path)
    for index in range(40):
        (tmp_path / f"fastdds_{index:016x}").write_bytes(bytes(1000 * index))
    lines = list(doctor.shared_memory_lines(clean=False))
    assert len(lines) == doctor.NAMED + 2 and f"fastdds_{39:016x}" in lines[0], "the largest first"
    assert lines[doctor.NAMED].endswith("35 more of such names; 40 in all, 0.8 MB")
    assert list(doctor.shared_memory_lines(clean=True))[-1] == "removed 40 of 40"
    assert not list(tmp_path.iterdir())


def test_the_command_runs_and_ends_well() -> None:
    done = subprocess.run([sys.executable, "-m", "hal_ros", "doctor"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Python" in done.stdout
