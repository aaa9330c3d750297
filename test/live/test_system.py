"""The live system's files are found where they lie, its environment is the user's, and what it starts is there."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from hal_ros.core.errors import ConfigError
from hal_ros.live import system as live


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


@pytest.mark.parametrize("compressed", [None, False, True])
def test_modules_that_are_there_are_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compressed: bool | None
) -> None:
    started: dict[str, Sequence[str]] = {}

    class Noted:
        def start(self, name: str, command: Sequence[str], _: Mapping[str, str]) -> str:
            started[name] = command
            return name

    monkeypatch.setattr(live, "holds_compressed_images", lambda _: compressed)
    bag = None if compressed is None else tmp_path / "bag"
    robot = live.start_all(Noted(), live.Live(tmp_path / "model", tmp_path / "out", bag))  # type: ignore[arg-type]
    assert list(started) == [robot, "segmenter", "recorder"]
    for command in started.values():
        module = command[command.index("-m") + 1]
        assert importlib.util.find_spec(module) is not None, module
    transport = "compressed" if compressed else "raw"
    assert f'image_transport:="{transport}"' in started["segmenter"]
