"""What colcon and pip make of the sources: nothing is forgotten, and the two packages are what they should be."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import yaml

from hal_ros.live.nodes import NODES

ROOT = Path(__file__).parent.parent
MESSAGES = sorted((ROOT / "hal_msgs" / "msg").glob("*.msg"))
PACKAGES = (ROOT, ROOT / "hal_msgs")


@pytest.fixture(scope="module")
def metadata() -> dict[str, Any]:
    """Return what setup.py passes to setuptools."""
    program = (
        "import json, setuptools\n"
        "setuptools.setup = lambda **metadata: print(json.dumps(metadata))\n"
        "exec(compile(open('setup.py').read(), 'setup.py', 'exec'))"
    )
    printed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    return dict(json.loads(printed.stdout))


def test_every_shared_file_is_installed_where_its_folder_says(metadata: dict[str, Any]) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout: which files belong to the package is not known")
    installed = {file: folder for folder, files in metadata["data_files"] for file in files}
    tracked = subprocess.run(
        ["git", "ls-files", "launch", "config", "models"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    assert tracked
    for file in tracked:
        assert installed[file] == f"share/hal_ros/{Path(file).parent}"
    assert installed["resource/hal_ros"] == "share/ament_index/resource_index/packages"
    assert installed["package.xml"] == "share/hal_ros"
    for definition in MESSAGES:  # so that bags can be written where hal_msgs is not built
        assert installed[definition.relative_to(ROOT).as_posix()] == "share/hal_ros/hal_msgs/msg"
    assert all((ROOT / file).is_file() for file in installed)


def test_every_package_is_installed(metadata: dict[str, Any]) -> None:
    sources = {path.parent.relative_to(ROOT) for path in (ROOT / "hal_ros").rglob("*.py")}
    assert set(metadata["packages"]) == {".".join(folder.parts) for folder in sources}


def test_every_asset_of_the_simulator_is_installed(metadata: dict[str, Any]) -> None:
    assets = {path for path in (ROOT / "hal_ros" / "sim" / "assets").rglob("*") if path.is_file()}
    assert assets
    assert {ROOT / "hal_ros" / "sim" / name for name in metadata["package_data"]["hal_ros.sim"]} == assets


def test_every_program_exists(metadata: dict[str, Any]) -> None:
    nodes = [f"{name} = {module}:main" for name, (module, _) in NODES.items()]
    for entry in [*metadata["entry_points"]["console_scripts"], *nodes]:
        module, function = entry.split(" = ")[1].split(":")
        found = importlib.util.find_spec(module)
        assert found is not None, entry
        assert found.origin is not None
        tree = ast.parse(Path(found.origin).read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, entry


def test_nodes_are_where_ros_looks_and_hide_nothing_on_the_path(metadata: dict[str, Any]) -> None:
    """`view` is an editor's name: on the path there is `hal` alone, which has them all as commands."""
    assert [entry.split(" = ")[0] for entry in metadata["entry_points"]["console_scripts"]] == ["hal"]
    nodes = {Path(file) for folder, files in metadata["data_files"] if folder == "lib/hal_ros" for file in files}
    launched = {
        name for file in (ROOT / "launch").glob("*.py") for name in re.findall(r'executable="(\w+)"', file.read_text())
    }
    assert {node.name for node in nodes} == set(NODES) > launched
    for node in nodes:
        assert (ROOT / node).stat().st_mode & 0o111, node
        assert f'sys.exit(node("{node.name}"))\n' in (ROOT / node).read_text()


def test_every_requirement_is_pinned(metadata: dict[str, Any]) -> None:
    """But for TensorRT, whose wheels fit one driver each."""
    pins = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    extras = {name: needs for name, needs in metadata["extras_require"].items() if name != "tensorrt"}
    for requirement in [*metadata["install_requires"], *(need for needs in extras.values() for need in needs)]:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        assert name is not None
        assert re.sub(r"[-_.]+", "-", name.group()).lower() in pins, requirement


def test_the_plugins_of_a_sourced_distribution_do_not_stop_the_tests(tmp_path: Path) -> None:
    """ROS installs plugins for every pytest that is called, and they do not know this one."""
    (tmp_path / "other_pytest.py").write_text("raise TypeError('made for another pytest')\n")
    names = ("launch_testing", "launch_pytest", "launch_ros")
    for name in names:
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[pytest11]\n{name} = other_pytest\n")
    file = ROOT / "test" / "core" / "test_palette.py"
    call = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", str(file)]
    for settings, code in ((ROOT / "pyproject.toml", 0), (Path("/dev/null"), 3)):
        arguments = [*call, "-c", str(settings), "--rootdir", str(ROOT)]
        done = subprocess.run(
            arguments, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, check=False
        )
        assert done.returncode == code, done.stdout


def test_versions_agree(metadata: dict[str, Any]) -> None:
    manifests = {ElementTree.parse(folder / "package.xml").findtext("version") for folder in PACKAGES}
    wheel = re.search(r'^version = "(.*)"', (ROOT / "hal_msgs" / "pyproject.toml").read_text(), re.MULTILINE)
    assert wheel is not None
    assert manifests == {metadata["version"], wheel.group(1)}


@pytest.mark.parametrize("folder", PACKAGES, ids=["hal_ros", "hal_msgs"])
def test_manifest_is_one_that_colcon_takes(folder: Path) -> None:
    """colcon silently treats a package as plain Python when the maintainer's address is malformed."""
    manifest = ElementTree.parse(folder / "package.xml").getroot()
    assert manifest.get("format") == "3"
    maintainer = manifest.find("maintainer")
    assert maintainer is not None
    assert re.fullmatch(r"[\w.+-]+@[\w-]+(\.[a-z]{2,})+", maintainer.get("email", ""))


def test_colcon_sees_both_packages() -> None:
    if importlib.util.find_spec("colcon_core") is None:
        pytest.skip("no colcon")
    command = [sys.executable, "-m", "colcon", "--log-base", "/dev/null", "list", "--base-paths", ".", "hal_msgs"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    kinds = {line.split("\t")[0]: line.split("\t")[2] for line in printed.splitlines()}
    assert kinds == {"hal_ros": "(ros.ament_python)", "hal_msgs": "(ros.ament_cmake)"}


def test_messages_are_all_generated() -> None:
    listed = re.findall(r'"msg/(\w+)\.msg"', (ROOT / "hal_msgs" / "CMakeLists.txt").read_text())
    assert sorted(listed) == [path.stem for path in MESSAGES]


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_every_field_is_documented(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    fields = [index for index, line in enumerate(lines) if line and not line.startswith("#")]
    assert fields
    for index in fields:
        assert lines[index - 1].startswith("# "), lines[index]
        assert not lines[index - 1].startswith("# ---"), lines[index]


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.xml")), ids=lambda path: path.name)
def test_xml_is_well_formed(path: Path) -> None:
    ElementTree.parse(path)


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_yaml_is_well_formed(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_both_packages_and_the_setup_admit_the_same_versions_of_python() -> None:
    admitted = re.escape(">=3.10,<3.15")
    assert re.search(f'python_requires="{admitted}"', (ROOT / "setup.py").read_text())
    assert re.search(f'requires-python = "{admitted}"', (ROOT / "hal_msgs" / "pyproject.toml").read_text())
    assert "(3, 10) <= sys.version_info[:2] < (3, 15)" in (ROOT / "scripts" / "setup_env.py").read_text()
