"""The planner: what happened comes in, which option shall run goes out. No ROS, no clock, no threads.

The state is a value. Seconds are the sensor's, of the labels and boundary events; whoever calls `on_time` says how late
it is on that same clock.

Two things of the segmenter matter here. An event comes when the *next* action is seen: so the robot holds still when it
is done, and the change to `idle` ends the option. And the newest answers are revised by nobody, but may be wrong: so an
option is over only when its last action was seen, and a label that does not belong has to last before it counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from hal_planner.options import IDLE, Option, PlanError, check_plan


class Outcome(IntEnum):
    """How an option ended, as in hal_msgs/msg/Option."""

    NONE = 0
    SUCCEEDED = 1
    FAILED = 2
    TIMED_OUT = 3
    INTERRUPTED = 4


@dataclass(frozen=True)
class Settings:
    """When something is wrong. Seconds on the sensor's clock."""

    stale_s: float = 1.5  # no label for so long: the segmenter is gone
    unexpected_s: float = 1.5  # a label that is not of the option, or unknown, has to last so long
    early_idle_s: float = 4.0  # the robot holds still for so long before the option's last action was seen
    min_confidence: float = 0.35  # of a label; below, it is unknown
    attempts: int = 4  # at one step of the plan
    safe: str = "safe"  # the option that is always possible


@dataclass(frozen=True)
class Boundary:
    """A change of the confirmed action, as in hal_msgs/msg/BoundaryEvent."""

    stamp_s: float
    to_label: str  # '' when a segment is closed without a new one
    segment_id: int = 0
    session: int = 0


@dataclass(frozen=True)
class Label:
    """The newest answer, as in hal_msgs/msg/ActionLabel; `label` is the confirmed one, '' while there is none."""

    stamp_s: float
    label: str
    confidence: float = 1.0
    segment_id: int = 0
    session: int = 0


@dataclass(frozen=True)
class Command:
    """Which option runs from now on ('' for none: the plan is done or was given up), and how the last one ended."""

    option: str
    skill: str
    option_id: int
    stamp_s: float
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class State:
    """All that the planner remembers."""

    plan: tuple[str, ...]
    facts: frozenset[str]
    step: int = 0  # of the plan; len(plan) when it is done
    attempt: int = 1  # at this step
    given_up: bool = False
    option: str = ""  # that runs; '' while none does
    option_id: int = 0
    begun_s: float = 0.0
    reached: int = -1  # which of the option's actions was seen last
    failed: str = ""  # the label that said so
    label: str = ""  # the confirmed action that runs
    label_s: float = 0.0  # since when
    doubtful_s: float | None = None  # since when labels are below the least confidence
    newest_s: float | None = None  # stamp of the newest label
    segment_id: int = 0
    session: int = 0
    deviates: bool = False

    @property
    def done(self) -> bool:
        """Whether every step of the plan has succeeded."""
        return self.step == len(self.plan) and not self.option


Answer = tuple[State, Command | None]


