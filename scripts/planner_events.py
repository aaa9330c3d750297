"""Who tells the planner that an option has ended: the segmenter, a rule on what moves, a clock, or the truth."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hal_planner.options import IDLE, Option
from hal_planner.planner import Boundary, Label
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.observations import Observation
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.streams.intake import Intake
from hal_ros.core.streams.merge import StateSample
from hal_ros.core.streams.pictures import TimedPicture
from hal_ros.offline.bundle import BundleChoice, open_segmenter
from hal_ros.sim.benchmark import JOINT_NAMES
from hal_ros.sim.episode import TICK_NS, Simulation
from hal_ros.sim.messages import START_NS
from hal_ros.sim.render import Renderer

Event = Boundary | Label
HEARTBEAT_TICKS = 10
SAFE_S = 2.0  # how long the safe option lasts where durations are fixed
SIZE_PX = 128


@dataclass(frozen=True)
class Rule:
    """The rule's numbers: an option ends when all joints stand still for so long after they moved."""

    still_s: float = 1.0
    speed: float = 0.06  # rad/s of any joint, smoothed over 0.1 s
    finger_speed: float = 0.01  # metres per second, likewise
    closed_m: float = 0.012  # fingers nearer to their middle than this hold nothing
    moved_ticks: int = 30  # so long it has to have moved before


class Events(Protocol):
    """A source of events, asked once per control tick of 10 ms."""

    def begin(self, option: Option | None, now_s: float) -> None:
        """Hear which option runs from now on."""
        ...

    def at(self, simulation: Simulation, now_s: float) -> list[Event]:
        """Return what is known now that was not known before."""
        ...


class _Synthetic:
    """Says of an option what it takes to end it: its last action or its failure, and then that the robot is idle."""

    def __init__(self) -> None:
        self._option: Option | None = None
        self._begun_s, self._segments, self._ticks = 0.0, 0, 0

    def begin(self, option: Option | None, now_s: float) -> None:
        self._option, self._begun_s = option, now_s

    def _ended(self, now_s: float, failed: bool) -> list[Event]:
        option, self._option = self._option, None
        assert option is not None
        labels = [next(iter(option.failures)) if failed else option.actions[-1], IDLE] if option.actions else [IDLE]
        events: list[Event] = []
        for label in labels:
            self._segments += 1
            events.append(Boundary(now_s, label, self._segments, 1))
        return events

    def _heartbeat(self, now_s: float) -> list[Event]:
        self._ticks += 1
        return [Label(now_s, "")] if self._ticks % HEARTBEAT_TICKS == 1 else []


class FixedDurations(_Synthetic):
    """An option ends after a fixed time, whatever happens."""

    def __init__(self, durations: Mapping[str, Mapping[str, float]], which: str) -> None:
        super().__init__()
        self._durations, self._which = durations, which

    def at(self, simulation: Simulation, now_s: float) -> list[Event]:  # noqa: ARG002  # it looks at nothing
        """Return the end of the option once its time is over."""
        option = self._option
        if option is None:
            return self._heartbeat(now_s)
        last_s = SAFE_S if option.name == "safe" else self._durations[option.name][self._which]
        over = now_s - self._begun_s >= last_s
        return self._heartbeat(now_s) + (self._ended(now_s, False) if over else [])


class GripperAndVelocity(_Synthetic):
    """An option ends when the arm has come to rest; a grasp failed when the fingers closed on nothing."""

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self._rule = rule
        self._recent: deque[Any] = deque(maxlen=10)
        self._moved = self._still = 0
        self._closed = False

    def begin(self, option: Option | None, now_s: float) -> None:
        """Hear which option runs from now on."""
        super().begin(option, now_s)
        self._moved = self._still = 0
        self._closed = False

    def at(self, simulation: Simulation, now_s: float) -> list[Event]:
        """Return the end of the option once the arm is at rest."""
        sample, rule = simulation.joints(), self._rule
        if np.isfinite(sample.velocity).all():
            self._recent.append(sample.velocity)
        speeds = np.abs(np.mean(self._recent, axis=0)) if self._recent else np.zeros(7)
        moving = bool((speeds[:6] > rule.speed).any() or speeds[6] > rule.finger_speed)
        self._moved += moving
        self._still = 0 if moving else self._still + 1
        self._closed |= self._moved > rule.moved_ticks and bool(sample.position[6] < rule.closed_m)
        over = self._option is not None and self._moved > rule.moved_ticks and self._still * 0.01 >= rule.still_s
        if not over or self._option is None:
            return self._heartbeat(now_s)
        return self._heartbeat(now_s) + self._ended(now_s, self._closed and bool(self._option.failures))


