"""One simulated episode: physics, controller and labels at 100 Hz. Renders nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from hal_ros.core.answers import Segment
from hal_ros.sim.arm import Vector
from hal_ros.sim.benchmark import RECIPES, EpisodeSpec
from hal_ros.sim.checks import Claim, Monitor
from hal_ros.sim.controller import Controller
from hal_ros.sim.random_streams import stream
from hal_ros.sim.sensors import Encoders, JointSample
from hal_ros.sim.tasks import Tasks
from hal_ros.sim.world import layout, look, scene
from hal_ros.sim.world.physics import Physics
from hal_ros.sim.world.room import Background

TICK_NS = 10_000_000
Script = Callable[[Controller, Physics], Iterator[None]]
"""Makes the motion of an episode: one step per control tick."""


class Snapshot(NamedTuple):
    """A copied state of the world at one time; all that a renderer needs."""

    time_ns: int
    qpos: Vector  # (nq,)
    mocap: Vector  # (M, 3) positions of the moving background
    lamp_on: bool
    light_gain: float
    screen: Vector  # (3,) RGB 0..1
    camera_shake: Vector  # (3,) metres


class Simulation:
    """One episode. Same spec, same joints and labels, byte for byte; the level changes only what is rendered.

    It does the recipe's macros, or what another script makes of controller and physics.
    """

    def __init__(self, spec: EpisodeSpec, script: Script | None = None) -> None:
        self.spec = spec
        macros = RECIPES[spec.recipe]
        self.layout = layout.draw(macros, stream(spec.seed, "layout"))
        self.look = look.draw(stream(spec.seed, "appearance"), spec.level)
        self.model = scene.build(self.layout, self.look)
        self._controller = Controller(stream(spec.seed, "controller"))
        self._physics = Physics(self.model, self.layout, self._controller.angles)
        self._controller.physics = self._physics
        self._script: Iterator[None] | None = (
            Tasks(self._controller, self._physics).run(macros)
            if script is None
            else script(self._controller, self._physics)
        )
        self._encoders = Encoders(stream(spec.seed, "encoders"))
        self._background = Background(self.model, stream(spec.seed, "background"))
        self._monitor = Monitor(self._physics)
        self._segments: list[Segment] = []
        self._segment_start_ns = 0
        self.time_ns = 0
        self.action = self._controller.action
        self._sample = self._read_encoders()

    def step(self) -> bool:
        """Advance by 10 ms; False when the script has ended, and then nothing has changed any more."""
        if self._script is None:
            return False
        if not self._advance_script():
            return False
        self._controller.apply()
        self._physics.advance()
        self.time_ns += TICK_NS
        self._monitor.observe()
        self._sample = self._read_encoders()
        return True

    def joints(self) -> JointSample:
        """Return the encoders' sample of this tick, (7,) each; NaN where values were lost."""
        return self._sample

    def segments(self) -> tuple[Segment, ...]:
        """Return the segments so far, the running one included; they start at 0 and leave no gaps."""
        running = Segment(self.action, self._segment_start_ns, self.time_ns)
        return (*self._segments, running) if self.time_ns > self._segment_start_ns else tuple(self._segments)

    def claims(self) -> tuple[Claim, ...]:
        """Return the physical check of every ended segment."""
        return tuple(self._monitor.claims)

    @property
    def physics(self) -> Physics:
        """The physical state of now, for sensors to look at."""
        return self._physics

    @property
    def worst_miss_m(self) -> float:
        """The largest error of inverse kinematics at any planned waypoint so far, metres."""
        return self._controller.worst_miss

    def snapshot(self) -> Snapshot:
        """Copy what a renderer needs; it may be used in another thread while the simulation goes on."""
        t = self.time_ns * 1e-9
        return Snapshot(
            time_ns=self.time_ns,
            qpos=self._physics.data.qpos.copy(),
            mocap=self._background.mocap(t),
            lamp_on=self._physics.lamp_on(),
            light_gain=self._background.light_gain(t),
            screen=self._background.screen(t),
            camera_shake=self._background.camera_shake(t),
        )

    def _advance_script(self) -> bool:
        """Let the controller decide this tick's command and label; False at the script's end."""
        assert self._script is not None
        for _ in self._script:
            break
        else:
            self._close_segment()
            self._script = None
            return False
        if self._controller.action != self.action:
            self._close_segment()
            self.action = self._controller.action
        return True

    def _close_segment(self) -> None:
        self._segments.append(Segment(self.action, self._segment_start_ns, self.time_ns))
        self._monitor.end(self.action, self._segment_start_ns, self.time_ns)
        self._segment_start_ns = self.time_ns

    def _read_encoders(self) -> JointSample:
        p, d = self._physics, self._physics.data
        dofs = p.joint_dofs
        return self._encoders.sample(self.time_ns, d.qpos[p.joint_qpos], d.qvel[dofs], d.qfrc_actuator[dofs])
