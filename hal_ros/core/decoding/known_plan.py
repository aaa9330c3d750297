"""Following a plan that is known beforehand: which of its steps runs, how far it is, and whether it is kept at all.

A left-to-right filter over (step, age), as `duration_filter` is one over (action, age). A step that ends is
followed by the next one; with small probabilities some are skipped, or one before is done again. Beside the plan runs
the free filter, which expects any order. A robot that leaves the plan is described by the free filter alone, until it
takes the plan up again, most likely near where it left it. So the probability of deviation weighs the likelihood of the
plan against that of the free filter, tick by tick, and forgets. Durations and order are the card's priors.

M steps, K actions, A ages.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION, ActionEstimate
from hal_ros.core.arrays import FloatArray
from hal_ros.core.card import DecoderSpec, ModelCard, Priors
from hal_ros.core.decoding.decode import commit
from hal_ros.core.decoding.duration_filter import TINY, Belief, DurationFilter, emission, hazards, remaining_ticks
from hal_ros.core.errors import ConfigError
from hal_ros.core.segmenter import NO_GRID

TEMPER = 0.25
"""Frames next to each other err together; the tracker would take their agreement for proof.

A card's own temper is fitted to another end: decoding by durations, together with the boundary head; in a card of
hysteresis it is not fitted at all. For models/tabletop that fit gave 3. Measured on the 24 validation episodes of
tabletop-v1: with 3 the right step is named in 86.2 % of ticks instead of 85.2 %, but a robot that keeps to its plan is
said to leave it in 5.5 % of ticks instead of 3.8 %, and with thresholds for 3 % of such false alarms 66 % of the ticks
off the plan are found instead of 73 %. The boundary head was not tried. The constants here were chosen by hand.
"""
SKIP, REPEAT, LEAVE = 0.03, 0.03, 0.03
"""When a step ends: probability that steps are left out, that one is done again, that something else is done."""
DECAY = 0.5
"""Each further step that is left out, or gone back, is so much less likely."""
INTERRUPT = 0.002
"""Per tick: probability that a step is broken off for something else."""
RETURN, RESTART = 0.8, 0.6
"""When an action off the plan ends: probability that the plan is taken up again, and of that after its end."""
ANYWHERE = 0.1
"""Share of starts and returns that may be at any step alike."""
DEVIATES_ABOVE, FOLLOWS_BELOW = 0.7, 0.3
"""The flag rises and falls at different probabilities, so that it does not flicker."""
STEP_PROBABILITY = 0.5
GENERIC_DURATION_S = 3.0
MOST_STEPS = 200
"""Of a plan that is given to a running node: at 105 ages a tick of 200 steps takes 0.14 ms, one of 1000 2 ms."""


class PlanEstimate(NamedTuple):
    """Where in the plan the robot is at stamp_ns. Step indices count from 0; `step` is M when the plan is done."""

    stamp_ns: int
    as_of_ns: int  # newest sensor time that went in
    step: int
    steps: int  # M
    action: int  # of the step, NO_ACTION when the plan is done
    progress: float  # 0..1 of the plan's expected duration
    confidence: float  # probability of this step, 0..1
    deviation: float  # probability that the robot does not follow the plan now, 0..1
    deviates: bool

    @property
    def remaining(self) -> int:
        """How many steps come after this one."""
        return max(self.steps - self.step - 1, 0)


@dataclass(frozen=True)
class PlanState:
    """What is remembered. The masses of `on` and `off` sum to 1."""

    on: NDArray[np.float64]  # (M, A): this step at this age
    off: NDArray[np.float64]  # (M + 1,): left the plan after, or in, this step; the last one: the plan is done
    free: Belief | None
    step: int
    deviates: bool
    origin_ns: int = NO_GRID  # of the grid that the newest answer lies on; NO_GRID before the first one
    tick: int = -1  # on that grid, of which the newest answer speaks


class PlanTracker:
    """One plan of one card. It holds no stream: the state goes in and comes out."""

    def __init__(self, plan: Sequence[int], card: ModelCard) -> None:
        """Make the tables for a plan of action ids; repeated neighbours are steps of their own.

        Raises ConfigError for an empty plan. A card without priors gets `generic_priors`.
        """
        if not plan:
            raise ConfigError("the plan is empty; expected at least one action")
        priors = card.decoder.priors or generic_priors(len(card.vocabulary), card.rate_hz)
        self.plan = tuple(plan)
        self._card = card
        self._actions = np.array(plan)
        self._free = DurationFilter(DecoderSpec("duration", temper=TEMPER, priors=priors), priors)
        self._free_ends = hazards(priors)  # (K, A)
        self._ends = self._free_ends[self._actions]  # (M, A)
        self._goes_on = (1 - self._ends) * (1 - INTERRUPT)
        self._next, self._back = _next_steps(len(plan)), _returns(len(plan))
        self._return = np.array([RETURN] * len(plan) + [RESTART])
        mean = np.array(priors.duration_mean_ticks)[self._actions]
        self._before = np.concatenate([[0.0], np.cumsum(mean)]) / mean.sum()  # share of the plan before each step
        ages = np.arange(1, priors.max_age_ticks + 1)
        self._share_done = ages / (ages + remaining_ticks(self._ends))  # (M, A)

    def start(self) -> PlanState:
        """Return the state before the first tick: most likely the plan begins with its first step."""
        steps = len(self.plan)
        on = np.zeros_like(self._ends)
        on[:, 0] = ANYWHERE / steps
        on[0, 0] += 1 - ANYWHERE - LEAVE
        off = np.zeros(steps + 1)
        off[0] = LEAVE
        return PlanState(on, off, None, 0, False)

    def follow(
        self, estimate: ActionEstimate, origin_ns: int, state: PlanState
    ) -> tuple[PlanEstimate | None, PlanState]:
        """Take one estimate of the segmenter on the grid that begins at origin_ns; None without a confirmed answer.

        Confirmed answers of held ticks are in no estimate: those ticks pass without evidence. The plan starts afresh
        when the segmenter does: with a new grid, ticks that do not rise, more missing ones than are held, or when its
        answers are not confirmed yet. Stamps say nothing of this: due ones may lie under half a period apart.
        """
        answer = estimate.confirmed
        if answer is None:
            return None, self.start()
        tick = estimate.tick - self._card.lag_ticks
        passed = tick - state.tick
        if origin_ns != state.origin_ns or not 1 <= passed <= self._card.max_held_ticks + 1:
            state, passed = self.start(), 1
        for _ in range(passed - 1):
            state = self.step(np.full_like(answer.log_probs, np.nan), state)
        state = replace(self.step(answer.log_probs, state), origin_ns=origin_ns, tick=tick)
        return self._estimate(state, answer.stamp_ns, estimate.as_of_ns), state

    def step(self, log_probs: FloatArray, state: PlanState) -> PlanState:
        """Advance by one tick with log-probabilities (K,); a NaN among them says nothing."""
        on, off = (state.on, state.off) if state.free is None else self._move(state)
        seen = emission(log_probs, TEMPER)
        free = self._free.predict(state.free, float("nan")) * seen[:, None]
        surprise = float(free.sum())
        on, off = on * seen[self._actions, None], off * surprise
        total = on.sum() + off.sum()
        on, off = np.maximum(on / total, TINY), np.maximum(off / total, TINY)
        free = np.maximum(free / surprise, TINY)
        deviates = bool(off[:-1].sum() > (FOLLOWS_BELOW if state.deviates else DEVIATES_ABOVE))
        step = commit(_places(on, off), state.step, STEP_PROBABILITY).action
        return replace(state, on=on, off=off, free=free, step=step, deviates=deviates)

    def _move(self, state: PlanState) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        ended = np.einsum("ma,ma->m", state.on, self._ends)
        on = np.empty_like(state.on)
        aged = state.on * self._goes_on
        on[:, 1:] = aged[:, :-1]
        on[:, -1] += aged[:, -1]
        left = state.on.sum(1) - aged.sum(1) - ended  # interrupted
        follows = ended @ self._next  # (M + 1,), the last one is the end of the plan
        assert state.free is not None  # there is one after the first tick
        returns = state.off * self._return * float(np.vdot(state.free, self._free_ends))
        on[:, 0] = follows[:-1] + returns @ self._back
        off = state.off - returns
        off[:-1] += left + LEAVE * ended
        off[-1] += follows[-1]
        return on, off

    def _estimate(self, state: PlanState, stamp_ns: int, as_of_ns: int) -> PlanEstimate:
        step, steps = state.step, len(self.plan)
        places = _places(state.on, state.off)
        progress = 1.0
        if step < steps:
            ages = state.on[step] / state.on[step].sum()
            within = float(ages @ self._share_done[step])
            progress = float(self._before[step] + within * (self._before[step + 1] - self._before[step]))
        return PlanEstimate(
            stamp_ns=stamp_ns,
            as_of_ns=as_of_ns,
            step=step,
            steps=steps,
            action=NO_ACTION if step == steps else self.plan[step],
            progress=min(max(progress, 0.0), 1.0),
            confidence=float(np.clip(places[step], 0, 1)),
            deviation=float(np.clip(state.off[:-1].sum(), 0, 1)),
            deviates=state.deviates,
        )


def _places(on: NDArray[np.float64], off: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability of each step, on the plan or off it, and of the end, (M + 1,)."""
    places = off.copy()
    places[:-1] += on.sum(1)
    return places


