"""What the documents say of the code is true: the rooms, the laws and their tests, the places where changes go."""

from __future__ import annotations

import ast
import re

import pytest

from rooms import PACKAGE, ROOMS, ROOT, SOURCES

LAWS = (ROOT / "docs" / "laws.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TREE_LINE = re.compile(r"^([│ ]*)[├└]── (\w+)/ +\S", re.MULTILINE)
TREE = CONTRIBUTING[CONTRIBUTING.index(f"{PACKAGE}/\n├") :].partition("```")[0]


def numbers(text: str) -> list[int]:
    """Return the numbers of the laws in the document, in its order."""
    return [int(number) for number in re.findall(r"^(\d+)\. \*\*", text, re.MULTILINE)]


def rooms(tree: str) -> list[str]:
    """Return the folders of a drawn tree as paths, in its order."""
    found, above = [], ""
    for indent, name in TREE_LINE.findall(tree):
        above = above if indent else name
        found.append(f"{above}/{name}" if indent else name)
    return found


def missing_tests(text: str) -> list[str]:
    """Return the tests that a document names and that are not there."""
    gone = []
    for file, name in re.findall(r"`(test/[\w/]+\.py)(?:::(\w+))?`", text):
        path = ROOT / file
        tree = ast.parse(path.read_text() if path.exists() else "")
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        if not path.exists() or (name and name not in functions):
            gone.append(f"{file}::{name}")
    return gone


def test_laws_are_numbered_one_by_one() -> None:
    assert numbers(LAWS) == list(range(1, len(numbers(LAWS)) + 1))


def test_every_law_names_tests_that_are_there() -> None:
    laws = re.split(r"^\d+\. ", LAWS, flags=re.MULTILINE)[1:]
    assert [law for law in laws if "`test/" not in law] == []
    assert missing_tests(LAWS) == []


def test_a_test_that_is_not_there_is_noticed() -> None:
    assert missing_tests("`test/core/test_ticks.py::test_nowhere`") == ["test/core/test_ticks.py::test_nowhere"]
    assert missing_tests("`test/core/test_nowhere.py`") == ["test/core/test_nowhere.py::"]


def test_laws_that_code_cites_exist() -> None:
    cited = {
        int(number)
        for path in [*SOURCES, *(ROOT / "test").rglob("*.py")]
        for number in re.findall(r"\blaw (\d+)", path.read_text(encoding="utf-8"))
    }
    assert cited <= set(numbers(LAWS))


def test_the_drawn_tree_is_the_tree() -> None:
    folders = {path.parent.relative_to(ROOT / PACKAGE).as_posix() for path in SOURCES if path.parent != ROOT / PACKAGE}
    drawn = rooms(TREE)
    assert sorted(drawn) == sorted(folders)
    # from the core outwards, as the table of imports has it
    assert [room for room in drawn if "/" not in room] == list(ROOMS)


def test_a_room_that_is_not_drawn_is_noticed() -> None:
    assert rooms(f"{PACKAGE}/\n├── core/   a\n├── datasets/  b\n│   └── formats/   c\n") == [
        "core", "datasets", "datasets/formats"
    ]  # fmt: skip


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "README.md", "docs/metrics.md", "docs/training.md"])
def test_modules_that_a_document_names_are_there(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(rf"`(?:{PACKAGE}/)?((?:{'|'.join(ROOMS)})/[\w/]+\.py)`", text))
    assert [name for name in sorted(named) if not (ROOT / PACKAGE / name).exists()] == []


def stops(walk: str) -> list[str]:
    """Return the modules and rooms that a walk passes, those in braces one by one."""
    found = []
    for room, braces, name in re.findall(rf"\b((?:{'|'.join(ROOMS)})(?:/\w+)*)/(?:\{{([\w,]+)\}}|(\w+))", walk):
        found += [f"{room}/{each}" for each in (braces.split(",") if braces else [name])]
    return found


def not_there(walk: str) -> list[str]:
    """Return the stops at which there is neither a module nor a folder."""
    places = {stop: ROOT / PACKAGE / stop for stop in stops(walk)}
    return [stop for stop, path in places.items() if not (path.is_dir() or path.with_suffix(".py").is_file())]


def test_the_walks_lead_through_modules_that_are_there() -> None:
    walks = CONTRIBUTING.split("### A frame's walk")[1].split("### Where does it go?")[0]
    assert len(stops(walks)) > 25
    assert not_there(walks) == []
    assert not_there("core/nowhere → ros/segmenter/{node,missing}") == ["core/nowhere", "ros/segmenter/missing"]
