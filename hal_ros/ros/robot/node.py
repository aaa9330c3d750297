"""The node `simulated_robot`: episodes of the benchmark, one after the other, in the pace of real time.

Three threads: physics and joint states at 100 Hz; rendering, which must never hold physics up; and the executor, for
diagnostics and parameters. A fourth builds the next scene while the robot pauses.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from hal_msgs.msg import ActionTruth
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # Humble defines it there
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CameraInfo, Image, JointState

from hal_ros.bags.messages import header_message, known_class, serialise, time_message
from hal_ros.core.errors import ConfigError, HalError
from hal_ros.ros import params
from hal_ros.ros.params import parameter
from hal_ros.ros.robot.pacing import Pacer
from hal_ros.runtime.worker import Worker
from hal_ros.sim import write
from hal_ros.sim.benchmark import LEVELS, RECIPES, EpisodeSpec, episode
from hal_ros.sim.episode import TICK_NS, Simulation, Snapshot
from hal_ros.sim.render import Renderer, check_gl

RENDER_TIMEOUT_S = 60.0
REPORT_PERIOD_S = 1.0
SLOW = 0.95
"""A real-time factor below this one is a warning."""


@dataclass(frozen=True)
class RobotParameters:
    """What a user sets."""

    width_px: int = parameter(640, "Width of the camera image.", (16, 4096))
    height_px: int = parameter(480, "Height of the camera image.", (16, 4096))
    image_rate_hz: float = parameter(15.0, "Images per second.", (0.1, 100.0))
    shadows: bool = parameter(False, "Render shadows; costs several times as much.")
    recipe: str = parameter("", "Recipe to repeat; empty: all of the benchmark in turn.")
    seed: int = parameter(900000, "Seed of the first episode; each one after it adds 1.", (0, 2**31 - 1))
    level: str = parameter("default", "How much the scenes differ.", choices=LEVELS)
    pause_s: float = parameter(1.0, "Seconds that the robot stands still between two episodes.", (0.0, 3600.0))
    publish_clock: bool = parameter(
        False, "Stamp with simulated time, from 1 s on, and publish it on /clock; else stamps are ROS time."
    )
    real_time_factor: float = parameter(
        1.0, "Simulated seconds per second; other than 1 needs publish_clock.", (0.05, 20.0)
    )


class Shot(NamedTuple):
    """One picture to take, and the truth about it."""

    snapshot: Snapshot
    stamp_ns: int
    action: str
    segment_id: int


class Scene:
    """One episode's simulation, and its renderer in a thread of its own."""

    def __init__(self, node: SimulatedRobotNode, spec: EpisodeSpec) -> None:
        """Build both; raises HalError when nothing can be rendered."""
        self.simulation = Simulation(spec)
        self.running = True
        self.camera = Worker[Shot](self._take, node.fail, "camera", at_end=self._free)
        self._node = node
        self._renderer: Renderer | None = None
        self.camera.start()
        if not self.camera.call(self._open, RENDER_TIMEOUT_S):
            raise HalError(f"the renderer of episode {spec.name} could not be made")

    def close(self) -> None:
        """Take the picture that still waits, and free the renderer."""
        self.camera.stop(RENDER_TIMEOUT_S, drain=True)

    def _open(self) -> None:
        parameters = self._node.parameters
        self._renderer = Renderer(self.simulation, parameters.width_px, parameters.height_px, parameters.shadows)
        self._renderer.render(self.simulation.snapshot())  # the first picture uploads the scene

    def _free(self) -> None:
        if self._renderer is not None:
            self._renderer.close()

    def _take(self, shot: Shot) -> None:
        assert self._renderer is not None  # the thread opens it before anything else
        began_ns = time.perf_counter_ns()
        pixels = self._renderer.render(shot.snapshot)
        self._node.render_ms = (time.perf_counter_ns() - began_ns) / 1e6
        self._node.publish_image(pixels, self._renderer.vertical_fov_rad, shot)


