"""Which parameters a file gives to all nodes alike, and which to one by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal_ros.ros.parameter_files import for_all_nodes


def found(folder: Path, text: str, *more: str) -> set[str]:
    path = folder / "robot.yaml"
    path.write_text(text)
    return for_all_nodes(["node", "--ros-args", "--params-file", str(path), *more])


def test_names_under_a_wildcard_are_of_all_nodes(tmp_path: Path) -> None:
    text = "/**:\n  ros__parameters: {rate: 1, qos_overrides: {/a/b: {publisher: {depth: 3}}}}\n"
    assert found(tmp_path, text) == {"rate", "qos_overrides./a/b.publisher.depth"}
    assert found(tmp_path, text, "-p", "rate:=2") == {"qos_overrides./a/b.publisher.depth"}
    assert found(tmp_path, text.replace("/**", "/left/*")) == found(tmp_path, text)


@pytest.mark.parametrize("node", ["segmenter", "/left/segmenter", "/**/segmenter"])
def test_names_under_a_nodes_name_are_its_own(tmp_path: Path, node: str) -> None:
    assert found(tmp_path, f"/**:\n  ros__parameters: {{a: 1, b: 2}}\n{node}:\n  ros__parameters: {{b: 3}}\n") == {"a"}


def test_nodes_may_lie_in_namespaces(tmp_path: Path) -> None:
    assert found(tmp_path, "left:\n  '**':\n    ros__parameters: {a: 1}\n  eye:\n    ros__parameters: {b: 1}\n") == {
        "a"
    }


@pytest.mark.parametrize("text", ["[", "- 1", "", "a: {b: 1}", "/**: 5", "/**:\n  ros__parameters: 7"])
def test_what_is_no_file_of_parameters_says_nothing(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == set()
    assert for_all_nodes(["--params-file", "/nowhere"]) == set()
