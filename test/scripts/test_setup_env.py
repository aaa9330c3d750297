"""The environment for a device's checks: without ROS, and with the tensorrt that the machine has."""

from __future__ import annotations

import importlib
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import setup_env


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty environment in place of .venv."""
    folder = tmp_path / "venv"
    venv.create(folder, with_pip=False)
    monkeypatch.setattr(setup_env, "VENV", folder)
    monkeypatch.setattr(setup_env, "PYTHON", folder / "bin" / "python")
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return folder


def module(folder: Path) -> Path:
    """Make a module tensorrt in a folder of packages."""
    (folder / "tensorrt").mkdir(parents=True)
    (folder / "tensorrt" / "__init__.py").write_text("__version__ = '10.3.0'\n")
    importlib.invalidate_caches()
    return folder


def sees(environment: Path) -> bool:
    program = [str(environment / "bin" / "python"), "-c", "import tensorrt"]
    return subprocess.run(program, capture_output=True, check=False).returncode == 0


def test_the_machines_tensorrt_is_seen(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not sees(environment)
    packages = module(tmp_path / "dist-packages")
    monkeypatch.syspath_prepend(packages)
    setup_env.show_tensorrt()
    (link,) = environment.rglob(setup_env.TENSORRT_LINK)
    assert sees(environment) and link.read_text() == f"{packages}\n"
    # and no more once it is gone
    shutil.rmtree(packages)
    importlib.invalidate_caches()
    setup_env.show_tensorrt()
    assert not link.exists() and not sees(environment)


def test_an_environments_own_tensorrt_comes_first(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own,) = environment.glob("lib/python*/site-packages")
    module(own)
    monkeypatch.syspath_prepend(module(tmp_path / "dist-packages"))
    setup_env.show_tensorrt()
    assert not list(environment.rglob(setup_env.TENSORRT_LINK)) and sees(environment)


def test_checks_of_a_device_need_no_ros(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Jetson on which no distribution is sourced, and no compiler installed."""
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    setup_env.check_machine("", with_ros=False)
    with pytest.raises(setup_env.SetupError):
        setup_env.check_machine("", with_ros=True)


@pytest.mark.parametrize(
    ("asked", "wanted", "shown"),
    [
        (["device"], {"device"}, 1),
        ([], {"run"}, 0),
        (["test"], {"run", "test"}, 0),
        (["test", "device"], {"run", "test", "device"}, 1),
    ],
)
def test_only_a_device_alone_does_without_ros(
    monkeypatch: pytest.MonkeyPatch, asked: list[str], wanted: set[str], shown: int
) -> None:
    given: list[set[str]] = []
    links: list[None] = []
    monkeypatch.setattr(setup_env, "set_up", given.append)
    monkeypatch.setattr(setup_env, "show_tensorrt", lambda: links.append(None))
    assert setup_env.main(asked) == 0
    assert given == [wanted] and len(links) == shown
