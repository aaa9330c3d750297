"""One episode of the simulated robot: its simulation, and each camera's renderer in a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from hal_ros.core.errors import HalError
from hal_ros.runtime.worker import Worker
from hal_ros.sim.benchmark import EpisodeSpec
from hal_ros.sim.driven.disturbances import Disturbances
from hal_ros.sim.driven.executor import Executor
from hal_ros.sim.episode import Simulation, Snapshot
from hal_ros.sim.random_streams import stream
from hal_ros.sim.render import FRONT, Renderer
from hal_ros.sim.sensors import ToolSensors

RENDER_TIMEOUT_S = 60.0


class Shot(NamedTuple):
    """One picture to take, and the truth about it."""

    snapshot: Snapshot
    stamp_ns: int
    action: str
    segment_id: int


@dataclass(frozen=True)
class Picture:
    """What a camera took of a shot, and how long the rendering took."""

    pixels: Any  # (H, W, 3) RGB uint8
    vertical_fov_rad: float
    shot: Shot
    render_ms: float


@dataclass(frozen=True)
class CameraPlan:
    """How one camera renders, and who takes its pictures, in the camera's thread."""

    name: str  # FRONT or WRIST
    width_px: int
    height_px: int
    shadows: bool
    publish: Callable[[Picture], None]


class Camera:
    """A renderer in a thread of its own, which keeps only the newest shot that waits."""

    def __init__(self, simulation: Simulation, plan: CameraPlan, fail: Callable[[Exception], None]) -> None:
        """Open the renderer; raises HalError when nothing can be rendered."""
        self._simulation, self._plan = simulation, plan
        self._renderer: Renderer | None = None
        self.worker = Worker[Shot](self._take, fail, f"{plan.name} camera", at_end=self._free)
        self.worker.start()
        if not self.worker.call(self._open, RENDER_TIMEOUT_S):
            name = simulation.spec.name
            raise HalError(f"the renderer of episode {name}, {plan.name} camera, could not be made")

    def _open(self) -> None:
        plan = self._plan
        self._renderer = Renderer(self._simulation, plan.width_px, plan.height_px, plan.shadows, plan.name)
        self._renderer.render(self._simulation.snapshot())  # the first picture uploads the scene

    def _free(self) -> None:
        if self._renderer is not None:
            self._renderer.close()

    def _take(self, shot: Shot) -> None:
        assert self._renderer is not None  # the thread opens it before anything else
        began_ns = time.perf_counter_ns()
        pixels = self._renderer.render(shot.snapshot)
        render_ms = (time.perf_counter_ns() - began_ns) / 1e6
        self._plan.publish(Picture(pixels, self._renderer.vertical_fov_rad, shot, render_ms))


class Scene:
    """One episode's simulation, its cameras by name, and the sensors at its wrist."""

    def __init__(
        self,
        spec: EpisodeSpec,
        plans: Mapping[str, CameraPlan],
        fail: Callable[[Exception], None],
        driven: Disturbances | None = None,
    ) -> None:
        """Build all, with an executor to be driven under some disturbances or without; HalError without a renderer."""
        self.executor = None if driven is None else Executor(spec.seed, driven)
        self.simulation = Simulation(spec, None if self.executor is None else self.executor.script)
        self.tool = ToolSensors(self.simulation.physics, stream(spec.seed, "tool_sensors"))
        self.running = True
        self._cameras: dict[str, Camera] = {}
        try:
            for name, plan in plans.items():
                self._cameras[name] = Camera(self.simulation, plan, fail)
        except HalError:
            self.close()
            raise

    def put(self, camera: str, shot: Shot) -> None:
        """Have a picture taken, in the camera's own time."""
        self._cameras[camera].worker.put(shot)

    def skipped(self, camera: str = FRONT) -> int:
        """Return how many pictures of a camera were not taken, as the next was due already."""
        return self._cameras[camera].worker.overwritten if camera in self._cameras else 0

    def close(self) -> None:
        """Take the pictures that still wait, and free the renderers."""
        for camera in self._cameras.values():
            camera.worker.stop(RENDER_TIMEOUT_S, drain=True)
