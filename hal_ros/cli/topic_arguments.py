"""How commands that read bags are told which topics a model's streams come from."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.spec import CAMERA, JOINTS

if TYPE_CHECKING:
    from hal_ros.bags.inputs import AskedTopics

DEFAULT = "(default: those of the model, else the usual one, or the only one)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --camera and --state, and the older names of both for robots with one of each."""
    parser.add_argument("--camera", action="append", default=[], metavar="[NAME=]TOPIC", help=f"camera topic {DEFAULT}")
    parser.add_argument("--state", action="append", default=[], metavar="NAME=TOPIC", help=f"state topic {DEFAULT}")
    parser.add_argument("--camera-topic", "--image-topic", metavar="TOPIC", help=f"same as --camera {CAMERA}=TOPIC")
    parser.add_argument("--joint-topic", metavar="TOPIC", help=f"same as --state {JOINTS}=TOPIC")


def asked(args: argparse.Namespace) -> AskedTopics:
    """Return the topics by stream; ConfigError for one without a name or a topic. A stream may have several."""
    found: dict[str, tuple[str, ...]] = {}
    given = [split(text, "--camera", CAMERA) for text in args.camera]
    given += [split(text, "--state") for text in args.state]
    given += [(CAMERA, args.camera_topic)] * bool(args.camera_topic)
    given += [(JOINTS, args.joint_topic)] * bool(args.joint_topic)
    for stream, topic in given:
        found[stream] = (*found.get(stream, ()), topic)
    return found


def split(text: str, option: str, usual: str = "") -> tuple[str, str]:
    """Return stream and rest of NAME=TOPIC; a bare topic is of the stream `usual`."""
    name, equals, topic = text.partition("=")
    if not equals and usual:
        name, topic = usual, text
    if not name or not topic:
        raise ConfigError(f"{option} {text}: expected NAME=TOPIC, as {usual or 'gripper'}=/topic")
    return name, topic
