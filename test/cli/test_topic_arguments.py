"""Topics on the command line: streams by name, and the older names for a robot with one camera and one of joints."""

from __future__ import annotations

import argparse

import pytest

from hal_ros.cli import topic_arguments
from hal_ros.core.errors import ConfigError


def asked(*arguments: str) -> dict[str, tuple[str, ...]]:
    parser = argparse.ArgumentParser()
    topic_arguments.add_arguments(parser)
    return dict(topic_arguments.asked(parser.parse_args(arguments)))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {}),
        (["--camera", "front=/a", "--camera", "wrist=/b"], {"front": ("/a",), "wrist": ("/b",)}),
        (["--camera", "/a"], {"camera": ("/a",)}),
        (["--camera-topic", "/a"], {"camera": ("/a",)}),
        (["--image-topic", "/a"], {"camera": ("/a",)}),
        (["--joint-topic", "/j"], {"joints": ("/j",)}),
        (["--state", "arm=/j", "--state", "arm=/k", "--state", "ft=/w"], {"arm": ("/j", "/k"), "ft": ("/w",)}),
        (["--state", "arm=/a=b"], {"arm": ("/a=b",)}),
    ],
)
def test_topics_are_told_by_stream(arguments: list[str], expected: dict[str, tuple[str, ...]]) -> None:
    assert asked(*arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--state", "/joints"], "--state /joints: expected NAME=TOPIC, as gripper=/topic"),
        (["--state", "arm="], "--state arm=: expected NAME=TOPIC"),
        (["--state", "=/joints"], "--state =/joints: expected NAME=TOPIC"),
        (["--camera", "="], "--camera =: expected NAME=TOPIC, as camera=/topic"),
        (["--camera", ""], "--camera : expected NAME=TOPIC"),
    ],
)
def test_what_names_no_topic_is_refused_in_one_line(arguments: list[str], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        asked(*arguments)
    assert says in str(refused.value) and "\n" not in str(refused.value)
