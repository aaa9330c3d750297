"""The robot that is measured: two cameras of 640x480, seven joints and a wrench; its messages, and a model for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hal_ros.bags.messages import header_message, known_class
from hal_ros.bags.sensors import IMAGE
from hal_ros.bench.caches import untrained
from hal_ros.core.arrays import ByteArray
from hal_ros.core.card import ModelCard
from hal_ros.core.streams.spec import JOINT_STATE, CameraSpec, StateSpec, StreamSpec
from hal_ros.runtime.bundle import ENCODER, GOLDEN, STEP, Bundle, load_bundle, save_card

FRONT, WRIST, ARM, WRENCH = "front", "wrist", "arm", "wrench"
TOPICS = {FRONT: "/front/image_raw", WRIST: "/wrist/image_raw", ARM: "/joint_states", WRENCH: "/ft_sensor/wrench"}
WRENCH_TYPE = "geometry_msgs/msg/WrenchStamped"
TYPES = {FRONT: IMAGE, WRIST: IMAGE, ARM: JOINT_STATE, WRENCH: WRENCH_TYPE}
JOINTS = tuple(f"joint_{number}" for number in range(1, 8))
WIDTH_PX, HEIGHT_PX = 640, 480
CELL_PX = 8
GOLDEN_TICKS = 4


def streams(cameras: int = 2) -> StreamSpec:
    """Return the robot's streams with its first one or two cameras; the first one makes the ticks."""
    names = (FRONT, WRIST)[:cameras]
    paths = tuple(f"wrench.{kind}.{axis}" for kind in ("force", "torque") for axis in "xyz")
    return StreamSpec(
        FRONT,
        {name: CameraSpec((TOPICS[name],)) for name in names},
        {ARM: StateSpec((TOPICS[ARM],), names=JOINTS), WRENCH: StateSpec((TOPICS[WRENCH],), WRENCH_TYPE, fields=paths)},
    )


def picture(seed: int) -> ByteArray:
    """Return (480, 640, 3) of one colour in each cell: what compresses well costs the node's clock nothing."""
    shape = HEIGHT_PX // CELL_PX, WIDTH_PX // CELL_PX, 3
    cells = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return np.repeat(np.repeat(cells, CELL_PX, 0), CELL_PX, 1)


def joint_message(stamp_ns: int, names: Sequence[str] = JOINTS) -> Any:
    """Return a sensor_msgs/msg/JointState with all three fields."""
    values = [np.full(len(names), value) for value in (0.1, 0.2, 0.3)]
    return known_class(JOINT_STATE)(header_message(stamp_ns, ""), list(names), *values)


def wrench_message(stamp_ns: int) -> Any:
    """Return a geometry_msgs/msg/WrenchStamped."""
    vector, wrench = known_class("geometry_msgs/msg/Vector3"), known_class("geometry_msgs/msg/Wrench")
    return known_class(WRENCH_TYPE)(header_message(stamp_ns, "ft_sensor"), wrench(vector(1, 2, 3), vector(4, 5, 6)))


def untrained_bundle(card: ModelCard, spec: StreamSpec, folder: Path) -> Bundle:
    """Write a bundle of the shipped size for a card's actions and other streams, unless it is there already.

    Nobody has trained it; it has golden arrays, but no half precision. Raises HalError without torch or the encoder's
    weights.
    """
    if (folder / GOLDEN).exists():
        return load_bundle(folder)
    model = untrained(card, streams=spec)
    from hal_ros.export.bundle import Golden, write_golden
    from hal_ros.export.to_onnx import StepGraph, export_step
    from hal_ros.nn.encoder import build_encoder

    folder.mkdir(parents=True, exist_ok=True)
    (folder / ENCODER).write_bytes(build_encoder(spec.size_px).SerializeToString(deterministic=True))
    export_step(StepGraph(model.graph.eyes, model.graph.model, card.caches), folder / STEP)
    bundle = save_card(replace(model.card, name=f"untrained-{len(spec.cameras)}"), folder)
    side, counts = spec.size_px, (GOLDEN_TICKS, len(spec.cameras))
    pictures = np.random.default_rng(0).integers(0, 256, (*counts, side, side, 3), dtype=np.uint8)
    values = np.ones((GOLDEN_TICKS, spec.value_count), np.float32)
    write_golden(bundle, Golden(pictures, np.ones(counts, np.float32), values, values))
    return save_card(bundle.card, folder)
