"""How fast `hal ingest` goes through a bag of two compressed cameras: robot time for each second of processor time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from hal_ros.bags.messages import deserialise, header_message, serialise
from hal_ros.bags.sensors import COMPRESSED, pixels
from hal_ros.bench.rows import BenchRow, at_least, baseline
from hal_ros.bench.streams import robot
from hal_ros.bench.streams.arrivals import CAMERA_HZ, SentTopic, arrivals, states, write_bag
from hal_ros.bench.streams.tick import one_thread
from hal_ros.core.arrays import ByteArray
from hal_ros.datasets import episodes
from hal_ros.datasets.config import DataConfig, draft_card
from hal_ros.sim.messages import compressed_image

SECONDS, JOINTS_HZ = 20, 100
PICTURES, DECODED = 8, 20
NOISE, SHAPES_PX = 3.0, 40  # of a camera's sensor, and the size of what it sees: they make a JPEG as large as real ones
LIMIT = 5.0
NAME, UNIT = "hal ingest, two JPEG cameras, one core", "x real time"
EXPECTED = [(NAME, UNIT, f">= {LIMIT:g}")]


def rows(folder: Path, seconds: int = SECONDS) -> list[BenchRow]:
    """Write such a bag into `folder` and ingest it there. Raises HalError when that fails."""
    bag, spec = folder / "bag", robot.streams()
    carried = states() | {name: jpeg_camera(name, seed) for seed, name in enumerate(spec.cameras)}
    write_bag(bag, carried, arrivals(seconds, JOINTS_HZ))
    card = replace(draft_card(DataConfig()), streams=spec)
    jpeg = deserialise(COMPRESSED, carried[robot.FRONT].messages[0])
    with one_thread():
        taken_s = cpu_s(lambda: episodes.cached(bag, card, {}, folder / "cache"))
        decode_ms = 1e3 / DECODED * cpu_s(lambda: [pixels(jpeg, COMPRESSED) for _ in range(DECODED)])
    share = decode_ms * 1e-3 * len(spec.cameras) * spec.rate_hz * seconds / taken_s
    size = f"640x480, {len(jpeg.data) / 1000:.0f} kB each"
    note = f"{seconds} s, cameras at {CAMERA_HZ} Hz, {size}, joints at {JOINTS_HZ} Hz; processor time, start aside"
    return [
        at_least(NAME, seconds / taken_s, UNIT, LIMIT, note),
        baseline("of this, decoding JPEG", 100 * share, "%", f"{decode_ms:.2f} ms each, those of due ticks alone"),
    ]


def jpeg_camera(name: str, seed: int) -> SentTopic:
    """Return a camera's pictures as compressed messages."""
    random = np.random.default_rng(seed)
    messages = [compressed_image(seen(random), header_message(1, name)) for _ in range(PICTURES)]
    return SentTopic(f"{robot.TOPICS[name]}/compressed", COMPRESSED, [serialise(message) for message in messages])


def seen(random: np.random.Generator) -> ByteArray:
    """Return a picture (480, 640, 3) of soft shapes with a sensor's noise."""
    few = robot.HEIGHT_PX // SHAPES_PX, robot.WIDTH_PX // SHAPES_PX, 3
    shapes = cv2.resize(random.uniform(0, 255, few).astype(np.float32), (robot.WIDTH_PX, robot.HEIGHT_PX))
    noisy: ByteArray = np.clip(shapes + random.normal(0, NOISE, shapes.shape), 0, 255).astype(np.uint8)
    return noisy


def cpu_s(act: Callable[[], object]) -> float:
    """Return the processor time of a call in seconds, of all threads."""
    began_s = time.process_time()
    act()
    return time.process_time() - began_s
