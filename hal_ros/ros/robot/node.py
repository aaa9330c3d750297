"""The node `simulated_robot`: episodes of the benchmark, one after the other, in the pace of real time.

Three threads: physics and states at 100 Hz; rendering, which must never hold physics up, with one more for the wrist
camera; and the executor, for diagnostics and parameters. Another builds the next scene while the robot pauses.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # Humble defines it there
from rclpy.node import Node

from hal_ros.core.errors import HalError
from hal_ros.ros import params
from hal_ros.ros.params import full_name
from hal_ros.ros.printable_logs import PrintableLogs
from hal_ros.ros.robot.driver import Driver
from hal_ros.ros.robot.pacing import Pacer
from hal_ros.ros.robot.parameters import RobotParameters, check
from hal_ros.ros.robot.scene import RENDER_TIMEOUT_S, Scene, Shot
from hal_ros.ros.robot.topics import Topics
from hal_ros.ros.subscribers import POLL_S, wait_for_subscribers
from hal_ros.sim.benchmark import RECIPES, EpisodeSpec, episode
from hal_ros.sim.driven.disturbances import NONE, USUAL, Disturbances
from hal_ros.sim.episode import TICK_NS
from hal_ros.sim.messages import START_NS
from hal_ros.sim.render import FRONT, WRIST, check_gl

REPORT_PERIOD_S = 1.0
SLOW = 0.95
"""A real-time factor below this one is a warning."""


class SimulatedRobotNode(PrintableLogs, Node):
    """Publishes camera, joints and the truth about them, for ever."""

    def __init__(self, **options: Any) -> None:
        """Declare the parameters; raises ConfigError for one that is unknown or out of range, HalError without EGL."""
        super().__init__("simulated_robot", **options)
        self._stopping = threading.Event()
        self._started = False
        try:
            params.declare(self, RobotParameters, lambda: "parameters are read at start" if self._started else "")
            self.parameters = params.read(self, RobotParameters)
            check(self.parameters)
            check_gl()
        except HalError:
            self.destroy_node()
            raise
        self._topics = Topics(self, self.parameters)
        self._driver = Driver(self) if self.parameters.driven else None
        self._trouble = _trouble(self.parameters)
        self._cameras = self._topics.camera_plans()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._error: Exception | None = None
        self._failed = self.create_guard_condition(self._raise)
        self._pacer = Pacer(round(TICK_NS / self.parameters.real_time_factor))
        self._segment_id, self._ticks = 0, 0
        self._skipped = dict.fromkeys(self._cameras, 0)
        self._scene: Scene | None = None
        self._reported = (time.perf_counter_ns(), 0, 0, self._skipped)
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

    # --- physics ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with ThreadPoolExecutor(1, "scene") as builder:
                self._play_all(builder)
        except Exception as error:  # noqa: BLE001
            self.fail(error)

    def _play_all(self, builder: ThreadPoolExecutor) -> None:
        specs = _specs(self.parameters)
        scene = builder.submit(Scene, next(specs), self._cameras, self.fail, self._trouble).result()
        self._wait_for_subscribers()
        self._pacer = Pacer(round(TICK_NS / self.parameters.real_time_factor))
        anchor_ns = self.get_clock().now().nanoseconds - time.perf_counter_ns()
        try:
            while not self._stopping.is_set():
                self._scene = scene
                self._play(scene, anchor_ns)
                following = builder.submit(Scene, next(specs), self._cameras, self.fail, self._trouble)
                self._pause(scene, anchor_ns, following)
                self._scene, self._skipped = None, self._skipped_with(scene)
                builder.submit(scene.close)  # not here, where it would hold up the physics
                scene = following.result()
        finally:
            scene.close()

    def _wait_for_subscribers(self) -> None:
        twice = {params.resolve_topic(self, topic, "parameter heard_twice") for topic in self.parameters.heard_twice}
        wait_s = self.parameters.wait_for_subscribers_s
        pause = partial(self._stopping.wait, POLL_S)
        if wait_s and (fault := wait_for_subscribers(self._topics.publishers, twice, wait_s, pause)):
            self.get_logger().warning(fault)

    def _play(self, scene: Scene, anchor_ns: int) -> None:
        action = ""
        if self._driver is not None:
            self._driver.skip_ending()
        while scene.running and not self._stopping.is_set():
            self._segment_id += scene.simulation.action != action
            action = scene.simulation.action
            self._tick(scene, anchor_ns, scene.simulation.snapshot)
            scene.running = scene.simulation.step() and (self._driver is None or self._driver.drive(scene))

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
        stamp_ns = START_NS + self._ticks * TICK_NS if self.parameters.publish_clock else anchor_ns + due_ns
        if self.parameters.publish_clock:
            self._topics.publish_clock(stamp_ns)
        self._topics.publish_states(scene, stamp_ns)
        due = [name for name in self._cameras if self._image_is_due(name)]
        if due:
            shot = Shot(snapshot(), stamp_ns, scene.simulation.action, self._segment_id)
            for name in due:
                scene.put(name, shot)
        self._ticks += 1

    def _image_is_due(self, camera: str) -> bool:
        """Say whether a camera's picture is due; the wrist's one tick early, so that the other finds a fresh one."""
        per_tick, ticks = self.parameters.image_rate_hz * TICK_NS / 1e9, self._ticks + (camera == WRIST)
        return int(ticks * per_tick) != int((ticks - 1) * per_tick) or self._ticks == 0

    def _skipped_with(self, scene: Scene | None) -> dict[str, int]:
        """Return how many pictures each camera has skipped, those of the running scene included."""
        return {name: n + (0 if scene is None else scene.skipped(name)) for name, n in self._skipped.items()}

    # --- the executor's thread ----------------------------------------------------------------------------------------

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _report(self) -> None:
        scene = self._scene
        skipped = self._skipped_with(scene)
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
            "images": str(self._topics.images[FRONT]),
            "images_skipped": str(skipped[FRONT]),
            "images_skipped_new": str(skipped[FRONT] - skipped_before[FRONT]),
            "render_ms": f"{self._topics.render_ms:.1f}",
        }
        if WRIST in skipped:
            values["wrist_images"] = str(self._topics.images[WRIST])
            values["wrist_images_skipped"] = str(skipped[WRIST])
        status = DiagnosticStatus(level=level, name=f"{full_name(self)}: simulation", message=message)
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        report = DiagnosticArray(status=[status])
        report.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(report)


def _trouble(parameters: RobotParameters) -> Disturbances | None:
    """Return what disturbs a driven robot; None for one that follows its script."""
    return None if not parameters.driven else USUAL if parameters.disturbed else NONE


def _specs(parameters: RobotParameters) -> Iterator[EpisodeSpec]:
    recipes = [parameters.recipe] if parameters.recipe else list(RECIPES)
    for seed in itertools.count(parameters.seed):
        yield episode(recipes[seed % len(recipes)], seed, parameters.level)
