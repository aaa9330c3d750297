"""YAML of others: what people write is read, what would fill the memory or run code is refused."""

from __future__ import annotations

import pytest
import yaml

from hal_ros.outside import yaml_text
from hal_ros.outside.yaml_text import MOST_DEPTH, parse_yaml
from mutations import alias_bomb


@pytest.mark.parametrize("by_people", [True, False])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: [1, 2.5, yes]", {"a": [1, 2.5, True]}),
        ("base: &b {x: 1}\nown: {<<: *b, y: 2}", {"base": {"x": 1}, "own": {"x": 1, "y": 2}}),
        ("", None),
        ("[" * MOST_DEPTH + "]" * MOST_DEPTH, None),
    ],
)
def test_what_people_and_programs_write_is_read(text: str, value: object, by_people: bool) -> None:
    found = parse_yaml(text, by_people)
    assert value is None or found == value


@pytest.mark.parametrize("by_people", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        alias_bomb(),
        "a: &a [*a]",
        "a: *b",
        "[" * (MOST_DEPTH + 1) + "]" * (MOST_DEPTH + 1),
        "a: 1" + ":1" * 1000,
        "a: " + "9" * 1000,
        "!!python/object/apply:os.getcwd []",
        "a: b: c",
    ],
)
def test_what_is_too_much_or_no_plain_data_is_refused(text: str, by_people: bool) -> None:
    with pytest.raises((ValueError, yaml.YAMLError)):
        parse_yaml(text, by_people)


def test_aliases_count_as_often_as_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: &a [1, 2]\nb: [*a, *a]"  # with the lists and the keys 13 values
    monkeypatch.setattr(yaml_text, "MOST_NODES", 13)
    assert parse_yaml(text) == {"a": [1, 2], "b": [[1, 2], [1, 2]]}
    monkeypatch.setattr(yaml_text, "MOST_NODES", 11)
    with pytest.raises(ValueError, match="stands for more than 11 values"):
        parse_yaml(text)


def test_a_key_that_comes_twice_is_refused_where_people_write() -> None:
    with pytest.raises(yaml.YAMLError, match="key 'a' comes twice"):
        parse_yaml("a: 1\nb: 2\na: 3")
