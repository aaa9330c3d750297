"""Episodes of the benchmark as bags in the robot's own topics, with annotation and transcript beside them."""

from __future__ import annotations

import json
import math
import shutil
import time
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from hal_ros.bags.messages import header_message, known_class, serialise, time_message
from hal_ros.bags.reader import BagWriter
from hal_ros.core.arrays import ByteArray
from hal_ros.core.errors import BagError
from hal_ros.core.observations import JointSample
from hal_ros.sim.benchmark import JOINT_NAMES, VERSION, EpisodeSpec

START_NS = 1_000_000_000
"""Simulated time at an episode's start: a stamp of zero is invalid."""
IMAGE_RATE_HZ = 15
IMAGE_DELAY_NS = 5_000_000
"""From an image's stamp to its arrival; between two joint samples, so that the order of arrival is beyond doubt."""
FRAME_ID = "camera_color_optical_frame"
JPEG_QUALITY = 95
UNFINISHED = ".unfinished"

IMAGE_TOPIC = "/camera/color/image_raw"
COMPRESSED_TOPIC = f"{IMAGE_TOPIC}/compressed"
CAMERA_INFO_TOPIC = "/camera/color/camera_info"
JOINTS_TOPIC = "/joint_states"
CLOCK_TOPIC = "/clock"
TRUTH_TOPIC = "/simulation/action_truth"


class Pictures(NamedTuple):
    """What is written of the camera. A square picture equals the centre square of a wider one of the same height."""

    width_px: int = 128
    height_px: int = 128
    raw: bool = False  # as they are, or as JPEG of quality 95 without chroma subsampling


TRAINING_PICTURES = Pictures()


class Written(NamedTuple):
    """What writing one episode took: cpu_s is the time of all cores, which other processes do not stretch.

    `unheld` are the actions that were labelled, but that the physical check does not bear out (see checks.py).
    """

    name: str
    simulated_s: float
    cpu_s: float
    unheld: tuple[str, ...]


def is_written(spec: EpisodeSpec, folder: Path) -> bool:
    """Say whether the split's folder holds this episode, finished and of the same level."""
    annotation = folder / spec.name / "annotation.json"
    try:
        return bool(json.loads(annotation.read_text(encoding="utf-8"))["level"] == spec.level)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_episode(spec: EpisodeSpec, folder: Path, pictures: Pictures = TRAINING_PICTURES) -> Written:
    """Simulate one episode and write `folder/<name>/`, in place of what is there.

    The folder gets its name only when it is complete. Raises BagError when it can't be written, HalError without a
    renderer.
    """
    started_s = time.process_time()
    unfinished, finished = folder / UNFINISHED / spec.name, folder / spec.name
    shutil.rmtree(unfinished, ignore_errors=True)
    simulation = _write_bag(spec, unfinished, pictures)
    shutil.rmtree(finished, ignore_errors=True)
    try:
        unfinished.rename(finished)
    except OSError as error:
        raise BagError(
            f"{finished}: can't be made ({error.strerror}); expected a folder to write episodes to"
        ) from error
    unheld = tuple(claim.action for claim in simulation.claims() if not claim.held)
    return Written(spec.name, simulation.time_ns / 1e9, time.process_time() - started_s, unheld)


def clean_up(folder: Path) -> None:
    """Remove the place of unfinished episodes from a split's folder, unless an interrupted one lies there."""
    with suppress(OSError):
        (folder / UNFINISHED).rmdir()


def _write_bag(spec: EpisodeSpec, path: Path, pictures: Pictures) -> Any:
    """Write bag, annotation and transcript; returns the simulation at its end."""
    from hal_ros.sim.episode import Simulation  # late: MuJoCo and its GL context belong to the process that renders
    from hal_ros.sim.render import Renderer

    simulation = Simulation(spec)
    renderer = Renderer(simulation, pictures.width_px, pictures.height_px)
    try:
        metadata = {"episode": {"benchmark": VERSION, **{key: str(value) for key, value in spec._asdict().items()}}}
        with BagWriter(path, metadata) as bag:
            _Episode(bag, simulation, renderer, pictures).run()
    finally:
        renderer.close()
    _write_annotation(spec, simulation, path)
    return simulation