class SimulatedRobotNode(Node):
    """Publishes camera, joints and the truth about them, for ever."""

    def __init__(self, **options: Any) -> None:
        """Declare the parameters; raises ConfigError for one that is unknown or out of range, HalError without EGL."""
        super().__init__("simulated_robot", **options)
        self._stopping = threading.Event()
        self._started = False
        try:
            params.declare(self, RobotParameters, lambda: "parameters are read at start" if self._started else "")
            self.parameters = params.read(self, RobotParameters)
            _check(self.parameters)
            check_gl()
        except HalError:
            self.destroy_node()
            raise
        self.render_ms = 0.0
        self._images = self._publisher(Image, write.IMAGE_TOPIC, 5)
        self._infos = self._publisher(CameraInfo, write.CAMERA_INFO_TOPIC, 5)
        self._joints = self._publisher(JointState, write.JOINTS_TOPIC, 200)
        self._truth = self._publisher(ActionTruth, write.TRUTH_TOPIC, 50)
        self._clock_topic = self.create_publisher(ClockMessage, write.CLOCK_TOPIC, 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._error: Exception | None = None
        self._failed = self.create_guard_condition(self._raise)
        self._pacer = Pacer(round(TICK_NS / self.parameters.real_time_factor))
        self._published, self._skipped, self._segment_id, self._ticks = 0, 0, 0, 0
        self._scene: Scene | None = None
        self._reported = (time.perf_counter_ns(), 0, 0, 0)
        self.create_timer(REPORT_PERIOD_S, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._thread = threading.Thread(target=self._run, name="physics", daemon=True)

    def start(self) -> None:
        """Start to move."""
        self._started = True
        self._thread.start()

    def stop(self) -> None:
        """Stand still and free the renderer."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(RENDER_TIMEOUT_S)

    def fail(self, error: Exception) -> None:
        """Take an exception of any thread; the executor ends the process with it."""
        if not self._stopping.is_set():
            self._error = error
            self._failed.trigger()

    def publish_image(self, pixels: Any, vertical_fov_rad: float, shot: Shot) -> None:
        """Publish one picture with its camera and its truth; called in the camera's thread."""
        height, width = pixels.shape[:2]
        header = header_message(shot.stamp_ns, write.FRAME_ID)
        truth = known_class("hal_msgs/msg/ActionTruth")(header, shot.action, shot.segment_id)
        self._images.publish(serialise(write.image(pixels, header)))
        self._infos.publish(serialise(write.camera_info(width, height, vertical_fov_rad, header)))
        self._truth.publish(serialise(truth))
        self._published += 1

    # --- physics ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with ThreadPoolExecutor(1, "scene") as builder:
                self._play_all(builder)
        except Exception as error:  # noqa: BLE001
            self.fail(error)

    def _play_all(self, builder: ThreadPoolExecutor) -> None:
        specs = _specs(self.parameters)
        scene = builder.submit(Scene, self, next(specs)).result()
        self._pacer = Pacer(round(TICK_NS / self.parameters.real_time_factor))
        anchor_ns = self.get_clock().now().nanoseconds - time.perf_counter_ns()
        try:
            while not self._stopping.is_set():
                self._scene = scene
                self._play(scene, anchor_ns)
                following = builder.submit(Scene, self, next(specs))
                self._pause(scene, anchor_ns, following)
                self._scene, self._skipped = None, self._skipped + scene.camera.overwritten
                builder.submit(scene.close)  # not here, where it would hold up the physics
                scene = following.result()
        finally:
            scene.close()

    def _play(self, scene: Scene, anchor_ns: int) -> None:
        action = ""
        while scene.running and not self._stopping.is_set():
            self._segment_id += scene.simulation.action != action
            action = scene.simulation.action
            self._tick(scene, anchor_ns, scene.simulation.snapshot)
            scene.running = scene.simulation.step()

    def _pause(self, scene: Scene, anchor_ns: int, following: Future[Scene]) -> None:
        """Stand still until the pause is over and the next scene is built; camera and joints go on."""
        last = scene.simulation.snapshot()
        pause_ticks = round(self.parameters.pause_s * 1e9) // TICK_NS
        for tick in itertools.count(1):
            if self._stopping.is_set() or (tick > pause_ticks and following.done()):
                return
            snapshot = last._replace(time_ns=last.time_ns + tick * TICK_NS)  # the camera's noise goes on
            self._tick(scene, anchor_ns, lambda now=snapshot: now)

    def _tick(self, scene: Scene, anchor_ns: int, snapshot: Any) -> None:
        """Wait for the next instant and publish what the sensors say of it."""
        due_ns = self._pacer.wait()
        stamp_ns = write.START_NS + self._ticks * TICK_NS if self.parameters.publish_clock else anchor_ns + due_ns
        if self.parameters.publish_clock:
            self._clock_topic.publish(serialise(known_class("rosgraph_msgs/msg/Clock")(time_message(stamp_ns))))
        self._joints.publish(serialise(write.joint_state(scene.simulation.joints(), stamp_ns)))
        if self._image_is_due():
            scene.camera.put(Shot(snapshot(), stamp_ns, scene.simulation.action, self._segment_id))
        self._ticks += 1

    def _image_is_due(self) -> bool:
        per_tick = self.parameters.image_rate_hz * TICK_NS / 1e9
        return int(self._ticks * per_tick) != int((self._ticks - 1) * per_tick) or self._ticks == 0

    # --- the executor's thread ----------------------------------------------------------------------------------------

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _report(self) -> None:
        scene = self._scene
        skipped = self._skipped + (0 if scene is None else scene.camera.overwritten)
        now_ns, ticks, late = time.perf_counter_ns(), self._ticks, self._pacer.late
        before_ns, ticks_before, late_before, skipped_before = self._reported
        self._reported = (now_ns, ticks, late, skipped)
        factor = (ticks - ticks_before) * TICK_NS / (now_ns - before_ns)
        level, message = DiagnosticStatus.OK, f"real-time factor {factor:.2f}"
        if not ticks_before:
            message = "building the first scene"
        elif factor < SLOW * self.parameters.real_time_factor:
            level, message = DiagnosticStatus.WARN, f"{message}: too slow for {self.parameters.real_time_factor:g}"
        values = {
            "episode": "" if scene is None else scene.simulation.spec.name,
            "real_time_factor": f"{factor:.3f}",
            "late_ticks": str(late),
            "late_ticks_new": str(late - late_before),
            "time_given_up_s": f"{self._pacer.given_up_ns / 1e9:.2f}",
            "images": str(self._published),
            "images_skipped": str(skipped),
            "images_skipped_new": str(skipped - skipped_before),
            "render_ms": f"{self.render_ms:.1f}",
        }
        status = DiagnosticStatus(level=level, name=f"{self.get_name()}: simulation", message=message)
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        report = DiagnosticArray(status=[status])
        report.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(report)

    def _publisher(self, kind: Any, topic: str, depth: int) -> Any:
        options = QoSOverridingOptions.with_default_policies()
        return self.create_publisher(kind, topic.lstrip("/"), QoSProfile(depth=depth), qos_overriding_options=options)


def _check(parameters: RobotParameters) -> None:
    if parameters.recipe and parameters.recipe not in RECIPES:
        raise ConfigError(f"parameter recipe is {parameters.recipe!r}: expected one of {', '.join(RECIPES)}")
    if parameters.real_time_factor != 1.0 and not parameters.publish_clock:
        raise ConfigError(
            f"parameter real_time_factor is {parameters.real_time_factor}: expected 1.0, or publish_clock, because "
            "stamps are ROS time"
        )


def _specs(parameters: RobotParameters) -> Iterator[EpisodeSpec]:
    recipes = [parameters.recipe] if parameters.recipe else list(RECIPES)
    for seed in itertools.count(parameters.seed):
        yield episode(recipes[seed % len(recipes)], seed, parameters.level)
