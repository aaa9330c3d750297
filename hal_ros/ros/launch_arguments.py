"""Arguments of the launch files, made from parameters and judged before anything is started. Without ROS."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hal_ros.core.errors import ConfigError
from hal_ros.ros.parameter_files import given_to
from hal_ros.ros.segmenter_parameters import TOPICS_PREFIX, SegmenterParameters, constraint
from hal_ros.ros.stream_topics import TOPICS, camera_topics, input_topics, read_stream_topics
from hal_ros.runtime.bundle import load_bundle

FLAGS = {"true": True, "1": True, "false": False, "0": False}
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
RECORDERS = ("auto", "hal_ros", "rosbag2")
ON_EXIT = ("shutdown", "ignore")
NAMESPACE = re.compile(r"/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*/?")
FIELDS = {field.name: field for field in dataclasses.fields(SegmenterParameters)}

Argument = tuple[str, str]
"""Default and description."""

COMMON: dict[str, Argument] = {
    "namespace": ("", "Namespace of the nodes and topics."),
    "topics": ("", "Topics of streams in place of the card's, as '{gripper: /g/joint_states, arm: [/a, /b]}'."),
    "use_sim_time": ("false", "Take time from /clock."),
    "log_level": ("info", f"{', '.join(LOG_LEVELS)}."),
    "respawn": ("false", "Start a node anew, two seconds after it ended."),
    "on_exit": ("shutdown", "shutdown: a node that failed ends the launch, with code 1; ignore: the others go on."),
}
"""Arguments of more than one launch file."""


def parameter_arguments() -> dict[str, Argument]:
    """Return an argument for each parameter of the segmenter; an empty one leaves the file of parameters its say."""
    return {name: ("", f"{one.metadata['description']} {constraint(one)}".strip()) for name, one in FIELDS.items()}


def refuse_unknown(argv: Sequence[str], launch_file: str, known: Collection[str]) -> None:
    """Raise ConfigError for an argument of the command line that the launch file, if it was started by it, has not."""
    names = [Path(part).name for part in argv]
    if launch_file not in names:  # another one includes it, and has arguments of its own
        return
    for part in argv[names.index(launch_file) + 1 :]:
        name, given, value = part.partition(":=")
        if given and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(sorted(known))}"
            raise ConfigError(f"{name}:={value}: unknown argument; {hint}")


def read_flag(name: str, value: str) -> bool:
    """Read an argument as launch's own conditions do; raises ConfigError with its name."""
    if value.strip().lower() not in FLAGS:
        raise ConfigError(f"{name}:={value}: expected true or false")
    return FLAGS[value.strip().lower()]


def read_parameter(name: str, value: str) -> Any:
    """Read an argument as the value of the segmenter's parameter of that name; raises ConfigError."""
    field = FIELDS[name]
    if isinstance(field.default, bool):
        return read_flag(name, value)
    if isinstance(field.default, str):
        check_choice(name, value, field.metadata["choices"])
        return value
    kind, words = (int, "a whole number") if isinstance(field.default, int) else (float, "a number")
    low, high = field.metadata["limits"]
    try:
        number = kind(value)
    except ValueError:
        raise ConfigError(f"{name}:={value}: expected {words}") from None
    if not low <= number <= high:
        raise ConfigError(f"{name}:={value}: expected {words} from {low} to {high}")
    return number


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Raise ConfigError for a value that is none of the choices, where there are any."""
    if choices and value not in choices:
        near = difflib.get_close_matches(value, choices, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"{name}:={value}: expected {' or '.join([', '.join([*choices][:-1]), [*choices][-1]])}{hint}"
        )


def check_common(values: Mapping[str, str]) -> None:
    """Raise ConfigError for one of the arguments that all launch files have."""
    if values["namespace"] and not NAMESPACE.fullmatch(values["namespace"]):
        raise ConfigError(f"namespace:={values['namespace']}: expected letters, digits and '_', parted by '/'")
    for name in ("use_sim_time", "respawn"):
        read_flag(name, values[name])
    check_choice("log_level", values["log_level"].lower(), LOG_LEVELS)
    check_choice("on_exit", values["on_exit"], ON_EXIT)
    read_stream_topics(values["topics"])


class Chosen(NamedTuple):
    """What the segmenter and the recorder get of a launch's arguments."""

    parameters: dict[str, Any]  # of the segmenter, beside those of the file
    record: bool
    recorded: dict[str, str]  # arguments of record.launch.py


def choose(values: Mapping[str, str]) -> Chosen:
    """Judge the arguments of segmenter.launch.py and what goes to the recorder; raises ConfigError or CardError."""
    check_common(values)
    file = Path(values["config"]).expanduser()
    if not file.is_file():
        raise ConfigError(f"config:={values['config']}: is no file; expected a file of parameters")
    chosen = {name: read_parameter(name, values[name]) for name in FIELDS if values[name]}
    streams = read_stream_topics(values["topics"])
    chosen |= {f"{TOPICS_PREFIX}{stream}": topics for stream, topics in streams.items()}
    chosen["use_sim_time"] = read_flag("use_sim_time", values["use_sim_time"])
    settings = {**given_to("segmenter", values["namespace"], file), **chosen}
    named = {name[len(TOPICS_PREFIX) :]: topics for name, topics in settings.items() if name.startswith(TOPICS_PREFIX)}
    recorded = {name: str(settings.get(name) or "") for name in ("model", "image_topic", "joint_topic")}
    recorded["topics"] = json.dumps(named) if named else ""
    recorded |= {name: values[name] for name in ("namespace", "use_sim_time", "log_level", "on_exit")}
    record = read_flag("record", values["record"])
    if record:
        recorded_topics(recorded)
    return Chosen(chosen, record, recorded)


def check_recorder(values: Mapping[str, str]) -> None:
    """Judge the arguments of record.launch.py; raises ConfigError or CardError."""
    check_common(values)
    check_choice("recorder", values["recorder"], RECORDERS)
    if not Path(values["recorder_config"]).expanduser().is_file():
        given = values["recorder_config"]
        raise ConfigError(f"recorder_config:={given}: is no file; expected a file of parameters")
    recorded_topics(values)


def recorded_topics(values: Mapping[str, str]) -> list[str]:
    """List the absolute names of all topics that belong in a recording; raises ConfigError or CardError."""
    given = [*camera_topics(values["image_topic"])] if values["image_topic"] else []
    given += [values["joint_topic"]] if values["joint_topic"] else []
    for named in read_stream_topics(values["topics"]).values():
        given += [name for topic in named for name in camera_topics(topic)]  # it may be a camera's
    if values["model"]:
        given += input_topics(load_bundle(Path(values["model"]).expanduser()).card.streams)
    prefix = f"/{values['namespace'].strip('/')}/".replace("//", "/")
    return list(dict.fromkeys(name if name.startswith("/") else prefix + name for name in (*TOPICS, *given)))


def ends_launch(name: str, on_exit: str) -> Callable[[Any, Any], None]:
    """Return what launch calls with the event that a node's process ended: an exception ends it all, with code 1."""

    def ended(event: Any, _: Any) -> None:
        if event.returncode and on_exit == "shutdown":
            raise RuntimeError(f"{name} ended with code {event.returncode}")

    return ended