class Truth:
    """The simulation's own labels, at once."""

    def __init__(self) -> None:
        self._label, self._segments, self._ticks = "", 0, 0

    def begin(self, option: Option | None, now_s: float) -> None:
        """Need not know."""

    def at(self, simulation: Simulation, now_s: float) -> list[Event]:
        """Return a change of the label, and the label ten times a second."""
        events: list[Event] = []
        if simulation.action != self._label:
            self._label, self._segments = simulation.action, self._segments + 1
            events.append(Boundary(now_s, self._label, self._segments, 1))
        self._ticks += 1
        if self._ticks % HEARTBEAT_TICKS == 1:
            events.append(Label(now_s, self._label, 1.0, self._segments, 1))
        return events


class SegmenterEvents:
    """The bundle's answers: the node's own intake and step over pictures that are rendered for its ticks alone."""

    def __init__(self, segmenter: Segmenter, simulation: Simulation) -> None:
        self._segmenter, self._vocabulary = segmenter, segmenter.card.vocabulary
        self._state, spec = segmenter.start(), segmenter.card.streams
        self._intake, self._camera = Intake(spec), next(iter(spec.cameras))
        (self._joints,) = spec.states
        self._order = [JOINT_NAMES.index(name) for name in spec.states[self._joints].names]
        self._fields = spec.states[self._joints].fields
        self._every = round(spec.period_ns / TICK_NS)
        self._renderer = Renderer(simulation, SIZE_PX, SIZE_PX)
        self.labels: list[tuple[float, str, str]] = []  # of every confirmed tick: its time, the label, the truth
        self._truth: dict[int, str] = {}

    def begin(self, option: Option | None, now_s: float) -> None:
        """Need not know."""

    def at(self, simulation: Simulation, now_s: float) -> list[Event]:
        """Return what the segmenter says of this tick, if it is one of its ticks."""
        stamp_ns, sample = START_NS + simulation.time_ns, simulation.joints()
        values = np.concatenate([getattr(sample, name)[self._order] for name in self._fields])
        self._intake.state(self._joints, StateSample(stamp_ns, "joint_states", values))
        if (simulation.time_ns // TICK_NS) % self._every:
            return []
        due = self._intake.picture(self._camera, TimedPicture(stamp_ns, "image", None))
        if due is None:
            return []
        pixels = self._renderer.render(simulation.snapshot())
        self._truth[stamp_ns] = simulation.action
        seen = Observation(due.stamp_ns, due.tick, due.origin_ns, {self._camera: pixels}, due.values, due.valid)
        estimate, boundaries, self._state = self._segmenter.step(seen, self._state)
        events: list[Event] = [
            Boundary(_seconds(one.stamp_ns), self._name(one.to_action), one.segment_id, 1) for one in boundaries
        ]
        confirmed = estimate.confirmed
        if confirmed is not None:
            name = self._name(confirmed.action)
            self.labels.append((_seconds(confirmed.stamp_ns), name, self._truth[confirmed.stamp_ns]))
            events.append(Label(now_s, name, confirmed.confidence, confirmed.segment_id, 1))
        return events

    def _name(self, action: int) -> str:
        return "" if action == NO_ACTION else self._vocabulary[action]

    def close(self) -> None:
        """Free the renderer."""
        self._renderer.close()


def _seconds(stamp_ns: int) -> float:
    """Return a stamp in the simulation's own time."""
    return (stamp_ns - START_NS) / 1e9


def open_bundle(model: Path) -> Segmenter:
    """Open a bundle; raises CardError or BackendError."""
    return open_segmenter(BundleChoice(model), lambda _: None)[1]
