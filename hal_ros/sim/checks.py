"""Physical checks: for every action that a label claims, whether the world shows it.

A monitor looks at the physics in every control tick and knows nothing of the controller.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hal_ros.sim.world import layout as table_layout
from hal_ros.sim.world.physics import Physics

LIFTED = 0.05  # metres between table and a picked block's lowest face
TILTED = 1.6  # radians
POURED = 0.9  # share of the balls


class Claim(NamedTuple):
    """One labelled segment and whether the physics agrees; `why` names the measured value."""

    action: str
    start_ns: int
    end_ns: int
    held: bool
    why: str


class Monitor:
    """Collects what a segment needs for its check, and judges it when it ends."""

    def __init__(self, physics: Physics) -> None:
        self._p = physics
        self.claims: list[Claim] = []
        self._begin()
        self._cup_home = self._cup

    def _begin(self) -> None:
        p = self._p
        self._blocks = {name: p.position(name).copy() for name in p.layout.blocks}
        self._cup = p.position("cup").copy() if p.has("cup") else np.zeros(3)
        self._balls = p.balls_in_cup() if p.has("cup") else 0
        self._tip = p.tip().copy()
        self._wander = self._travel = self._tilt = self._rise = 0.0
        self._lowest, self._closest = 1.0, 1.0
        self._lit_ticks = 0

    def observe(self) -> None:
        """Look at the physics after a control tick."""
        p = self._p
        tip = p.tip()
        self._wander = max(self._wander, float(np.linalg.norm(tip - self._tip)))
        heights = [p.bottom(name) for name in p.layout.blocks]
        self._rise = max([self._rise, *(float(p.position(n)[2] - self._blocks[n][2]) for n in self._blocks)])
        if p.has("cup"):
            self._tilt = max(self._tilt, p.cup_tilt())
            heights.append(float(p.position("cup")[2]))
        self._lowest = min(self._lowest, max(heights, default=0.0))
        if p.has("button"):
            self._travel = max(self._travel, p.button_travel())
            self._lit_ticks += p.lamp_on()
            self._closest = min(self._closest, float(np.linalg.norm(tip - p.position("button"))))

    def end(self, action: str, start_ns: int, end_ns: int) -> None:
        """Judge the segment that ended now, and begin the next one."""
        held, why = self.judge(action)
        self.claims.append(Claim(action, start_ns, end_ns, bool(held), why))
        self._begin()

    def judge(self, action: str) -> tuple[bool, str]:
        """Return whether the segment so far is this action, and the measured value that says so."""
        name, _, rest = action.partition("_")
        if action in ("pick_red", "pick_blue"):
            return self._picked(rest)
        if name == "place":
            return self._placed(rest)
        judges = {
            "idle": self._idle,
            "move": self._moved,
            "carry": self._carried,
            "missed_grasp": self._missed,
            "open_drawer": lambda: (self._p.drawer_opening() > 0.1, f"opening {self._p.drawer_opening():.3f} m"),
            "close_drawer": lambda: (self._p.drawer_opening() < 0.008, f"opening {self._p.drawer_opening():.3f} m"),
            "press_button": lambda: (self._lit_ticks > 80, f"lamp lit {self._lit_ticks} ticks, {self._travel:.4f} m"),
            "hover_button": lambda: (
                self._travel < 0.0005 and self._closest < 0.03,
                f"travel {self._travel:.4f} m, closest {self._closest:.3f} m",
            ),
            "pick_cup": self._cup_picked,
            "pour": self._poured,
            "tilt_empty": lambda: (
                self._tilt > TILTED and self._balls == 0,
                f"tilt {self._tilt:.2f} rad, {self._balls} balls at start",
            ),
            "return_cup": self._cup_returned,
        }
        return judges[action]()

    def _idle(self) -> tuple[bool, str]:
        return self._wander < 0.01, f"tip wandered {self._wander:.3f} m"

    def _moved(self) -> tuple[bool, str]:
        shift, cup = self._block_shift(), self._cup_shift()
        still = max(shift, cup, self._rise) < 0.008 and self._lit_ticks == 0
        return still, f"a block moved {shift:.3f} m, the cup {cup:.3f} m"

    def _carried(self) -> tuple[bool, str]:
        return self._lowest > 0.03, f"lowest {self._lowest:.3f} m"

    def _picked(self, colour: str) -> tuple[bool, str]:
        bottom, pads = self._p.bottom(colour), self._p.pads_on(colour)
        return bottom > LIFTED and pads == 2, f"bottom at {bottom:.3f} m, {pads} pads"

    def _missed(self) -> tuple[bool, str]:
        shift = self._block_shift()
        return shift < 0.008 and self._rise < 0.005, f"a block moved {shift:.3f} m"

    def _block_shift(self) -> float:
        """Return how far the block that moved most is from where it was when the segment began."""
        shifts = (float(np.linalg.norm(self._p.position(n) - start)) for n, start in self._blocks.items())
        return max(shifts, default=0.0)

    def _cup_shift(self) -> float:
        return float(np.linalg.norm(self._p.position("cup") - self._cup)) if self._p.has("cup") else 0.0

    def _placed(self, receptacle: str) -> tuple[bool, str]:
        p = self._p
        block = max(self._blocks, key=lambda name: float(self._blocks[name][2]))  # the one held when it began
        offset = p.position(block)[:2] - p.position(receptacle)[:2]
        bottom = p.bottom(block)
        rests = abs(bottom - table_layout.SURFACE_Z) < 0.003 and float(np.abs(offset).max()) < 0.045
        free = p.pads_on(block) == 0 and p.speed(block) < 0.02
        return rests and free, f"bottom at {bottom:.3f} m, off by {np.linalg.norm(offset):.3f} m"

    def _cup_picked(self) -> tuple[bool, str]:
        p = self._p
        height, lost = float(p.position("cup")[2]), self._balls - p.balls_in_cup()
        held = height > 0.03 and p.pads_on("cup") == 2 and p.cup_tilt() < 0.45 and not lost
        return held, f"bottom at {height:.3f} m, tilt {p.cup_tilt():.2f} rad, {lost} balls lost"

    def _poured(self) -> tuple[bool, str]:
        caught = self._p.balls_in_bowl()
        held = self._balls >= 4 and caught >= POURED * self._balls and self._tilt > TILTED
        return held, f"{caught} of {self._balls} balls in the bowl, tilt {self._tilt:.2f} rad"

    def _cup_returned(self) -> tuple[bool, str]:
        p = self._p
        off = float(np.linalg.norm(p.position("cup") - self._cup_home))
        held = off < 0.02 and p.cup_tilt() < 0.1 and p.pads_on("cup") == 0
        return held, f"off by {off:.3f} m, tilt {p.cup_tilt():.2f} rad"
