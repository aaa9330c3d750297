"""What stands where on the table: slots, filled in an order that is drawn anew in every episode."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

# Slot centres in metres, robot base at the origin, x towards the camera. Cup and bowl need the far row: the gripper
# takes the cup from the side, and has no room for that near its own base.
NEAR_X, FAR_X = 0.205, 0.327
COLUMNS_Y = (-0.18, -0.06, 0.06, 0.18)
JITTER_M = 0.012
DRAWER_Y = 0.2

BLOCKS = ("red", "blue", "green")
_FAR_ONLY = ("cup", "bowl")

# Half of the side of the square that each station keeps to itself.
_FOOTPRINT = {"plate": 0.061, "tray": 0.058, "bowl": 0.061, "button": 0.043, "cup": 0.03}
_BLOCK_FOOTPRINT = 0.03
_DRAWER_FOOTPRINT = 0.068

SURFACE_Z = 0.012  # top of the plate and of the tray's floor
CUP_HEIGHT = 0.065
CUP_RADIUS = 0.027
BOWL_RADIUS = 0.06
BALL_RADIUS = 0.0085
BALL_COUNT = 8
DRAWER_TRAVEL = 0.12
BUTTON_TRAVEL = 0.008
CAP_HEIGHT = 0.014  # of the button above its pedestal


@dataclass(frozen=True)
class Block:
    """A cube that can be picked."""

    xy: tuple[float, float]
    yaw: float
    half: float  # half its side


@dataclass(frozen=True)
class TableLayout:
    """Places in metres; a station that is absent from `places` does not exist in the episode."""

    places: Mapping[str, tuple[float, float]]
    blocks: Mapping[str, Block]
    pedestal_height: float
    drawer_side: int  # +1 left of the robot (y > 0), -1 right, 0 no drawer
    drawer_x: float  # of the closed drawer's handle
    balls_in: str  # "cup", "bowl" or "" for no balls
    edge_items: tuple[tuple[float, float], ...] = field(default=())

    @property
    def drawer_y(self) -> float:
        """Centre line of the drawer."""
        return self.drawer_side * DRAWER_Y


def stations(macros: Sequence[str]) -> tuple[str, ...]:
    """Return the stations that a recipe needs; whoever needs one block or receptacle gets both, to choose by sight."""
    text = " ".join(macros)
    needed: list[str] = []
    if "_to_" in text:
        needed += ["red", "blue", "plate", "tray"]
    if "press" in text or "hover" in text:
        needed.append("button")
    if "pour" in text or "tilt" in text:
        needed += ["cup", "bowl"]
    return tuple(needed)


def draw(macros: Sequence[str], rng: np.random.Generator) -> TableLayout:
    """Draw a layout for a recipe: anew, until no station stands in another's or in the drawer's way."""
    drawer_side = int(rng.choice((-1, 1))) if "open" in macros else 0
    names = list(stations(macros))
    if "red" not in names:
        names += [name for name in ("red", "blue") if rng.random() < 0.5]
    names += ["green"] * int(rng.random() < 0.6)
    places = _fill_slots(names, drawer_side, rng)
    while not _apart(places, drawer_side):
        places = _fill_slots(names, drawer_side, rng)
    blocks = {
        name: Block(places.pop(name), float(rng.uniform(-0.6, 0.6)), float(rng.uniform(0.0185, 0.0215)))
        for name in BLOCKS
        if name in places
    }
    balls = "" if "cup" not in places else "cup" if "pour" in macros else str(rng.choice(("", "bowl")))
    return TableLayout(
        places=places,
        blocks=blocks,
        pedestal_height=float(rng.uniform(0.022, 0.055)),
        drawer_side=drawer_side,
        drawer_x=float(rng.uniform(0.235, 0.245)),
        balls_in=balls,
        edge_items=tuple(
            (float(rng.uniform(-0.17, -0.08)), float(y) + float(rng.uniform(-0.02, 0.02)))
            for y in rng.choice((-0.42, -0.3, -0.18, 0.18, 0.3, 0.42), int(rng.integers(1, 5)), replace=False)
        ),
    )


def _fill_slots(names: Sequence[str], drawer_side: int, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Return a place for every name: a slot of its own, and a small shift."""
    columns = [y for y in COLUMNS_Y if not drawer_side or y * drawer_side < 0.15]
    near, far = [(NEAR_X, y) for y in columns], [(FAR_X, y) for y in columns]
    rng.shuffle(far)
    chosen = {name: far.pop() for name in names if name in _FAR_ONLY}
    free = far + near
    rng.shuffle(free)
    chosen.update(zip((name for name in names if name not in _FAR_ONLY), free, strict=False))
    return {
        name: (x + float(rng.uniform(-1, 1)) * JITTER_M, y + float(rng.uniform(-1, 1)) * JITTER_M)
        for name, (x, y) in chosen.items()
    }


def _apart(places: Mapping[str, tuple[float, float]], drawer_side: int) -> bool:
    """Tell whether all footprints are clear of each other and of the drawer's whole way."""
    squares = [(x, y, _FOOTPRINT.get(name, _BLOCK_FOOTPRINT)) for name, (x, y) in places.items()]
    if drawer_side and any(abs(y - drawer_side * DRAWER_Y) < half + _DRAWER_FOOTPRINT for _, y, half in squares):
        return False
    return all(
        max(abs(xa - xb), abs(ya - yb)) > ha + hb
        for i, (xa, ya, ha) in enumerate(squares)
        for xb, yb, hb in squares[:i]
    )


def cup_yaw(xy: tuple[float, float]) -> float:
    """Return the direction in which the gripper takes the cup at xy: away from the robot's base."""
    return math.atan2(xy[1], xy[0])
