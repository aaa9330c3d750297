"""What an episode looks like: colours, textures, camera, lights. Never anything that physics or controller read."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hal_ros.core.arrays import ByteArray

Vector = NDArray[np.float64]
Colour = tuple[float, float, float]
Range = tuple[float, float]
TEXTURE_PX = 256


@dataclass(frozen=True)
class Look:
    """Colours are RGB 0..1 by the part's name; the camera looks from `camera` at `target`, metres."""

    colours: Mapping[str, Colour]
    table: ByteArray  # (256, 256, 3)
    wall: ByteArray
    floor: ByteArray
    camera: Vector
    target: Vector
    fovy_deg: float
    ambient: Vector
    headlight: Vector
    key_light: Vector  # colour
    key_position: Vector
    fill_light: Vector
    noise_sigma: float  # of the sensor, grey levels
    has_person: bool
    edge_shapes: tuple[str, ...]


def draw(rng: np.random.Generator, level: str) -> Look:
    """Draw the look of an episode at a level: 'default' is one workcell, 'hard' a new room every time."""
    return _hard(rng) if level == "hard" else _default(rng)


def _hsv(rng: np.random.Generator, hue: Range, sat: Range, val: Range) -> Colour:
    r, g, b = colorsys.hsv_to_rgb(rng.uniform(*hue) % 1.0, rng.uniform(*sat), rng.uniform(*val))
    return (float(r), float(g), float(b))


def _item_colours(rng: np.random.Generator) -> dict[str, Colour]:
    """Colours that make an object what it is called, the same at every level."""
    return {
        "red": _hsv(rng, (-0.025, 0.025), (0.8, 0.95), (0.65, 0.9)),
        "blue": _hsv(rng, (0.58, 0.66), (0.75, 0.95), (0.55, 0.9)),
        "green": _hsv(rng, (0.27, 0.38), (0.6, 0.85), (0.45, 0.7)),
        "ball": _hsv(rng, (0.11, 0.15), (0.85, 1.0), (0.9, 1.0)),
    }


def _default(rng: np.random.Generator) -> Look:
    workcell = np.random.default_rng(7)  # the room itself is the same in every episode
    grey = float(rng.uniform(0.9, 1.0))
    colours = _item_colours(rng) | {
        "plate": (grey, grey, 0.97 * grey),
        "plate_rim": (0.75 * grey, 0.78 * grey, 0.85 * grey),
        "tray": _hsv(rng, (0.07, 0.1), (0.55, 0.75), (0.3, 0.45)),
        "bowl": _hsv(rng, (0.45, 0.52), (0.35, 0.6), (0.5, 0.75)),
        "cup": _hsv(rng, (0.75, 0.85), (0.2, 0.45), (0.55, 0.8)),
        "pedestal": _hsv(rng, (0.55, 0.6), (0.05, 0.2), (0.25, 0.4)),
        "cap": _hsv(rng, (0.9, 0.95), (0.5, 0.7), (0.4, 0.55)),
        "cabinet": _hsv(rng, (0.08, 0.11), (0.25, 0.4), (0.55, 0.7)),
        "drawer": _hsv(rng, (0.08, 0.11), (0.15, 0.3), (0.7, 0.85)),
        "shirt": _hsv(rng, (0.0, 1.0), (0.1, 0.6), (0.25, 0.7)),
        "trousers": _hsv(rng, (0.55, 0.65), (0.1, 0.4), (0.15, 0.35)),
    }
    colours |= {f"box_{i}": _hsv(rng, (0.0, 1.0), (0.1, 0.6), (0.3, 0.75)) for i in range(8)}
    wood, stone, cloth = ("wood", (150, 112, 76)), ("cloud", (132, 136, 138)), ("cloth", (104, 122, 116))
    tables = (wood, ("wood", (176, 146, 108)), stone, cloth)
    kind, base = tables[int(rng.integers(len(tables)))]
    return Look(
        colours=colours,
        table=texture(rng, kind, np.array(base, float) * rng.uniform(0.9, 1.1)),
        wall=texture(workcell, "cloud", np.array([168.0, 172, 170])),
        floor=texture(workcell, "cloud", np.array([92.0, 94, 98])),
        camera=np.array([0.95, 0.0, 0.56]) + rng.uniform(-0.015, 0.015, 3),
        target=np.array([0.205, 0.0, 0.085]) + rng.uniform(-0.008, 0.008, 3),
        fovy_deg=float(rng.uniform(36.0, 37.0)),
        ambient=np.full(3, rng.uniform(0.28, 0.42)),
        headlight=np.full(3, rng.uniform(0.15, 0.3)),
        key_light=rng.uniform(0.55, 0.8) * np.array([1.0, rng.uniform(0.92, 1.0), rng.uniform(0.82, 1.0)]),
        key_position=np.array([rng.uniform(0.1, 0.9), rng.uniform(-0.8, 0.8), 1.6]),
        fill_light=np.full(3, rng.uniform(0.05, 0.2)),
        noise_sigma=float(rng.uniform(1.5, 3.5)),
        has_person=bool(rng.random() < 0.8),
        edge_shapes=tuple(str(s) for s in rng.choice(("box", "cylinder", "ellipsoid"), 5)),
    )