def _next_steps(steps: int) -> NDArray[np.float64]:
    """Return P(next | ended, not left) times 1 - LEAVE, (M, M + 1); column M is the end of the plan."""
    place = np.arange(steps + 1)
    ahead = place[None, :] - place[:-1, None]  # steps from the ended one
    # The end is not skipped to: a plan whose last steps are left out has been left.
    skip = np.where((ahead >= 2) & (place[None, :] < steps), DECAY ** np.maximum(ahead - 2, 0), 0.0)
    again = np.where((ahead <= 0) & (place[None, :] < steps), DECAY ** -np.minimum(ahead, 0), 0.0)
    table = (ahead == 1) * (1 - SKIP - REPEAT - LEAVE)
    return np.asarray(table + SKIP * _rows(skip, ahead == 1) + REPEAT * _rows(again, ahead == 1))


def _returns(steps: int) -> NDArray[np.float64]:
    """Return P(step that is taken up | step after which the plan was left, or its end), (M + 1, M)."""
    place = np.arange(steps + 1)
    distance = np.abs(place[None, :-1] - place[:, None] - 0.5)  # the same step and the next one are nearest
    return np.asarray((1 - ANYWHERE) * _rows(DECAY**distance, None) + ANYWHERE / steps)


def _rows(weights: NDArray[np.float64], instead: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    """Return rows that sum to 1; an empty one becomes `instead`."""
    sums = weights.sum(1, keepdims=True)
    if instead is not None:
        weights = np.where(sums > 0, weights, instead)
        sums = weights.sum(1, keepdims=True)
    return np.asarray(weights / sums)


def generic_priors(actions: int, rate_hz: float) -> Priors:
    """Return priors that know nothing: every order alike, durations about 3 s long and without a typical length."""
    uniform = (1 / actions,) * actions
    order = tuple(
        tuple(0.0 if after == before else 1 / (actions - 1) for after in range(actions)) for before in range(actions)
    )
    mean_ticks = GENERIC_DURATION_S * rate_hz
    return Priors(uniform, order, (mean_ticks,) * actions, (1.0,) * actions)


def plan_names(text: str) -> list[str]:
    """Return the names in a text that separates them by commas; none for ''. Raises ConfigError for commas alone."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if text and not names:
        raise ConfigError(f"plan {text!r} names no action; expected names separated by commas, or '' for no plan")
    return names


def plan_ids(names: Sequence[str], vocabulary: Sequence[str]) -> tuple[int, ...]:
    """Return the action ids of a plan's names. Raises ConfigError with the nearest name for one that is unknown."""
    return action_ids(names, vocabulary, "plan")


def action_ids(names: Sequence[str], vocabulary: Sequence[str], what: str) -> tuple[int, ...]:
    """Return the ids of actions. Raises ConfigError with the nearest name for one that is unknown in `what`."""
    for name in names:
        if name not in vocabulary:
            near = difflib.get_close_matches(name, vocabulary, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(vocabulary)}"
            raise ConfigError(f"{what}: action {name!r} is unknown; {hint}")
    return tuple(vocabulary.index(name) for name in names)
