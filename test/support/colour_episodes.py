"""Bags of plain colours, one colour an action, and the bundle that names them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

import colour_bundle
from fakes import COLOURS, make_card, picture
from hal_ros.bags.messages import header_message, known_class, serialise
from hal_ros.bags.reader import BagWriter

LAG = 1
PERIOD_NS = 100_000_000
START_NS = 1_000_000_000
SPLITS = {"train": ["RRRRRRGGGGGGBBBBBB"] * 2, "test": ["GGGGGRRRRRRBBBBBB", "BBBBBRRRRR"], "unseen": ["RRRRRBBBBBB"]}


def write_bundle(folder: Path) -> None:
    """Write a bundle that names colours."""
    colour_bundle.write_bundle(folder, make_card(lag_ticks=LAG))


def write_episode(folder: Path, word: str, annotated: bool) -> None:
    """One letter of R, G, B a tick; the second joint is a gripper that is closed while green."""
    image_type, joint_type = "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/JointState"
    with BagWriter(folder) as bag:
        for tick, letter in enumerate(word):
            header = header_message(START_NS + tick * PERIOD_NS, "camera")
            values = np.array([0.1 * tick, float(letter != "G")])
            joints = known_class(joint_type)(header, ["a", "b"], values, np.ones(2), np.zeros(2))
            bag.write("/joint_states", joint_type, serialise(joints), START_NS + tick * PERIOD_NS)
            rgb = picture(COLOURS["RGB".index(letter)])
            _, png = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
            message = known_class(image_type)(header, "png", png.reshape(-1))
            bag.write("/camera/color/image_raw/compressed", image_type, serialise(message), START_NS + tick * PERIOD_NS)
    if annotated:
        segments = [
            {
                "action": COLOURS["RGB".index(letter)],
                "start_ns": START_NS + tick * PERIOD_NS,
                "end_ns": START_NS + (tick + 1) * PERIOD_NS,
            }
            for tick, letter in enumerate(word)
        ]
        (folder / "annotation.json").write_text(json.dumps({"segments": segments}))


def write_data(folder: Path, annotated: bool = True) -> Path:
    """Write the episodes of all splits; returns the folder."""
    for split, words in SPLITS.items():
        for index, word in enumerate(words):
            write_episode(folder / split / f"episode-{index}", word, annotated)
    return folder
