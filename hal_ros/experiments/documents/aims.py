"""What was aimed at, and whether the rows of the tables say that it was reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from hal_ros.experiments.documents.markdown import RowIndex
from hal_ros.metrics.decoded import CONFIRMED_ARGMAX
from hal_ros.metrics.predictions import CONFIRMED
from hal_ros.metrics.scores import Row, RowKey

MOST_MOF_LOST = 8.0
RATIO = (0.9, 1.2)
LEAST_EDIT_ERROR_REMOVED = 0.5


@dataclass(frozen=True)
class Aim:
    """Whose confirmed answers are judged, on which split: against baselines under the same supervision, and against
    the system itself trained on `reference`."""

    system: str
    supervision: str
    baselines: tuple[str, ...]
    split: str
    reference: str = "annotations"


class Verdict(NamedTuple):
    """One aim, the figures that decide it, and whether it holds; None where a figure is missing."""

    aim: str
    figures: str
    holds: bool | None


def verdicts(rows: Sequence[Row], aim: Aim) -> list[Verdict]:
    """Judge a system against each baseline, against itself, by its segment ratio and by what its decoder adds."""
    index = RowIndex(rows)

    def get(system: str, metric: str, output: str = CONFIRMED, supervision: str = aim.supervision) -> Row | None:
        return index.get(RowKey(system, supervision, aim.split, output, metric))

    ours = aim.system
    found = []
    for baseline in aim.baselines:
        for metric in ("Edit", "F1@50"):
            text = f"{metric}: ahead of {baseline} by more than the larger std"
            found.append(_judge(text, get(ours, metric), get(baseline, metric), _is_ahead))
        for metric in ("latency median s", "latency p90 s"):
            text = f"{metric}: no worse than {baseline}"
            found.append(_judge(text, get(ours, metric), get(baseline, metric), _is_not_later))
    text = f"MoF: within {MOST_MOF_LOST:g} points of the same system trained on {aim.reference}"
    found.append(_judge(text, get(ours, "MoF"), get(ours, "MoF", supervision=aim.reference), _is_near))
    ratio = get(ours, "segment ratio")
    found.append(_judge(f"segment ratio between {RATIO[0]} and {RATIO[1]}", ratio, ratio, _is_in_range))
    text = "the decoder removes at least half of argmax's Edit error (100 - Edit)"
    found.append(_judge(text, get(ours, "Edit"), get(ours, "Edit", CONFIRMED_ARGMAX), _removes_half))
    return found


class _Comparison(Protocol):
    def __call__(self, ours: float, other: float, larger_std: float, /) -> bool: ...


def _judge(aim: str, ours: Row | None, other: Row | None, holds: _Comparison) -> Verdict:
    figures = _figure(ours) if ours is other else f"{_figure(ours)} against {_figure(other)}"
    if ours is None or other is None or ours.mean is None or other.mean is None:
        return Verdict(aim, figures, None)
    if holds is _is_ahead and (ours.std is None or other.std is None):
        return Verdict(aim, f"{figures}, a single seed", None)
    larger = max(ours.std or 0.0, other.std or 0.0)
    return Verdict(aim, figures, holds(ours.mean, other.mean, larger))


def _is_ahead(ours: float, other: float, larger_std: float) -> bool:
    return ours - other > larger_std


def _is_not_later(ours: float, other: float, _: float) -> bool:
    return ours <= other


def _is_near(ours: float, other: float, _: float) -> bool:
    return other - ours <= MOST_MOF_LOST


def _is_in_range(ours: float, _: float, __: float) -> bool:
    return RATIO[0] <= ours <= RATIO[1]


def _removes_half(ours: float, argmax: float, _: float) -> bool:
    return (100 - ours) <= (1 - LEAST_EDIT_ERROR_REMOVED) * (100 - argmax)


def _figure(row: Row | None) -> str:
    if row is None or row.mean is None:
        return "nothing"
    return f"{row.mean:.2f}" + ("" if row.std is None else f" ± {row.std:.2f}")


def verdict_lines(found: Sequence[Verdict]) -> list[str]:
    """Return a Markdown list of verdicts; the aims that could not be judged share its last line."""
    judged = [verdict for verdict in found if verdict.holds is not None]
    lines = [f"- {v.aim}: **{'holds' if v.holds else 'does not hold'}** ({v.figures})" for v in judged]
    if unjudged := [verdict.aim for verdict in found if verdict.holds is None]:
        lines.append(f"- **not measured**: {'; '.join(unjudged)}")
    return lines
