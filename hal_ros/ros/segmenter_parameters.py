"""The segmenter's parameters, described: without ROS, for the node, its launch file and the README."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from hal_ros.runtime.backend import CHOICES
from hal_ros.runtime.bundle import PRECISIONS

TOPICS_PREFIX = "topics."
"""Parameters that are declared at configure, one for each stream of the model."""


def parameter(
    default: Any, description: str, limits: tuple[Any, Any] | None = None, choices: Iterable[str] = ()
) -> Any:
    """Describe one field: its default, what it means, and either its closed range or its allowed values."""
    metadata = {"description": description, "limits": limits, "choices": tuple(choices)}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class SegmenterParameters:
    """What a user sets. Actions, rate, lag and joint names are facts of the weights and come from the card alone."""

    model: str = parameter("", "Folder of the model bundle, with its card.json. Required.")
    image_topic: str = parameter(
        "",
        "Topic of the only camera, or of the stream `camera`; as topics.camera. Empty: the card's, or else "
        "camera/color/image_raw.",
    )
    image_transport: str = parameter(
        "auto",
        "Of all cameras. raw: sensor_msgs/Image. compressed: sensor_msgs/CompressedImage on <topic>/compressed. auto: "
        "what is published, of both what the card names.",
        choices=("auto", "raw", "compressed"),
    )
    image_conversion: str = parameter(
        "native",
        "Who converts pixels to RGB: this package, as in training, or cv_bridge, which has to be installed.",
        choices=("native", "cv_bridge"),
    )
    most_megapixels: float = parameter(
        50.0,
        "Larger pictures are refused by what their header says, before memory is taken for them, and counted.",
        (0.01, 50.0),
    )
    image_timeout_s: float = parameter(
        2.0,
        "Seconds without an image of a camera after which diagnostics warn; also counted from activation.",
        (0.1, 3600.0),
    )
    joint_topic: str = parameter(
        "",
        "Topic of the only joint states, or of the stream `joints`; as topics.joints. Empty: the card's, or else "
        "joint_states.",
    )
    joint_timeout_s: float = parameter(
        2.0, "Seconds without a message of a state after which diagnostics warn.", (0.1, 3600.0)
    )
    synchroniser: str = parameter(
        "latest",
        "latest: of each stream the newest that is not newer than the clock's message. message_filters: the same, but "
        "a message of the clock waits until ApproximateTimeSynchronizer has found it one of every other topic; needs "
        "that package.",
        choices=("latest", "message_filters"),
    )
    synchroniser_slop_s: float = parameter(
        0.02, "message_filters only: largest distance in seconds between messages of one set.", (0.001, 1.0)
    )
    synchroniser_queue_size: int = parameter(
        50, "message_filters only: messages of each topic that wait for their partners.", (1, 1000)
    )
    plan: str = parameter(
        "",
        "Actions that are expected, in order, separated by commas; with it ~/plan_progress tells where in the plan the "
        "robot is. Actions whose names hold a comma can't be given. Empty: off.",
    )
    backend: str = parameter(
        "auto",
        "What runs the model. auto takes tensorrt where it has engines that give the golden outputs, else onnxruntime, "
        "and says why; any other is taken or refused. torch needs a bundle exported with its weights.",
        choices=CHOICES,
    )
    providers: str = parameter(
        "",
        "onnxruntime only: its execution providers by name, separated by commas, most wanted first, such as "
        "CUDAExecutionProvider. One that does not start is refused. Empty: the CPU.",
    )
    threads: int = parameter(1, "Threads that the backend may use on the CPU.", (1, 64))
    precision: str = parameter(
        "fp16", "tensorrt only: precision of the engines; the other backends compute in fp32.", choices=PRECISIONS
    )
    build_on_start: bool = parameter(
        False,
        "tensorrt only: build missing engines while configuring, which takes minutes. False: configure fails, or auto "
        "takes onnxruntime, with the command that builds them.",
    )
    autostart: bool = parameter(
        False, "Configure and activate at start, without a lifecycle manager; ends with code 1 when that fails."
    )
    diagnostics_period_s: float = parameter(1.0, "Seconds between two messages on /diagnostics.", (0.05, 60.0))


def constraint(field: dataclasses.Field[Any]) -> str:
    """Return a field's allowed values or range in brackets, '' where it has none."""
    if choices := field.metadata["choices"]:
        return f"({', '.join(choices)})"
    if limits := field.metadata["limits"]:
        return f"({limits[0]} to {limits[1]})"
    return ""
