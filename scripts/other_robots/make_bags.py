"""Make bags of another robot: `python scripts/other_robots/make_bags.py panda --out build/other_robots/bags`.

Sets up the simulators' environment in build/other_robots/venv (once), simulates what is not there yet, and ends with a
summary. Standard library only: nothing else may be installed yet.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VENV = ROOT / "build" / "other_robots" / "venv"
REQUIREMENTS = HERE / "requirements.txt"
VERSION = (3, 11)
ROBOTS = ("aloha", "panda")
EPISODES = "train:44,validation:6,test:14"


class SetupError(Exception):
    """One line that tells what is missing and what to do about it."""


def main(arguments: list[str] | None = None) -> int:
    """Set up, simulate, summarise; return the exit code."""
    parser = argparse.ArgumentParser(prog="make_bags.py", description="Make bags of a robot that others modelled.")
    parser.add_argument("robot", choices=ROBOTS)
    parser.add_argument("--out", type=Path, required=True, help="bags go to OUT/ROBOT/SPLIT/EPISODE")
    parser.add_argument("--episodes", default=EPISODES, metavar="SPLIT:COUNT,...", help="default: %(default)s")
    parser.add_argument("--processes", type=int, choices=(1, 2), default=1, help="default: %(default)s")
    parser.add_argument("--sheet", action="store_true", help="also draw one picture of each phase of some episodes")
    args = parser.parse_args(arguments)
    try:
        python = set_up()
    except SetupError as error:
        print(f"make_bags: {error}", file=sys.stderr)
        return 1
    folder = args.out.resolve() / args.robot
    episodes = [str(python), "-m", "other_robots.episodes", args.robot, str(folder), "--episodes", args.episodes]
    summary = [str(python), "-m", "other_robots.summary", str(folder), *["--sheet"] * args.sheet]
    shares = [[*episodes, "--share", f"{number}/{args.processes}"] for number in range(args.processes)]
    return in_turn([shares, [summary]])


def in_turn(stages: list[list[list[str]]]) -> int:
    """Run the commands of one stage side by side, stage after stage; return the first exit code that is not 0."""
    for commands in stages:
        running = [subprocess.Popen(command, env=simulator_environment()) for command in commands]
        codes = [process.wait() for process in running]
        if any(codes):
            return next(code for code in codes if code)
    return 0


# --- the simulators' environment --------------------------------------------------------------------------------------


def set_up(venv: Path = VENV) -> Path:
    """Make the environment unless it is there and complete; return its Python. Raises SetupError in one line."""
    python, state = venv / "bin" / "python", venv / "installed.json"
    wanted = {"requirements": hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest(), "place": str(venv)}
    if python.exists() and state.exists() and json.loads(state.read_text()) == wanted:
        return python
    print(f"make_bags: setting up {venv} for the simulators (minutes the first time)", flush=True)
    _install([_interpreter(), "-m", "venv", "--clear", str(venv)])
    _install([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS)])
    state.write_text(json.dumps(wanted))
    return python


def simulator_environment() -> dict[str, str]:
    """Return the variables for programs in that environment: rendering without a screen, one thread a process."""
    search = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "MUJOCO_GL": "egl", "OMP_NUM_THREADS": "1", "PYTHONPATH": search}


def _interpreter() -> str:
    """Return a Python of the version that the simulators run on."""
    if sys.version_info[:2] == VERSION:
        return str(Path(sys.executable).resolve())
    name = "python{}.{}".format(*VERSION)
    found = shutil.which(name)
    if found is None:
        raise SetupError(f"no {name}, which the simulators need: install it, or call this program with it")
    return found


def _install(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(f"{' '.join(command)}: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
