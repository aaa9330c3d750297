"""What an episode is to bring about, judged by the physics alone: it knows nothing of controller, labels or planner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hal_ros.sim.checks import POURED, TILTED
from hal_ros.sim.world import layout as table_layout
from hal_ros.sim.world.physics import Physics

HELD_TICKS = 80  # of 10 ms: the lamp is lit, or the fingers hover over the dark one
HOVER_M = 0.03
OPEN_M, CLOSED_M = 0.1, 0.008
ON_IT_M = 0.045


class Goals:
    """Watches one episode tick by tick; `reached` says what of the recipe's macros is done by now."""

    def __init__(self, physics: Physics, macros: Sequence[str]) -> None:
        self._p, self._macros = physics, macros
        self._lit = self._hovered = 0
        self._opened = self._is_tilted = False
        self._tilts = 0
        self._cup_home = physics.position("cup").copy() if physics.has("cup") else np.zeros(3)

    def observe(self) -> None:
        """Look at the physics after a control tick."""
        p = self._p
        if p.has("button"):
            near = float(np.linalg.norm(p.tip() - p.position("button"))) < HOVER_M
            self._lit += p.lamp_on()
            self._hovered += near and not p.lamp_on()
        if p.layout.drawer_side:
            self._opened = self._opened or p.drawer_opening() > OPEN_M
        if p.has("cup"):
            tilted = p.cup_tilt() > TILTED
            self._tilts += tilted and not self._is_tilted
            self._is_tilted = tilted

    def reached(self) -> Mapping[str, bool]:
        """Return by macro whether it is done: the world is as it shall be, or was for long enough."""
        return {macro: self._is_reached(macro) for macro in self._macros}

    def _is_reached(self, macro: str) -> bool:
        p = self._p
        colour, _, receptacle = macro.partition("_to_")
        if receptacle:
            return self.lies(colour, receptacle)
        return {
            "press": lambda: self._lit >= HELD_TICKS,
            "hover": lambda: self._hovered >= HELD_TICKS,
            "open": lambda: self._opened,
            "close": lambda: self._opened and p.drawer_opening() < CLOSED_M,
            "pour": lambda: p.balls_in_bowl() >= POURED * table_layout.BALL_COUNT and self._is_back(),
            "tilt": lambda: self._tilts >= sum(m in ("pour", "tilt") for m in self._macros) and self._is_back(),
        }[macro]()

    def lies(self, block: str, receptacle: str) -> bool:
        """Tell whether a block rests in a receptacle and nobody holds it."""
        p, layout = self._p, self._p.layout
        off = p.position(block)[:2] - np.asarray(layout.places[receptacle])
        rests = abs(p.bottom(block) - table_layout.SURFACE_Z) < 0.004
        return bool(rests and float(np.abs(off).max()) < ON_IT_M and p.pads_on(block) == 0)

    def _is_back(self) -> bool:
        """Tell whether the cup stands upright where it was, and nobody holds it."""
        p = self._p
        off = float(np.linalg.norm(p.position("cup") - self._cup_home))
        return off < 0.025 and p.cup_tilt() < 0.15 and p.pads_on("cup") == 0
