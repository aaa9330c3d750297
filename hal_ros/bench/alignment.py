"""Speed of what happens off the robot: laying transcripts over clips, against the same written cell by cell.

The cell-by-cell form follows the definitions word for word: a window's similarities for each tick, a template for each
candidate and transition, a table of states for each candidate. It is what the fast form is measured and tested against.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hal_ros.bench.rows import Row
    from hal_ros.labels.transcripts.align import AlignConfig

TICKS, ACTIONS = 2000, 20
ALIGN_LIMIT_MS, LEAST_RATIO = 20.0, 10.0
SIZE = f"{TICKS} ticks x {ACTIONS} actions"
ALIGN_NAME = f"align {SIZE}"
CELLS_NAME = f"align {SIZE}, cell by cell in Python"
RATIO_NAME = "align, cell by cell against vectorised"
MATCHING_NAME = "matching alone, cell by cell against vectorised"

FloatArray = NDArray[np.float64]


def expected() -> list[tuple[str, str, str]]:
    """Return name, unit and target of the rows that have a target."""
    return [
        (ALIGN_NAME, "ms", f"<= {ALIGN_LIMIT_MS:g}"),
        (RATIO_NAME, "times", f">= {LEAST_RATIO:g}"),
        (MATCHING_NAME, "times", f">= {LEAST_RATIO:g}"),
    ]


def rows(repeats: int = 50) -> list[Row]:
    """Measure on one thread; the cell-by-cell forms run a tenth of the repeats, three times at least."""
    from hal_ros.bench.rows import at_least, at_most, baseline
    from hal_ros.bench.timing import median_ms
    from hal_ros.labels.transcripts.align import AlignConfig, align, drop_allowed_dp, posterior

    few = max(repeats // 10, 3)
    log_probs, transcript = made_clip(TICKS, ACTIONS)
    config = AlignConfig()
    gain = np.random.default_rng(0).normal(size=(ACTIONS - 1, int(config.candidates_per_transition * (ACTIONS - 1))))
    align_ms = median_ms(lambda: align(log_probs, transcript, config), repeats)
    cells_ms = median_ms(lambda: align_by_cells(log_probs, transcript, config), few)
    matching_ms = median_ms(lambda: drop_allowed_dp(gain), repeats)
    matching_cells_ms = median_ms(lambda: match_by_cells(gain), few)
    soft_ms = median_ms(lambda: posterior(log_probs, transcript), repeats)
    pair = (
        f"{matching_cells_ms:.3g} ms against {matching_ms:.3g} ms, {gain.shape[0]} transitions, {gain.shape[1]} ticks"
    )
    return [
        at_most(ALIGN_NAME, align_ms, "ms", ALIGN_LIMIT_MS, "scores, candidates and matching, one thread"),
        baseline(CELLS_NAME, cells_ms, "ms"),
        at_least(RATIO_NAME, cells_ms / align_ms, "times", LEAST_RATIO),
        at_least(MATCHING_NAME, matching_cells_ms / matching_ms, "times", LEAST_RATIO, pair),
        baseline(f"soft labels of {SIZE}", soft_ms, "ms", "forward-backward over the transcript"),
    ]


def made_clip(ticks: int, actions: int, seed: int = 0) -> tuple[FloatArray, list[int]]:
    """Return noisy log-probabilities (T, K) of a clip whose segments last equally long, and its transcript."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(ticks, actions))
    logits[np.arange(ticks), np.arange(ticks) * actions // ticks] += 2.0
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), list(range(actions))


def align_by_cells(
    log_probs: FloatArray, transcript: Sequence[int], config: AlignConfig
) -> tuple[NDArray[np.int64], float]:
    """Return boundaries (M - 1,) and score of a transcript without repeats, two actions or more, all by definition."""
    from hal_ros.labels.transcripts.align_scores import candidates

    probs = np.exp(log_probs)
    boundary = boundary_scores_by_cells(probs, config.boundary_window)
    transitions = len(transcript) - 1
    at = candidates(boundary, transitions, config.candidates_per_transition, config.suppression)
    gain = np.empty((transitions, len(at)))
    for row in range(transitions):
        for column, tick in enumerate(at):
            pair = probs[:, [transcript[row], transcript[row + 1]]]
            gain[row, column] = transition_score_by_cells(pair, int(tick), config.transition_window) + boundary[tick]
    chosen = match_by_cells(gain)
    return at[chosen], float(sum(gain[row, column] for row, column in enumerate(chosen)))


def boundary_scores_by_cells(probs: FloatArray, window: int) -> FloatArray:
    """Return the class-agnostic scores (T,), one window of similarities at a time."""
    from hal_ros.labels.transcripts.align_scores import SCORE_DECIMALS

    half = window // 2
    side = np.where(np.arange(window) < half, -1.0, 1.0)
    template = np.outer(side, side)
    template[half, half] = 0.0
    padded = np.pad(probs, ((half, half), (0, 0)), mode="edge")
    scores: FloatArray = np.empty(len(probs))
    for tick in range(len(probs)):
        rows_here = padded[tick : tick + window]
        left, right = rows_here[:, None], rows_here[None]
        middle = np.log(0.5 * (left + right))
        divergence = 0.5 * (left * (np.log(left) - middle) + right * (np.log(right) - middle)).sum(axis=2)
        scores[tick] = np.mean(template * (1.0 - 2.0 * divergence / np.log(2.0)))
    scores[0] = -np.inf
    return np.round(scores, SCORE_DECIMALS)


def transition_score_by_cells(pair: FloatArray, tick: int, window: int) -> float:
    """Return how well one tick fits one change, from the probabilities (T, 2) of the action before and after."""
    half = window // 2
    side = np.sign(np.arange(-half, half + 1))
    template = np.stack([-side, side], axis=1)
    first, last = max(tick - half, 0), min(tick + half + 1, len(pair))
    part = template[first - tick + half : last - tick + half] * pair[first:last]
    return float(part.sum()) / template.size


def match_by_cells(gain: FloatArray) -> list[int]:
    """Return the column of each row, by 2 R + 1 states a column: dropped, row 0, dropped, row 1, … dropped."""
    transitions, columns = gain.shape
    states = 2 * transitions + 1
    value = [[-np.inf] * states for _ in range(columns)]
    came_from = [[0] * states for _ in range(columns)]
    value[0][0], value[0][1] = 0.0, gain[0, 0]
    for column in range(1, columns):
        for state in range(states):
            matched = state % 2 == 1
            # Dropped: still dropped, or after the row. Matched: after the drops before it, or right after a row.
            sources = [state - 1, state - 2] if matched else [state, state - 1]
            source = max((s for s in sources if s >= 0), key=lambda s: value[column - 1][s])
            value[column][state] = value[column - 1][source] + (gain[state // 2, column] if matched else 0.0)
            came_from[column][state] = source
    state = max((states - 2, states - 1), key=lambda s: value[-1][s])
    chosen = []
    for column in range(columns - 1, -1, -1):
        if state % 2 == 1:
            chosen.append(column)
        state = came_from[column][state]
    return chosen[::-1]
