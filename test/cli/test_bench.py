"""The benchmark names what it could not measure, and the live system's files are found where they lie."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hal_ros.bench.rows import Row, baseline
from hal_ros.cli import bench
from hal_ros.core.errors import ConfigError, HalError
from hal_ros.live import system as live


def test_a_part_that_fails_gives_its_rows_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> list[Row]:
        raise HalError("no robot here")

    rows = bench._part("live system", fail, [("latency", "ms", "<= 25"), ("loss", "images", "<= 0")])
    assert [(row.name, row.value, row.holds, row.note) for row in rows] == [
        ("latency", None, None, "no robot here"),
        ("loss", None, None, "no robot here"),
    ]
    assert "no robot here" in capsys.readouterr().err
    assert bench._part("model", lambda: [baseline("x", 1.0, "ms")], []) == [baseline("x", 1.0, "ms")]


def test_a_command_that_fails_is_told_in_one_line() -> None:
    with pytest.raises(HalError, match=r"hal replay ended with code 1: .*nowhere"):
        bench._timed("replay", "/nowhere.mcap", "--model", "/nowhere")


def make_repository(folder: Path, recipe: str) -> Path:
    """Commit a Makefile whose target `demo` runs one shell line."""
    folder.mkdir()
    (folder / "Makefile").write_text(f"demo:\n\t@{recipe}\n")
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "Start"]):
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True)
    return folder


def test_a_fresh_clone_is_timed_until_its_first_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = "echo first label after 1 s of DURATION=$(DURATION)"
    monkeypatch.setattr(bench, "REPOSITORY", make_repository(tmp_path / "repository", recipe))
    row = bench._fresh_row(tmp_path)
    assert isinstance(row.value, float)
    assert row.holds is True
    assert "DURATION=5" in (tmp_path / "logs" / "fresh.log").read_text()


@pytest.mark.parametrize(
    ("recipe", "words"), [("echo it broke; exit 3", "it broke"), ("echo no word of it", "no word")]
)
def test_a_fresh_clone_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, words: str
) -> None:
    monkeypatch.setattr(bench, "REPOSITORY", make_repository(tmp_path / "repository", recipe))
    with pytest.raises(HalError, match=words):
        bench._fresh_row(tmp_path)


def test_what_is_no_repository_can_not_be_cloned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "REPOSITORY", tmp_path)
    with pytest.raises(HalError, match="can't be cloned"):
        bench._fresh_row(tmp_path)


def test_files_are_found_in_the_source_tree_before_the_installed_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "share" / "hal_ros" / "config" / "only_installed.yaml"
    installed.parent.mkdir(parents=True)
    installed.touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert live.shared_file("config/only_installed.yaml") == installed
    assert live.shared_file("config/fastdds.xml") == live.REPOSITORY / "config" / "fastdds.xml"
    with pytest.raises(ConfigError, match=r"config/nowhere.yaml"):
        live.shared_file("config/nowhere.yaml")


def test_the_users_own_environment_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"ROS_DOMAIN_ID": "42", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"})
    live.prepare_environment(tmp_path)
    assert os.environ["ROS_DOMAIN_ID"] == "42"
    assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"
    assert os.environ["OMP_NUM_THREADS"] == "1"
    assert Path(os.environ["FASTDDS_DEFAULT_PROFILES_FILE"]).exists()


def test_a_domain_is_chosen_where_the_user_set_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"ROS_DISTRO": "humble"})
    live.prepare_environment(tmp_path)
    assert 1 <= int(os.environ["ROS_DOMAIN_ID"]) <= 101
    assert Path(os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"]).exists()  # its older name
