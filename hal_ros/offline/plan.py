"""A plan that a replay follows: read from a text file, and told as the steps that were come to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hal_ros.bags.messages import deserialise, header_stamp_ns, to_ns
from hal_ros.bags.reader import BagMessage
from hal_ros.core.card import ModelCard
from hal_ros.core.decoding.known_plan import PlanTracker, plan_ids
from hal_ros.core.errors import ConfigError
from hal_ros.offline.replay import LABEL_TOPIC, PLAN_TOPIC
from hal_ros.outside.reading import MIB, Expected, read_text

PLAN = Expected(ConfigError, "a plan of one action a line", MIB)


def read_plan(path: Path, card: ModelCard) -> PlanTracker:
    """Read a plan: one action a line; empty lines and comments after # are skipped. Raises ConfigError."""
    lines = read_text(path, PLAN).splitlines()
    names = [name for line in lines if (name := line.partition("#")[0].strip())]
    try:
        return PlanTracker(plan_ids(names, card.vocabulary), card)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


@dataclass
class PlanSteps:
    """A line for each change of the step or of the deviation, in seconds since the first label."""

    lines: list[str] = field(default_factory=list)

    def of(self, answers: Iterable[BagMessage]) -> Iterator[BagMessage]:
        """Tell of answers as they pass, without keeping them."""
        first_ns, before = None, None
        for answer in answers:
            if answer.topic == LABEL_TOPIC and first_ns is None:
                first_ns = header_stamp_ns(answer.data) or 0
            elif answer.topic == PLAN_TOPIC:
                progress = deserialise(answer.type_name, answer.data)
                now = (progress.step, progress.deviates)
                if now != before:
                    self.lines.append(_step_line(progress, first_ns or 0))
                before = now
            yield answer


def _step_line(progress: Any, first_ns: int) -> str:
    seconds = (to_ns(progress.header.stamp) - first_ns) / 1e9
    step = f"step {progress.step + 1:>2} of {progress.steps}" if progress.label else "the plan is done"
    note = "  the robot does something else" if progress.deviates else ""
    return f"{seconds:8.1f} s  {step:<16}  {progress.label:<16}  {progress.progress:4.0%} behind{note}"
