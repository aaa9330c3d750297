"""The simulated robot: a six-jointed arm on a tabletop, with real physics and labels by construction."""

import ctypes
import os


def _choose_gl() -> str:
    """Return MuJoCo's GL backend: EGL where its library loads, none elsewhere, so that physics runs without it."""
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError:
        return "disable"
    return "egl"


# MuJoCo reads MUJOCO_GL once, when it is first imported; one rasteriser thread per process is the fastest on few cores.
if "MUJOCO_GL" not in os.environ:
    os.environ["MUJOCO_GL"] = _choose_gl()
os.environ.setdefault("LP_NUM_THREADS", "1")
