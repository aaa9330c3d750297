"""Laying a transcript over a clip, cell by cell: what the fast form in `labels` is measured and tested against.

It follows the definitions word for word: a window's similarities for each tick, a template for each candidate and
transition, a table of states for each candidate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hal_ros.labels.transcripts.align import AlignConfig
from hal_ros.labels.transcripts.align_scores import SCORE_DECIMALS, candidates

FloatArray = NDArray[np.float64]


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
