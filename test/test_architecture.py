"""Who may import whom, and how long files and functions may be: read from the sources, without running them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from rooms import CHOOSER, MAY_IMPORT, OWNERS, PACKAGE, ROOMS, ROOT, SOURCES, TORCH_BACKEND

CORE_LIBRARIES = {"numpy": None, "cv2": "hal_ros.core.image"}  # library: the one module that may import it
# core is pure: no files, clocks, threads, randomness or processes.
IMPURE = {
    *("asyncio", "datetime", "io", "logging", "multiprocessing", "os", "pathlib", "random", "shutil", "socket"),
    *("subprocess", "sys", "tempfile", "threading", "time"),
}

FILE_LINES = 350
COMMAND_LINES = 80  # of a module in cli
FOLDER_FILES = 14  # modules side by side, __init__ aside; cli has one for each command
FUNCTION_LINES = 40  # without the docstring
# What is longer, and how long it is. Entries shrink and go; none is added.
LONG_FILES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {}
LONG_COMMANDS: dict[str, int] = {}


class Import(NamedTuple):
    """One import in a source; late when it runs only inside a function."""

    module: str  # absolute
    line: int
    late: bool


def module_name(path: Path) -> str:
    """Return the dotted name of a source file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, package: str, late: bool = False) -> Iterator[Import]:
    """Yield all imports, also those inside functions and those by importlib with a constant name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: -(node.level - 1) or None] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            yield Import(module, node.lineno, late)
            yield from (Import(f"{module}.{alias.name}", node.lineno, late) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and _name(node.func) in ("import_module", "__import__"):
            name = getattr(node.args[0], "value", None)
            if isinstance(name, str):
                yield Import(name, node.lineno, late)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from imports(node, package, late or inside)


def _name(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))


def violation(importer: str, found: Import) -> str:
    """Return why this import is wrong; '' when it is right."""
    room = importer.split(".")[1] if "." in importer else ""
    top, *rest = found.module.split(".")
    if top == PACKAGE:
        return _violation_inside(importer, room, rest[0] if rest else "", found)
    if top in OWNERS and room not in OWNERS[top] and (importer, top) != (TORCH_BACKEND, "torch"):
        return f"{top} is imported only in {', '.join(sorted(OWNERS[top]))}"
    if room == "core" and top not in sys.stdlib_module_names and CORE_LIBRARIES.get(top, "") not in (None, importer):
        return f"core knows NumPy alone (and OpenCV in core.image), not {top}"
    if room == "core" and top in IMPURE:
        return f"core is pure: no {top}"
    return ""


def _violation_inside(importer: str, room: str, target: str, found: Import) -> str:
    if found.module.startswith(TORCH_BACKEND) and importer != TORCH_BACKEND and not found.late:
        return "the torch backend is imported late, where it was chosen"
    if (importer, target) == (TORCH_BACKEND, "nn") or (importer == CHOOSER and target == "tensorrt" and found.late):
        return ""
    if importer == f"{PACKAGE}.__main__" or not room or target in ("", room):
        return ""
    if room not in ROOMS:
        return f"{room} is no room: test/support/rooms.py does not say what it may import"
    if target not in MAY_IMPORT[room]:
        return f"{room} may import {', '.join(sorted(MAY_IMPORT[room])) or 'no other room'}, not {target}"
    return ""


def check_source(importer: str, source: str, is_package: bool = False) -> list[str]:
    """Return the violations of one module, each with its line."""
    package = importer if is_package else importer.rpartition(".")[0]
    reasons = {(found.line, violation(importer, found)) for found in imports(ast.parse(source), package)}
    return [f"{importer}:{line}: {reason}" for line, reason in sorted(reasons) if reason]


def test_no_room_imports_uphill() -> None:
    """The table itself allows no way round: a room names only rooms that stand before it."""
    order = list(ROOMS)
    assert [room for room, others in MAY_IMPORT.items() if others - set(order[: order.index(room)])] == []


def test_the_package_is_seen() -> None:
    assert {path.relative_to(ROOT / PACKAGE).parts[0] for path in SOURCES} >= set(ROOMS)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: module_name(path).removeprefix(f"{PACKAGE}."))
def test_imports_follow_the_rules(path: Path) -> None:
    assert check_source(module_name(path), path.read_text(), path.name == "__init__.py") == []


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("hal_ros.core.x", "import hal_ros.runtime.bundle"),
        ("hal_ros.core.x", "import time"),
        ("hal_ros.core.x", "import cv2"),
        ("hal_ros.core.x", "import scipy.signal"),
        ("hal_ros.datasets.x", "def f():\n    import torch"),
        ("hal_ros.bags.x", "from ..runtime import card"),
        ("hal_ros.offline.x", "from hal_ros import nn"),
        ("hal_ros.ros.x", "def f():\n    from hal_ros.nn.hal import Hal"),
        ("hal_ros.ros.x", "import torch.nn"),
        ("hal_ros.runtime.x", "import rclpy.node"),
        ("hal_ros.runtime.x", "from hal_ros.nn.hal import Hal"),
        ("hal_ros.runtime.x", "from hal_ros.runtime.torch_backend import open_torch"),
        ("hal_ros.sim.x", "from importlib import import_module\nimport_module('hal_ros.ros.segmenter.main')"),
        ("hal_ros.cli.x", "def run():\n    import rclpy"),
        ("hal_ros.ros.x", "from hal_ros.cli import main"),
        ("hal_ros.core.x", "import hal_ros.nowhere"),
        ("hal_ros.nowhere.x", "import hal_ros.core.ticks"),
        ("hal_ros.helper", "import hal_ros.train.chain"),
    ],
)
def test_a_forbidden_import_is_found(importer: str, source: str) -> None:
    assert len(check_source(importer, source)) == 1


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("hal_ros.core.image", "import cv2, numpy as np"),
        ("hal_ros.core.x", "from .answers import Segment"),
        ("hal_ros.runtime.torch_backend", "import torch\nfrom hal_ros.nn.hal import Hal"),
        ("hal_ros.runtime.backend", "def f():\n    from hal_ros.runtime.torch_backend import open_torch"),
        ("hal_ros.train.x", "import torch\nfrom hal_ros.datasets.episodes import Episode"),
        ("hal_ros.cli.x", "def run():\n    from hal_ros.train.student import train"),
    ],
)
def test_an_allowed_import_is_let_through(importer: str, source: str) -> None:
    assert check_source(importer, source) == []


@pytest.mark.ros
def test_the_robots_process_holds_no_torch() -> None:
    modules = [module_name(path) for path in SOURCES if "ros" in path.relative_to(ROOT / PACKAGE).parts]
    program = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_the_command_line_imports_only_the_chosen_subcommand() -> None:
    tree = ast.parse((ROOT / PACKAGE / "cli" / "__init__.py").read_text())
    own = {found.module for found in imports(tree, "hal_ros.cli") if found.module.startswith(PACKAGE)}
    assert {name for name in own if name.count(".") <= 2} == {
        *("hal_ros", "hal_ros.cli.missing", "hal_ros.live.nodes"),
        *("hal_ros.core.errors", "hal_ros.outside.terminal"),
    }


def function_lengths(tree: ast.AST) -> dict[str, int]:
    """Return the lines of each function, without its docstring."""
    lengths = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            text = ast.get_docstring(node) is not None
            docstring = (first.end_lineno or 0) - first.lineno + 1 if text else 0
            lengths[node.name] = (node.end_lineno or 0) - node.lineno + 1 - docstring
    return lengths


def test_files_and_functions_stay_short() -> None:
    files = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    functions = {
        f"{module_name(path)}.{name}": lines
        for path in SOURCES
        for name, lines in function_lengths(ast.parse(path.read_text())).items()
    }
    assert {name: lines for name, lines in files.items() if lines > FILE_LINES} == LONG_FILES
    assert {name: lines for name, lines in functions.items() if lines > FUNCTION_LINES} == LONG_FUNCTIONS


def crowded(sources: list[Path]) -> dict[str, int]:
    """Return the folders with more modules side by side than a person takes in, and how many."""
    counts = Counter(str(path.parent.relative_to(ROOT)) for path in sources if path.name != "__init__.py")
    return {folder: count for folder, count in counts.items() if count > FOLDER_FILES and folder != f"{PACKAGE}/cli"}


def test_no_folder_is_crowded() -> None:
    assert crowded(SOURCES) == {}


def test_a_crowded_folder_is_noticed() -> None:
    sources = [ROOT / PACKAGE / "core" / f"{number}.py" for number in range(FOLDER_FILES + 1)]
    assert crowded(sources) == {f"{PACKAGE}/core": FOLDER_FILES + 1}


def test_every_folder_says_what_it_is_for() -> None:
    folders = {path.parent for path in SOURCES}
    assert [
        str(folder) for folder in folders if not ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    ] == []


def test_commands_only_parse_and_call() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in (ROOT / PACKAGE / "cli").glob("*.py")}
    assert {name: count for name, count in lines.items() if count > COMMAND_LINES} == LONG_COMMANDS


def importers_of_cli(paths: Iterable[Path]) -> list[str]:
    """Return the sources that import the command line."""
    return [
        str(path)
        for path in paths
        if any(found.module.startswith(f"{PACKAGE}.cli") for found in imports(ast.parse(path.read_text()), ""))
    ]


def test_only_its_own_tests_import_the_command_line() -> None:
    others = [path for path in sorted((ROOT / "test").rglob("*.py")) if "cli" not in path.parts]
    assert importers_of_cli(others) == []
    assert importers_of_cli(sorted((ROOT / "test" / "cli").glob("*.py"))) != []  # the check sees what it looks for


# Where tuples hold arrays: the tensors that go into a network or a graph and come out of it, in its own order.
TENSOR_TUPLES = {"nn", "core.step", "labels.teacher.network", "runtime.golden", "export.bundle"}
ARRAYS = ("Array", "Tensor", "Labels")


def array_tuples(tree: ast.AST) -> list[str]:
    """Return the NamedTuples that hold arrays: two of them can't be compared."""
    return [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "NamedTuple" for base in node.bases)
        for field in node.body
        if isinstance(field, ast.AnnAssign) and any(array in ast.unparse(field.annotation) for array in ARRAYS)
    ]


def test_arrays_are_held_by_dataclasses() -> None:
    found = {
        module_name(path).removeprefix(f"{PACKAGE}.") for path in SOURCES if array_tuples(ast.parse(path.read_text()))
    }
    assert {module for module in found if not TENSOR_TUPLES & {module, module.split(".")[0]}} == set()


def test_a_tuple_that_holds_an_array_is_noticed() -> None:
    assert array_tuples(ast.parse("class One(NamedTuple):\n    values: FloatArray\n")) == ["One"]
    assert array_tuples(ast.parse("class One(NamedTuple):\n    name: str\n")) == []


def namesakes(trees: Iterable[ast.AST]) -> list[str]:
    """Return the names that stand for two public classes."""
    classes = Counter(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return sorted(name for name, count in classes.items() if count > 1 and not name.startswith("_"))


def test_no_two_classes_have_one_name() -> None:
    assert namesakes(ast.parse(path.read_text()) for path in SOURCES) == []
    assert namesakes([ast.parse("class Row: ..."), ast.parse("class Row: ...")]) == ["Row"]
