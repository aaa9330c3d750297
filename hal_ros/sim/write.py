"""Episodes of the benchmark as bags in the robot's own topics, with annotation and transcript beside them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from hal_ros.bags.messages import header_message, known_class, serialise, time_message
from hal_ros.bags.reader import BagWriter
from hal_ros.core.errors import BagError, HalError
from hal_ros.outside import outputs
from hal_ros.outside.reading import Expected, read_json, reading
from hal_ros.sim import messages
from hal_ros.sim.benchmark import VERSION, EpisodeSpec
from hal_ros.sim.extras import Extras, ExtraTopics, is_marked
from hal_ros.sim.messages import IMAGE_DELAY_NS, START_NS

UNFINISHED = ".unfinished-"
BESIDE = ("metadata.yaml", "annotation.json", "transcript.txt")
ANNOTATION_OF_OURS = Expected(BagError, "an annotation of the benchmark")


class Pictures(NamedTuple):
    """What is written of the front camera. A square picture is the centre square of a wider one of the same height."""

    width_px: int = 128
    height_px: int = 128
    raw: bool = False  # as they are, or as JPEG of quality 95 without chroma subsampling


TRAINING_PICTURES = Pictures()


class EpisodeKind(NamedTuple):
    """What is simulated where it is not the benchmark: its name, and what makes a spec's simulation, in any process."""

    version: str
    simulation: Callable[[EpisodeSpec], Any]


class Written(NamedTuple):
    """What writing one episode took: cpu_s is the time of all cores, which other processes do not stretch.

    `unheld` are the actions that were labelled, but that the physical check does not bear out (see checks.py).
    """

    name: str
    simulated_s: float
    cpu_s: float
    unheld: tuple[str, ...]


def is_written(spec: EpisodeSpec, folder: Path, extras: Extras | None = None) -> bool:
    """Say whether the split's folder holds this episode, finished, of the same level, and with these extra topics."""
    path = folder / spec.name / "annotation.json"
    with suppress(HalError), reading(path, ANNOTATION_OF_OURS):
        annotation = read_json(path, ANNOTATION_OF_OURS)
        return bool(annotation["level"] == spec.level and is_marked(annotation, extras))
    return False


