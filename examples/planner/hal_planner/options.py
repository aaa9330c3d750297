"""Options (Sutton, Precup and Singh 1999): where one may begin, what it does, and when it has ended.

The policy runs on the robot, under the name `skill`. What the segmenter calls its actions is how a planner follows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

IDLE = "idle"
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Option:
    """One thing that the robot can be told to do.

    Initiation set: all facts of `requires` hold. Termination: after the last of `actions` one of `ends_in` is seen.
    """

    name: str
    skill: str  # what the robot calls it
    actions: tuple[str, ...]  # labels that it shows, in this order
    timeout_s: float  # 99th percentile of its duration, at which it ends in any case
    requires: frozenset[str] = NOTHING  # facts
    adds: frozenset[str] = NOTHING  # facts that hold when it has succeeded
    removes: frozenset[str] = NOTHING  # facts that do not hold any more
    failures: frozenset[str] = NOTHING  # labels which say that it failed
    refuted_by: frozenset[str] = NOTHING  # likewise, if they come before its last action
    loses: frozenset[str] = NOTHING  # facts that do not hold after a failure: what should be held has fallen
    leaves: frozenset[str] = NOTHING  # facts that hold then
    ends_in: frozenset[str] = frozenset({IDLE})  # labels of a robot that is done with it

    def can_begin(self, facts: frozenset[str]) -> bool:
        """Return whether these facts lie in its initiation set."""
        return self.requires <= facts

    def outcome(self, facts: frozenset[str]) -> frozenset[str]:
        """Return the facts after its success."""
        return (facts - self.removes) | self.adds

    def failed_by(self, reached: int) -> frozenset[str]:
        """Return the labels which say that it failed when they come after step `reached`."""
        return self.failures if reached == len(self.actions) - 1 else self.failures | self.refuted_by

    def step_of(self, label: str, reached: int) -> int:
        """Return the step that runs when `label` begins after step `reached` (-1 before the first); -1: none of its.

        Steps may be skipped, as short ones are not always seen, but never go back.
        """
        later = [step for step, action in enumerate(self.actions) if action == label and step >= reached]
        return later[0] if later else -1


class PlanError(ValueError):
    """A plan that can't be followed: one line."""


def check_plan(plan: Sequence[str], domain: Mapping[str, Option], facts: frozenset[str]) -> None:
    """Raise PlanError for an option that is unknown, or whose initiation set the options before it never lead to."""
    for step, name in enumerate(plan):
        option = domain.get(name)
        if option is None:
            raise PlanError(f"step {step} is {name!r}; expected one of {', '.join(sorted(domain))}")
        if not option.can_begin(facts):
            missing = ", ".join(sorted(option.requires - facts))
            raise PlanError(f"step {step}, {name}, requires {missing}; expected an earlier step that leads to it")
        facts = option.outcome(facts)