class _Episode:
    """One episode on its way into a bag."""

    def __init__(self, bag: BagWriter, simulation: Any, renderer: Any, pictures: Pictures) -> None:
        self._bag = bag
        self._simulation = simulation
        self._renderer = renderer
        self._pictures = pictures
        self._images = 0
        self._segment_id = 0
        self._action = ""

    def run(self) -> None:
        """Step the simulation to its end, writing joints and clock at every step and images at their rate."""
        running = True
        while running:
            stamp_ns = START_NS + self._simulation.time_ns
            self._write(CLOCK_TOPIC, known_class("rosgraph_msgs/msg/Clock")(clock=time_message(stamp_ns)), stamp_ns)
            self._write(JOINTS_TOPIC, joint_state(self._simulation.joints(), stamp_ns), stamp_ns)
            self._count_segment()
            if self._simulation.time_ns * IMAGE_RATE_HZ >= self._images * 1_000_000_000:
                self._write_image(stamp_ns)
            running = self._simulation.step()

    def _count_segment(self) -> None:
        if self._simulation.action != self._action:
            self._action = self._simulation.action
            self._segment_id += 1

    def _write_image(self, stamp_ns: int) -> None:
        self._images += 1
        pixels = self._renderer.render(self._simulation.snapshot())
        arrival_ns = stamp_ns + IMAGE_DELAY_NS
        header = header_message(stamp_ns, FRAME_ID)
        if self._pictures.raw:
            self._write(IMAGE_TOPIC, image(pixels, header), arrival_ns, stamp_ns)
        else:
            self._write(COMPRESSED_TOPIC, compressed_image(pixels, header), arrival_ns, stamp_ns)
        width_px, height_px, _ = self._pictures
        info = camera_info(width_px, height_px, self._renderer.vertical_fov_rad, header)
        self._write(CAMERA_INFO_TOPIC, info, arrival_ns, stamp_ns)
        truth = known_class("hal_msgs/msg/ActionTruth")
        self._write(TRUTH_TOPIC, truth(header, self._action, self._segment_id), arrival_ns, stamp_ns)

    def _write(self, topic: str, message: Any, receive_ns: int, publish_ns: int | None = None) -> None:
        self._bag.write(topic, message.__msgtype__, serialise(message), receive_ns, publish_ns)


def joint_state(sample: JointSample, stamp_ns: int) -> Any:
    """Return sensor_msgs/msg/JointState of all joints; absent values are NaN, as a driver with dropouts sends them."""
    values = (np.asarray(field, np.float64) for field in (sample.position, sample.velocity, sample.effort))
    return known_class("sensor_msgs/msg/JointState")(header_message(stamp_ns, ""), list(JOINT_NAMES), *values)


def image(pixels: ByteArray, header: Any) -> Any:
    """Return sensor_msgs/msg/Image of (H, W, 3) RGB."""
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels).reshape(-1)
    return known_class("sensor_msgs/msg/Image")(header, height, width, "rgb8", 0, width * 3, data)


def compressed_image(pixels: ByteArray, header: Any) -> Any:
    """Return sensor_msgs/msg/CompressedImage of (H, W, 3) RGB: JPEG with every pixel's own colour (4:4:4)."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    # the format is image_transport's: what the picture was; how it is compressed, from which order of channels
    return known_class("sensor_msgs/msg/CompressedImage")(header, "rgb8; jpeg compressed bgr8", jpeg.reshape(-1))


def camera_info(width_px: int, height_px: int, vertical_fov_rad: float, header: Any) -> Any:
    """Return sensor_msgs/msg/CameraInfo of an ideal pinhole camera with square pixels."""
    focal_px = height_px / 2 / math.tan(vertical_fov_rad / 2)
    k = np.array([focal_px, 0, width_px / 2, 0, focal_px, height_px / 2, 0, 0, 1], np.float64)
    p = np.insert(k, [3, 6, 9], 0.0)
    return known_class("sensor_msgs/msg/CameraInfo")(
        header=header,
        height=height_px,
        width=width_px,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=k,
        r=np.eye(3).reshape(-1),
        p=p,
        binning_x=0,
        binning_y=0,
        roi=known_class("sensor_msgs/msg/RegionOfInterest")(0, 0, 0, 0, False),
    )


def _write_annotation(spec: EpisodeSpec, simulation: Any, path: Path) -> None:
    """Write the segments, in the bag's time, and the ordered actions without times."""
    segments = [
        {"action": s.action, "start_ns": START_NS + s.start_ns, "end_ns": START_NS + s.end_ns}
        for s in simulation.segments()
    ]
    annotation = {"segments": segments, "recipe": spec.recipe, "seed": spec.seed, "level": spec.level}
    transcript = [action for action, _ in groupby(segment["action"] for segment in segments)]
    try:
        (path / "transcript.txt").write_text("\n".join(transcript) + "\n", encoding="utf-8")
        (path / "annotation.json").write_text(json.dumps(annotation, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise BagError(f"{path}: can't be written ({error.strerror}); expected room for an episode") from error
