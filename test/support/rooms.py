"""The house as a table: its rooms from the core outwards, who may import whom, and whose some libraries are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "hal_ros"
SOURCES = sorted((ROOT / PACKAGE).rglob("*.py"))

# The rooms of the package, and the other rooms that each may import. A room imports only rooms above its own line, so
# there is no way round; cli comes last, and nobody imports it.
ROOMS = {
    "core": "",
    "outside": "core",
    "bags": "core outside",
    "nn": "core outside",
    "metrics": "core outside",
    "fit": "core outside nn",
    "runtime": "core outside",
    "tensorrt": "core outside runtime",
    "datasets": "core outside bags runtime",
    "sim": "core outside bags datasets",
    "labels": "core outside datasets nn fit",
    "train": "core outside bags datasets runtime nn metrics fit labels",
    "baselines": "core outside datasets nn fit train",
    "export": "core outside nn runtime datasets labels train",
    "offline": "core outside bags metrics runtime datasets",
    "report": "core outside bags metrics offline",
    "experiments": "core outside bags nn metrics runtime sim datasets labels fit train baselines offline report",
    "ros": "core outside bags runtime sim",
    "live": "core outside bags runtime sim offline report ros",
    "bench": "core outside bags nn metrics runtime tensorrt sim datasets labels fit train export offline report ros "
    "live",
    "cli": "core outside bags nn metrics fit runtime tensorrt sim datasets labels train baselines export offline "
    "report experiments ros live bench",
}
MAY_IMPORT = {room: set(others.split()) for room, others in ROOMS.items()}
# What is imported late, where it was chosen: the robot's process holds neither unless it was told to.
TORCH_BACKEND = "hal_ros.runtime.torch_backend"  # the one part of runtime that knows nn and torch
CHOOSER = "hal_ros.runtime.backend"  # opens the back end that was asked for, those of the room tensorrt too
# Libraries that only these rooms may import, for the sake of the other rooms' processes.
OWNERS = {
    "rclpy": {"ros", "bench"},
    "hal_msgs": {"ros", "bench"},
    "message_filters": {"ros"},
    "cv_bridge": {"ros"},
    "torch": {"nn", "fit", "labels", "train", "baselines", "export", "experiments"},
    "mujoco": {"sim"},
    "tensorrt": {"tensorrt"},
}
