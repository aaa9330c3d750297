"""What all tests share: which of them can run here, an own ROS domain for each, and reproducible randomness."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

from shapes import watched

ROOT = Path(__file__).parent.parent
SEED = int(os.environ.get("HAL_ROS_TEST_SEED", "0"))
# Domains whose ports lie below Linux' ephemeral ones; 0 is where a user's own robot speaks.
DOMAINS = range(1, 102)

# HAL_ROS_TEST_SEED other than 0 explores new examples; 0 repeats the same ones everywhere.
hypothesis.settings.register_profile("repeatable", derandomize=SEED == 0, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --require, for machines on which a skipped test would hide a broken installation."""
    parser.addoption("--require", default="", help="marks that must not be skipped, separated by commas")


def pytest_report_header() -> str:
    """Print what a run depends on beside the code."""
    return f"seed: {SEED} (HAL_ROS_TEST_SEED), data: {os.environ.get('HAL_ROS_DATA', 'none')} (HAL_ROS_DATA)"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip, with the reason, what can't run here."""
    required = set(filter(None, config.getoption("--require").split(",")))
    for mark, missing in MISSING.items():
        marked = [item for item in items if item.get_closest_marker(mark)]
        reason = missing() if marked else ""
        if reason and mark in required:
            raise pytest.UsageError(f"--require={mark}: {reason}")
        for item in marked if reason else []:
            item.add_marker(pytest.mark.skip(reason=reason))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item: pytest.Item) -> str:
    """Return what one process of several runs in order: a file, whose fixtures are made once, or all that speak ROS.

    Two robots at once would leave neither the processor that it expects.
    """
    return "ros" if item.get_closest_marker("ros") else item.nodeid.partition("::")[0]


def pytest_collection_finish() -> None:
    """Leave what collecting made out of later collections: a capture of a CUDA graph asks for five whole ones."""
    gc.collect()
    gc.freeze()


def _missing_ros() -> str:
    # Imported for real: the source folder hal_msgs/ looks like a package without modules.
    try:
        import hal_msgs.msg  # noqa: F401
        import rclpy  # noqa: F401
    except ImportError as error:
        return f"no ROS 2 with hal_msgs: {error}"
    return ""


def _missing_sim() -> str:
    if importlib.util.find_spec("mujoco") is None:
        return "no MuJoCo"
    from hal_ros.core.errors import HalError
    from hal_ros.sim.render import check_gl

    try:
        check_gl()
    except HalError as error:
        return str(error)
    return ""


def _missing_torch() -> str:
    return "" if importlib.util.find_spec("torch") else "no torch"


def _missing_gpu() -> str:
    return "" if shutil.which("nvidia-smi") else "no NVIDIA GPU"


MISSING: dict[str, Callable[[], str]] = {
    "ros": _missing_ros,
    "sim": _missing_sim,
    "torch": _missing_torch,
    "gpu": _missing_gpu,
}


@pytest.fixture(autouse=True, scope="session")
def _watched_shapes() -> Iterator[None]:
    """Check the shapes of what crosses the rooms' borders, as their comments state them."""
    with watched():
        yield


@pytest.fixture
def ros_domain_id(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Set a ROS_DOMAIN_ID that no other test uses, in this process or in another one, and that is silent now."""
    for domain in (DOMAINS[(os.getpid() + offset) % len(DOMAINS)] for offset in range(len(DOMAINS))):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as claim:
            try:
                claim.bind(f"\0hal_ros_test_domain_{domain}")  # in Linux' abstract names: no file is left behind
                _check_silent(domain)
            except OSError:
                continue
            monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
            yield domain
            return
    pytest.fail(f"no free ROS_DOMAIN_ID in {DOMAINS}")


def _check_silent(domain: int) -> None:
    # The port of DDS' discovery (RTPS 9.6.1.1): bound by whatever runs in that domain on this machine.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 7400 + 250 * domain))


@pytest.fixture
def data_folder() -> Path:
    """Return the folder of real data sets that the variable HAL_ROS_DATA names; skip without one."""
    folder = os.environ.get("HAL_ROS_DATA")
    if not folder:
        pytest.skip("HAL_ROS_DATA is not set: no folder of real data sets")
    if not Path(folder).is_dir():
        pytest.fail(f"HAL_ROS_DATA={folder}: expected a folder")
    return Path(folder)


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a random generator that starts anew in each test, from the seed in the report's header."""
    return np.random.default_rng(SEED)


@pytest.fixture
def child_environment(ros_domain_id: int) -> dict[str, str]:
    """Return the environment for processes that a test starts: its domain, this Python, one thread, large images."""
    profile = str(ROOT / "config" / "fastdds.xml")
    older = os.environ.get("ROS_DISTRO") in ("humble", "jazzy")
    return {
        **os.environ,
        "ROS_DOMAIN_ID": str(ros_domain_id),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "OMP_NUM_THREADS": "1",
        "PYTHONFAULTHANDLER": "1",  # a crash in the middleware says where
        f"{'FASTRTPS' if older else 'FASTDDS'}_DEFAULT_PROFILES_FILE": profile,
    }


@pytest.fixture
def in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `compile_bundle` do its children's work here; what it is told of their end is the same."""
    from hal_ros.tensorrt import child_process as child

    def run(arguments: Sequence[str], log: Path, name: str, *_: object) -> float:
        module, *rest = arguments
        with log.open("w") as errors, contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors):
            code = importlib.import_module(module).main(rest)
        child.check_end(code, log, name)
        return 0.0

    monkeypatch.setattr("hal_ros.tensorrt.compile.run_child", run)


@pytest.fixture
def rig(tmp_path: Path, ros_domain_id: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A `ros_fakes.Rig` of its own: context, executor and ROS domain. Imported late: most tests need no ROS."""
    from ros_fakes import Rig

    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    made = Rig(tmp_path, ros_domain_id)
    yield made
    made.close()
