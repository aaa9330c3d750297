"""The room behind the table, and how its people and things move: a function of time alone, invisible to physics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np

from hal_ros.sim.world.look import Colour, Look, Vector

BELT_BOXES = 4
FLOOR_Z = -0.72
_BELT_X, _BELT_Z, _BELT_HALF = -0.62, -0.14, 1.3


def room(look: Look, edge_items: Sequence[tuple[float, float]]) -> str:
    """Return the MJCF of floor, wall, shelf, screen, conveyor, person and of still things at the table's far edge."""
    c = look.colours
    return "".join(
        (
            _box((4, 4, 0.02), (0, 0, FLOOR_Z - 0.02), material="floor"),
            _box((0.02, 3.5, 1.6), (-1.6, 0, FLOOR_Z + 1.6), material="wall"),
            _conveyor(),
            _screen(),
            _shelf(c),
            _person(c) if look.has_person else "",
            "".join(_belt_box(i, c[f"box_{i}"]) for i in range(BELT_BOXES)),
            "".join(
                _edge_item(look.edge_shapes[i % len(look.edge_shapes)], xy, c[f"box_{4 + i % 4}"])
                for i, xy in enumerate(edge_items)
            ),
        )
    )


def _v(values: Any) -> str:
    return " ".join(f"{float(v):.5g}" for v in values)


def _box(size: Any, pos: Any, rgba: Colour | None = None, material: str = "", name: str = "") -> str:
    paint = f'material="{material}"' if material else f'rgba="{_v(rgba or (0.5, 0.5, 0.5))} 1"'
    label = f'name="{name}" ' if name else ""
    return f'<geom class="deco" {label}type="box" size="{_v(size)}" pos="{_v(pos)}" {paint}/>'


def _conveyor() -> str:
    legs = "".join(
        _box((0.03, 0.03, (_BELT_Z - FLOOR_Z) / 2), (_BELT_X, y, (_BELT_Z + FLOOR_Z) / 2), (0.3, 0.3, 0.32))
        for y in (-1.2, 0.0, 1.2)
    )
    return legs + _box((0.13, _BELT_HALF + 0.15, 0.02), (_BELT_X, 0, _BELT_Z - 0.02), (0.16, 0.16, 0.17))


def _screen() -> str:
    stand = _box((0.02, 0.02, 0.36), (-1.32, 0.55, FLOOR_Z + 0.36), (0.2, 0.2, 0.2))
    return stand + _box((0.015, 0.3, 0.18), (-1.3, 0.55, 0.0), (0.2, 0.3, 0.5), name="screen")


def _shelf(c: Any) -> str:
    wood = (0.45, 0.4, 0.34)
    boards = "".join(_box((0.14, 0.45, 0.012), (-1.42, -0.6, z), wood) for z in (-0.6, -0.3, 0.0, 0.3))
    sides = "".join(_box((0.14, 0.012, 0.55), (-1.42, y, FLOOR_Z + 0.55), wood) for y in (-1.05, -0.15))
    goods = "".join(
        _box((0.07, 0.06, 0.08), (-1.4, -0.95 + 0.19 * i, 0.3 * (i % 2) - 0.208), c[f"box_{i}"]) for i in range(5)
    )
    return boards + sides + goods


def _person(c: Any) -> str:
    """A standing person about 1.75 m tall: legs, trunk, arms, head; the body's frame is on the floor."""
    shirt, trousers = (f'rgba="{_v(c[name])} 1"' for name in ("shirt", "trousers"))
    skin = 'rgba="0.72 0.55 0.45 1"'
    limbs = "".join(
        f'<geom class="deco" type="capsule" size="0.075" fromto="0 {s * 0.1} 0.08 0 {s * 0.09} 0.85" {trousers}/>'
        f'<geom class="deco" type="capsule" size="0.045" fromto="0 {s * 0.24} 1.4 0.12 {s * 0.25} 0.95" {shirt}/>'
        f'<geom class="deco" type="sphere" size="0.05" pos="0.14 {s * 0.25} 0.9" {skin}/>'
        for s in (-1, 1)
    )
    trunk = f'<geom class="deco" type="ellipsoid" size="0.13 0.2 0.34" pos="0 0 1.15" {shirt}/>'
    head = f'<geom class="deco" type="sphere" size="0.11" pos="0 0 1.63" {skin}/>'
    return f'<body name="person" mocap="true" pos="-1 2 {FLOOR_Z}">{limbs}{trunk}{head}</body>'


def _belt_box(index: int, colour: Colour) -> str:
    size = (0.06, 0.05 + 0.012 * (index % 3), 0.05 + 0.02 * (index % 2))
    box = _box(size, (0, 0, size[2]), colour)
    return f'<body name="belt_{index}" mocap="true" pos="{_BELT_X} {index} {_BELT_Z}">{box}</body>'


def _edge_item(shape: str, xy: tuple[float, float], colour: Colour) -> str:
    size = {"box": (0.025, 0.035, 0.03), "cylinder": (0.025, 0.035, 0), "ellipsoid": (0.03, 0.03, 0.028)}[shape]
    height = size[1] if shape == "cylinder" else size[2]
    return f'<geom class="deco" type="{shape}" size="{_v(size)}" pos="{_v(xy)} {height}" rgba="{_v(colour)} 1"/>'


class Background:
    """Where the moving things of the room are, and how light, camera and screen waver, at any time of the episode."""

    def __init__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        self._phase = rng.uniform(0, 2 * math.pi, 16)
        self._rate = rng.uniform(0.3, 1.0, 16)
        self._belt_speed = float(rng.uniform(0.05, 0.2))
        self._drift = float(rng.uniform(0.02, 0.1))  # relative amplitude of slow light changes
        self._ids = {
            model.body(i).name: int(model.body_mocapid[i]) for i in range(model.nbody) if model.body_mocapid[i] >= 0
        }

    def mocap(self, t: float) -> Vector:
        """Return the positions (M, 3) of the model's mocap bodies at t seconds."""
        positions = np.zeros((len(self._ids), 3))
        p, r = self._phase, self._rate
        for name, index in self._ids.items():
            if name == "person":
                sway = math.sin(0.45 * r[0] * t + p[0]) + 0.5 * math.sin(0.9 * r[1] * t + p[1])
                positions[index] = (-1.0 + 0.08 * math.sin(r[2] * t + p[2]), 0.85 * sway, FLOOR_Z)
            else:
                number = int(name.rsplit("_", 1)[1])
                along = (self._belt_speed * t + 0.65 * number + 0.2 * p[3]) % (2 * _BELT_HALF)
                positions[index] = (_BELT_X, along - _BELT_HALF, _BELT_Z)
        return positions

    def light_gain(self, t: float) -> float:
        """Return the factor on the key light at t seconds."""
        p, r = self._phase, self._rate
        return 1 + self._drift * math.sin(0.7 * r[4] * t + p[4]) + 0.015 * math.sin(9 * t + p[5])

    def screen(self, t: float) -> Vector:
        """Return the RGB colour of the screen at t seconds; it changes every 1.5 s or so."""
        return np.asarray(0.45 + 0.4 * np.sin(self._rate[6:9] * 2 * math.floor(0.7 * t) + self._phase[6:9]))

    def camera_shake(self, t: float) -> Vector:
        """Return the camera's displacement (3,) in metres at t seconds, under a millimetre."""
        return np.asarray(0.0008 * np.sin(np.array([5.1, 6.3, 7.7]) * t + self._phase[9:12]))
