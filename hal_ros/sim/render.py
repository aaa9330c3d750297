"""Pictures of snapshots: MuJoCo's rasteriser on EGL, on a model and data of its own, plus a camera's noise."""

from __future__ import annotations

import copy
import os
from types import TracebackType

import cv2
import mujoco
import numpy as np

from hal_ros.core.arrays import ByteArray
from hal_ros.core.errors import HalError
from hal_ros.sim.episode import Simulation, Snapshot
from hal_ros.sim.random_streams import stream

FRONT, WRIST = "front", "wrist"
"""The cameras: one stands before the table, the other moves with the gripper."""
_NOISE = {FRONT: "image_noise", WRIST: "wrist_image_noise"}
_NOISE_PICTURES = 4
_WRIST_NEAR_M = 0.008  # the fingers are nearer to the wrist camera than anything ever is to the other one


class Renderer:
    """Owns a GL context; use it from the thread that made it. It shares nothing with the running simulation."""

    def __init__(
        self, simulation: Simulation, width_px: int, height_px: int, shadows: bool = False, camera: str = FRONT
    ) -> None:
        """Upload the scene for one of its cameras, FRONT or WRIST; raises HalError when nothing can be rendered."""
        check_gl()
        self._model = copy.copy(simulation.model)  # lights, camera and lamp are changed here
        self._model.vis.global_.offwidth, self._model.vis.global_.offheight = width_px, height_px
        self._shakes = camera == FRONT
        if not self._shakes:
            self._model.vis.map.znear = _WRIST_NEAR_M
        self._data = mujoco.MjData(self._model)
        self._renderer = mujoco.Renderer(self._model, height_px, width_px, max_geom=400)
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._camera = self._model.camera(camera).id
        self._camera_pos = self._model.cam_pos[self._camera].copy()
        self._light = self._model.light("key").id
        self._diffuse = self._model.light_diffuse[self._light].copy()
        self._screen = self._model.geom("screen").id
        names = [self._model.geom(i).name for i in range(self._model.ngeom)]
        self._lamp = names.index("lamp") if "lamp" in names else None
        self._lamp_materials = (self._model.material("lamp_off").id, self._model.material("lamp_on").id)
        self._seed = simulation.spec.seed
        rng = stream(self._seed, _NOISE[camera])
        self._noise = _noise_bank(rng, simulation.look.noise_sigma, height_px, width_px)
        self.vertical_fov_rad = float(np.deg2rad(self._model.cam_fovy[self._camera]))

    def render(self, snapshot: Snapshot) -> ByteArray:
        """Return the camera's picture (H, W, 3) RGB uint8; a pure function of the snapshot and the episode's seed."""
        model, data = self._model, self._data
        data.qpos[:] = snapshot.qpos
        data.mocap_pos[:] = snapshot.mocap
        if self._shakes:
            model.cam_pos[self._camera] = self._camera_pos + snapshot.camera_shake
        model.light_diffuse[self._light] = self._diffuse * snapshot.light_gain
        model.geom_rgba[self._screen, :3] = snapshot.screen
        if self._lamp is not None:
            model.geom_matid[self._lamp] = self._lamp_materials[snapshot.lamp_on]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        self._renderer.update_scene(data, self._camera)
        return self._with_noise(self._renderer.render(), snapshot.time_ns)

    def _with_noise(self, picture: ByteArray, time_ns: int) -> ByteArray:
        """Add one picture of the noise bank, shifted by amounts that follow from the time alone."""
        height, width = picture.shape[:2]
        mixed = (time_ns // 1_000_000 * 2_654_435_761 + self._seed) & 0xFFFFFFFF
        bright, dark = self._noise[mixed % _NOISE_PICTURES]
        top, left = (mixed >> 8) % height, (mixed >> 20) % width
        window = np.s_[top : top + height, left : left + width]
        return np.asarray(cv2.subtract(cv2.add(picture, bright[window]), dark[window]), dtype=np.uint8)

    def close(self) -> None:
        """Free the GL context."""
        self._renderer.close()

    def __enter__(self) -> Renderer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _noise_bank(
    rng: np.random.Generator, sigma: float, height_px: int, width_px: int
) -> list[tuple[ByteArray, ByteArray]]:
    """Return pairs of what brightens and what darkens, twice the picture's size, so that a shift is only a view."""
    bank = []
    for _ in range(_NOISE_PICTURES):
        grey = rng.standard_normal((height_px, width_px), dtype=np.float32)[..., None]
        noise = sigma * (0.8 * grey + 0.6 * rng.standard_normal((height_px, width_px, 3), dtype=np.float32))
        noise = np.tile(np.rint(noise), (2, 2, 1))
        bank.append((np.maximum(noise, 0).astype(np.uint8), np.maximum(-noise, 0).astype(np.uint8)))
    return bank


def check_gl() -> None:
    """Raise HalError, naming the apt packages or the variable to set, unless a picture can be rendered here."""
    try:
        backend = mujoco.GLContext.__module__
        if backend.endswith("glfw") and not os.environ.get("DISPLAY"):
            raise HalError("can't render: MuJoCo chose a window, and there is no DISPLAY; expected MUJOCO_GL=egl")
        context = mujoco.GLContext(16, 16)
        context.make_current()
        context.free()
    except HalError:
        raise
    except Exception as error:  # the GL bindings raise whatever they like, from ImportError to AttributeError
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise HalError(
            f"can't render: no EGL context ({cause}); expected the apt packages libegl1 and libgl1-mesa-dri"
        ) from error