class Planner:
    """Follows one plan at a time. It holds no state: that goes in and comes out."""

    def __init__(self, domain: Mapping[str, Option], settings: Settings | None = None) -> None:
        """Take the options by name; PlanError where the safe one is not among them."""
        self.domain, self.settings = domain, settings or Settings()
        if self.settings.safe not in domain:
            raise PlanError(f"no option {self.settings.safe!r}; expected the one that is always possible")

    def start(self, plan: Sequence[str], facts: frozenset[str]) -> State:
        """Return the state before the first option of a plan; PlanError for a plan that can't be followed."""
        check_plan(plan, self.domain, facts)
        return State(tuple(plan), facts)

    # --- what comes in ------------------------------------------------------------------------------------------------

    def on_boundary(self, state: State, event: Boundary) -> Answer:
        """Take a boundary event: it ends the option, advances it, or is noted. One that is known does nothing."""
        if event.segment_id and (event.segment_id, event.session) == (state.segment_id, state.session):
            return state, None
        lost = self._is_other_life(state, event.session)
        state = replace(
            state, label=event.to_label, label_s=event.stamp_s, segment_id=event.segment_id, session=event.session
        )
        if lost:
            return self._to_safe(state, event.stamp_s, "the segmenter was started anew", counts=False)
        if not state.option:
            return self._begin_next(state, event.stamp_s)
        option = self.domain[state.option]
        step = option.step_of(event.to_label, state.reached)
        if step >= 0:
            return replace(state, reached=step, failed=""), None
        if event.to_label in option.failed_by(state.reached):
            return replace(state, failed=event.to_label), None
        return self._end(state, event.stamp_s) if self._is_over(state) else (state, None)

    def on_label(self, state: State, label: Label) -> Answer:
        """Take a label: it shows that the segmenter lives, how sure it is, and what ran while no event was heard."""
        doubtful = label.confidence < self.settings.min_confidence
        since_s = (label.stamp_s if state.doubtful_s is None else state.doubtful_s) if doubtful else None
        state = replace(state, newest_s=label.stamp_s, doubtful_s=since_s)
        changed = label.label and (label.segment_id, label.session) != (state.segment_id, state.session)
        if changed or (label.label and not state.label):  # an event was lost, or this planner came later
            missed = Boundary(label.stamp_s, label.label, label.segment_id, label.session)
            return self.on_boundary(state, missed)
        if not state.option:
            return self._begin_next(state, label.stamp_s)
        return state, None

    def on_deviation(self, state: State, deviates: bool, stamp_s: float) -> Answer:
        """Take what PlanProgress says: that the robot does something else than the plan, or no longer so."""
        if deviates and not state.deviates and state.option and state.option != self.settings.safe:
            return self._to_safe(replace(state, deviates=True), stamp_s, "the robot leaves the plan")
        return replace(state, deviates=deviates), None

    def on_time(self, state: State, now_s: float) -> Answer:
        """Look whether something lasts too long; to be asked a few times a second."""
        settings = self.settings
        if not state.option:
            return state, None
        option, in_safe = self.domain[state.option], state.option == settings.safe
        stale = state.newest_s is None or now_s - state.newest_s > settings.stale_s
        too_long = now_s - state.begun_s > option.timeout_s
        if in_safe:
            return self._end(state, now_s) if too_long and not stale else (state, None)
        why = ""
        if stale:
            why = "no label comes"
        elif state.doubtful_s is not None and now_s - state.doubtful_s > settings.unexpected_s:
            why = "what the robot does is unknown"
        elif self._is_unexpected(state, option) and now_s - state.label_s > settings.unexpected_s:
            why = f"{state.label or 'nothing'} was not expected"
        if why:
            return self._to_safe(state, now_s, why, counts=not stale)
        early = state.label == IDLE and state.label_s > state.begun_s and now_s - state.label_s > settings.early_idle_s
        if early and not self._is_over(state):
            return self._end(replace(state, failed=f"it stopped before {option.actions[-1]}"), now_s)
        if too_long:
            return self._to_safe(state, now_s, f"it lasts longer than {option.timeout_s:.1f} s")
        return state, None

    # --- judging ------------------------------------------------------------------------------------------------------

    def _is_other_life(self, state: State, session: int) -> bool:
        """Tell whether ids begin anew while an option runs: what happened in between nobody has seen."""
        return bool(state.session and state.option not in ("", self.settings.safe) and session != state.session)

    def _is_over(self, state: State) -> bool:
        """Tell whether the robot holds still after the option's last action, or after its failure."""
        option = self.domain[state.option]
        complete = state.reached == len(option.actions) - 1 or bool(state.failed)
        return complete and state.label in option.ends_in

    def _is_unexpected(self, state: State, option: Option) -> bool:
        """Tell whether what runs now does not belong to the option."""
        known = {IDLE, *option.actions, *option.failures, *option.refuted_by, *option.ends_in}
        return state.label not in known and state.label_s >= state.begun_s

    # --- what goes out ------------------------------------------------------------------------------------------------

    def _end(self, state: State, stamp_s: float) -> Answer:
        """End the option that runs, and begin the next one."""
        option = self.domain[state.option]
        if state.option == self.settings.safe:
            return self._begin_next(replace(state, option=""), stamp_s, Outcome.SUCCEEDED, "the robot is safe")
        if state.failed:
            return self._retry(state, stamp_s)
        as_planned = state.plan[state.step] == option.name  # otherwise an earlier step was done once more
        step, attempt = (state.step + 1, 1) if as_planned else (state.step, state.attempt)
        state = replace(state, option="", facts=option.outcome(state.facts), step=step, attempt=attempt)
        return self._begin_next(state, stamp_s, Outcome.SUCCEEDED, f"{option.name}: then {state.label}")

    def _to_safe(self, state: State, stamp_s: float, why: str, counts: bool = True) -> Answer:
        """Leave the option that runs for the safe one; then it is tried again, as one more attempt if it counts."""
        if not state.option or state.option == self.settings.safe:
            return state, None
        outcome = Outcome.TIMED_OUT if why.startswith("it lasts") else Outcome.INTERRUPTED
        reason = f"{state.option}: {why}"
        state = self._after_failure(state) if counts else state
        return self._command(state, self.settings.safe, stamp_s, outcome, reason + self._whether_given_up(state))

    def _retry(self, state: State, stamp_s: float) -> Answer:
        reason = f"{state.option}: {state.failed}"
        state = self._after_failure(state)
        if state.given_up:
            reason += self._whether_given_up(state)
            return self._command(state, self.settings.safe, stamp_s, Outcome.FAILED, reason)
        return self._begin_next(replace(state, option=""), stamp_s, Outcome.FAILED, reason)

    def _whether_given_up(self, state: State) -> str:
        return f"; given up after {self.settings.attempts} attempts" if state.given_up else ""

    def _after_failure(self, state: State) -> State:
        """Count the attempt, and doubt what the option took for granted: at once if a label said so, else later."""
        option, attempt = self.domain[state.option], state.attempt + 1
        doubted = state.failed in option.failures | option.refuted_by or attempt > 2
        facts = (state.facts - option.loses) | option.leaves if doubted else state.facts
        return replace(state, attempt=attempt, facts=facts, given_up=attempt > self.settings.attempts)

    def _possible(self, state: State) -> Option | None:
        """Return the plan's next option, or the last one before it that leads to what it requires and can begin."""
        step = state.step
        while not (option := self.domain[state.plan[step]]).can_begin(state.facts):
            missing = option.requires - state.facts
            earlier = [i for i in range(step) if self.domain[state.plan[i]].adds & missing]
            if not earlier:
                return None
            step = earlier[-1]
        return option

    def _begin_next(
        self, state: State, stamp_s: float, outcome: Outcome = Outcome.NONE, reason: str = "the plan begins"
    ) -> Answer:
        """Begin the plan's next option where it may begin: the robot holds still, and its facts hold."""
        if state.step == len(state.plan) or state.given_up:
            return (state, None) if outcome is Outcome.NONE else self._command(state, "", stamp_s, outcome, reason)
        option = self._possible(state)
        if option is None:
            reason = f"{state.plan[state.step]} can't begin any more"
            return self._command(replace(state, given_up=True), "", stamp_s, outcome, reason)
        return self._command(state, option.name, stamp_s, outcome, reason)

    def _command(self, state: State, name: str, stamp_s: float, outcome: Outcome, reason: str) -> Answer:
        option_id = state.option_id + 1
        skill = self.domain[name].skill if name else ""
        state = replace(state, option=name, option_id=option_id, begun_s=stamp_s, reached=-1, failed="")
        return state, Command(name, skill, option_id, stamp_s, outcome, reason)