def _hard(rng: np.random.Generator) -> Look:
    def any_colour() -> Colour:
        return _hsv(rng, (0.0, 1.0), (0.1, 0.8), (0.2, 0.95))

    names = ("plate", "plate_rim", "tray", "bowl", "cup", "pedestal", "cap", "cabinet", "drawer", "shirt", "trousers")
    colours = _item_colours(rng) | {name: any_colour() for name in (*names, *(f"box_{i}" for i in range(8)))}
    kinds = ("wood", "cloth", "cloud")
    table, wall, floor = (texture(rng, str(rng.choice(kinds)), rng.uniform(60, 200, 3)) for _ in range(3))
    return Look(
        colours=colours,
        table=table,
        wall=wall,
        floor=floor,
        camera=np.array([rng.uniform(0.85, 1.05), rng.uniform(-0.45, 0.45), rng.uniform(0.45, 0.75)]),
        target=np.array([0.24, 0.0, 0.06]) + rng.uniform(-0.03, 0.03, 3),
        fovy_deg=float(rng.uniform(37.0, 45.0)),
        ambient=rng.uniform(0.15, 0.35, 3),
        headlight=rng.uniform(0.1, 0.3, 3),
        key_light=rng.uniform(0.45, 0.9, 3),
        key_position=np.array([rng.uniform(-0.2, 1.0), rng.uniform(-1.0, 1.0), rng.uniform(1.2, 2.0)]),
        fill_light=rng.uniform(0.05, 0.25, 3),
        noise_sigma=float(rng.uniform(1.5, 5.0)),
        has_person=bool(rng.random() < 0.8),
        edge_shapes=tuple(str(s) for s in rng.choice(("box", "cylinder", "ellipsoid"), 5)),
    )


def texture(rng: np.random.Generator, kind: str, base: Vector) -> ByteArray:
    """Return a procedural texture (256, 256, 3): 'wood' grain, woven 'cloth' or soft 'cloud' stains about a colour."""
    side = TEXTURE_PX
    if kind == "wood":
        grain = np.cumsum(rng.normal(0, 1, side))
        grain = (grain - grain.mean()) / grain.std()
        bend = 0.3 * np.sin(np.linspace(0, rng.uniform(3, 9), side))[:, None]
        shade = 14 * np.sin(3 * (grain[None] + bend) + rng.normal(0, 0.12, (side, side)))
    elif kind == "cloth":
        weave = (np.indices((side, side)) // int(rng.integers(3, 8))).sum(0) % 2
        shade = weave * rng.uniform(8, 22) + rng.normal(0, 4, (side, side))
    else:
        coarse = rng.normal(0, 1, (8, 8)).astype(np.float32)
        shade = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC) * rng.uniform(4, 10)
        shade = shade + rng.normal(0, 2, (side, side))
    return np.clip(base[None, None] + shade[..., None], 0, 255).astype(np.uint8)
