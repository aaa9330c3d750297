"""What one tick costs, of all systems by one definition: processor time of one thread, median of many steps.

A step is one more tick of a stream that carries its state; a system that works on its last ticks anew at every tick
pays for all of them. A system that sees whole clips has no steps: its figure is a clip's time over its ticks.
All systems are measured in turns in one process, so that what the machine does meanwhile strikes all alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from hal_ros.baselines.gripper_rule import GripperRule, Thresholds
from hal_ros.baselines.logistic import LogisticRegression
from hal_ros.baselines.sequence import CausalModel, SequenceModel, State
from hal_ros.baselines.sequence_answers import processor_ms
from hal_ros.baselines.simple_fit import FittedLogistic, FittedRule
from hal_ros.core.streams.columns import JointColumns
from hal_ros.datasets.clips import Clip
from hal_ros.train.clips import Columns

STEPS, ROUNDS, WARM_UP = 200, 10, 5
WHOLE_CLIP_TICKS = 512


@dataclass(frozen=True)
class Tick:
    """A system that is ready to be measured: `step` does one tick, or all `ticks` of a clip that it sees whole."""

    parameters: int
    step: Callable[[], object]
    ticks: int = 1


@dataclass(frozen=True)
class Cost:
    """What one tick costs, and how many numbers training set."""

    ms_per_tick: float
    parameters: int


def measure(systems: Mapping[str, Tick], steps: int = STEPS) -> dict[str, Cost]:
    """Return the cost of each system by name: in each round all have their share of the steps, one after the other.

    Whole clips count as one step a round.
    """
    spent: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(ROUNDS):
        for name, tick in systems.items():
            count = max(1, steps // ROUNDS) if tick.ticks == 1 else 1
            for _ in range(min(WARM_UP, count)):  # what ran before it has left the caches full of its own
                tick.step()
            spent[name] += [processor_ms(tick.step, times=1) for _ in range(count)]
    return {name: Cost(statistics.median(spent[name]) / tick.ticks, tick.parameters) for name, tick in systems.items()}


# --- the baselines, untrained: what they learn does not change what they cost -----------------------------------------


def sequence_tick(model: SequenceModel, ticks: int = WHOLE_CLIP_TICKS) -> Tick:
    """Return a learned baseline's step; `ticks` is the length of the clip of one that sees it whole."""
    model.eval()
    if isinstance(model, CausalModel):
        return Tick(model.parameter_count, _Stream(model).step)
    inputs, mask = torch.zeros(1, ticks, model.inputs), torch.ones(1, ticks)

    @torch.no_grad()
    def whole() -> None:
        model(inputs, mask)

    return Tick(model.parameter_count, whole, ticks)


class _Stream:
    """A stream of inputs that are all zeros."""

    def __init__(self, model: CausalModel) -> None:
        self.model, self.inputs = model, torch.zeros(1, 1, model.inputs)
        self.state: State = model.initial_state()

    @torch.no_grad()
    def step(self) -> None:
        """Go on by one tick."""
        self.state = self.model.advance(self.inputs, self.state)[1]


def rule_tick(columns: Columns, joints: JointColumns, actions: int, lag_ticks: int) -> Tick:
    """Return the step of a gripper rule whose tables are empty."""
    rule = GripperRule(joints, Thresholds(1.0, 0.0, 0.0, 1.0), {}, {False: 0, True: 0})
    fitted, still = FittedRule(rule, columns, lag_ticks, actions), _still(columns.width)
    return Tick(fitted.parameter_count, lambda: fitted.answer(still))


def logistic_tick(width: int, actions: int, lag_ticks: int) -> Tick:
    """Return the step of both logistic regressions."""
    now, lagged = (_regression(inputs, actions) for inputs in (width, 2 * width))
    standard = np.zeros(width, np.float32), np.ones(width, np.float32)
    fitted, still = FittedLogistic(now, lagged, standard, lag_ticks), _still(width)
    return Tick(fitted.parameter_count, lambda: fitted.answer(still))


def _regression(inputs: int, actions: int) -> LogisticRegression:
    zeros, ones = np.zeros(inputs, np.float32), np.ones(inputs, np.float32)
    return LogisticRegression(zeros, ones, np.zeros((inputs, actions), np.float32), np.zeros(actions, np.float32))


def _still(width: int) -> Clip:
    return Clip("still", np.zeros((1, width), np.float32), np.zeros(1, np.int64), ())