def write_episode(
    spec: EpisodeSpec,
    folder: Path,
    pictures: Pictures = TRAINING_PICTURES,
    extras: Extras | None = None,
    kind: EpisodeKind | None = None,
) -> Written:
    """Simulate one episode and write `folder/<name>/`, in place of what is there.

    With extras come the extra topics, which change nothing in the others but for a split gripper. The folder gets its
    name only when it is complete. Raises BagError when it can't be written, HalError without a renderer.
    """
    started_s, finished = time.process_time(), folder / spec.name
    check_place(spec, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with outputs.staging(folder, UNFINISHED) as place:
            simulation = _write_bag(spec, place / spec.name, pictures, extras, kind)
            check_place(spec, folder)  # it took minutes
            if finished.exists():
                finished.rename(place / "before")
            (place / spec.name).rename(finished)
            outputs.note_folder(folder.parent, finished)
    except OSError as error:
        raise BagError(
            f"{finished}: can't be made ({error.strerror}); expected a folder to write episodes to"
        ) from error
    unheld = tuple(claim.action for claim in simulation.claims() if not claim.held)
    return Written(spec.name, simulation.time_ns / 1e9, time.process_time() - started_s, unheld)


def check_place(spec: EpisodeSpec, folder: Path) -> None:
    """Refuse an episode's place in the split's folder where a user's file lies in the way; ConfigError naming it."""
    usual = (*BESIDE, f"{spec.name}_0.mcap")
    outputs.check_folder(folder.parent, folder / spec.name, partial(_is_simulated, spec), usual)


def _is_simulated(spec: EpisodeSpec, episode: Path) -> bool:
    """Tell an episode of the benchmark, also of earlier versions, which kept no listing."""
    annotation = read_json(episode / "annotation.json", ANNOTATION_OF_OURS)
    told = ("recipe", "seed", "level")
    return isinstance(annotation, dict) and all(key in annotation for key in told) and annotation["seed"] == spec.seed


def _write_bag(
    spec: EpisodeSpec, path: Path, pictures: Pictures, extras: Extras | None, kind: EpisodeKind | None
) -> Any:
    """Write bag, annotation and transcript; returns the simulation at its end."""
    from hal_ros.sim.episode import Simulation  # late: MuJoCo and its GL context belong to the process that renders
    from hal_ros.sim.render import Renderer

    version, simulation = (VERSION, Simulation(spec)) if kind is None else (kind.version, kind.simulation(spec))
    metadata = {"episode": {"benchmark": version, **{key: str(value) for key, value in spec._asdict().items()}}}
    with ExitStack() as opened:
        renderer = opened.enter_context(Renderer(simulation, pictures.width_px, pictures.height_px))
        topics = opened.enter_context(closing(ExtraTopics(simulation, extras, pictures.raw))) if extras else None
        bag = opened.enter_context(BagWriter(path, metadata))
        _Episode(bag, simulation, renderer, pictures, topics).run()
    _write_annotation(spec, simulation, path, extras)
    return simulation


class _Episode:
    """One episode on its way into a bag."""

    def __init__(
        self, bag: BagWriter, simulation: Any, renderer: Any, pictures: Pictures, extras: ExtraTopics | None
    ) -> None:
        self._bag = bag
        self._simulation = simulation
        self._renderer = renderer
        self._pictures = pictures
        self._extras = extras
        self._joints = messages.ALL_JOINTS if extras is None else extras.other_joints
        self._images = 0
        self._segment_id = 0
        self._action = ""

    def run(self) -> None:
        """Step the simulation to its end, writing clock and states at every step and images at their rate."""
        running = True
        while running:
            stamp_ns = START_NS + self._simulation.time_ns
            clock = known_class("rosgraph_msgs/msg/Clock")(clock=time_message(stamp_ns))
            self._write(messages.CLOCK_TOPIC, clock, stamp_ns)
            joints = messages.joint_state(self._simulation.joints(), stamp_ns, self._joints)
            self._write(messages.JOINTS_TOPIC, joints, stamp_ns)
            for extra in self._extras.at_tick() if self._extras else ():
                self._write(*extra)
            self._count_segment()
            if messages.image_is_due(self._simulation.time_ns, self._images):
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
        header = header_message(stamp_ns, messages.FRAME_ID)
        if self._pictures.raw:
            self._write(messages.IMAGE_TOPIC, messages.image(pixels, header), arrival_ns, stamp_ns)
        else:
            self._write(messages.COMPRESSED_TOPIC, messages.compressed_image(pixels, header), arrival_ns, stamp_ns)
        width_px, height_px, _ = self._pictures
        info = messages.camera_info(width_px, height_px, self._renderer.vertical_fov_rad, header)
        self._write(messages.CAMERA_INFO_TOPIC, info, arrival_ns, stamp_ns)
        truth = known_class("hal_msgs/msg/ActionTruth")
        self._write(messages.TRUTH_TOPIC, truth(header, self._action, self._segment_id), arrival_ns, stamp_ns)

    def _write(self, topic: str, message: Any, receive_ns: int, publish_ns: int | None = None) -> None:
        self._bag.write(topic, message.__msgtype__, serialise(message), receive_ns, publish_ns)


def _write_annotation(spec: EpisodeSpec, simulation: Any, path: Path, extras: Extras | None) -> None:
    """Write the segments, in the bag's time, and the ordered actions without times."""
    segments = [
        {"action": s.action, "start_ns": START_NS + s.start_ns, "end_ns": START_NS + s.end_ns}
        for s in simulation.segments()
    ]
    annotation = {"segments": segments, "recipe": spec.recipe, "seed": spec.seed, "level": spec.level}
    if extras:
        annotation["extras"] = extras.mark()
    transcript = [action for action, _ in groupby(segment["action"] for segment in segments)]
    try:
        (path / "transcript.txt").write_text("\n".join(transcript) + "\n", encoding="utf-8")
        (path / "annotation.json").write_text(json.dumps(annotation, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise BagError(f"{path}: can't be written ({error.strerror}); expected room for an episode") from error
