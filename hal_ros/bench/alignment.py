"""Speed of what happens off the robot: laying transcripts over clips, against the same written cell by cell."""

from __future__ import annotations

import numpy as np

from hal_ros.bench.alignment_by_cells import align_by_cells, made_clip, match_by_cells
from hal_ros.bench.rows import BenchRow, at_least, at_most, baseline
from hal_ros.bench.timing import median_ms
from hal_ros.labels.transcripts.align import AlignConfig, align, drop_allowed_dp, posterior

TICKS, ACTIONS = 2000, 20
ALIGN_LIMIT_MS, LEAST_RATIO = 20.0, 10.0
SIZE = f"{TICKS} ticks x {ACTIONS} actions"
ALIGN_NAME = f"align {SIZE}"
CELLS_NAME = f"align {SIZE}, cell by cell in Python"
RATIO_NAME = "align, cell by cell against vectorised"
MATCHING_NAME = "matching alone, cell by cell against vectorised"


def expected() -> list[tuple[str, str, str]]:
    """Return name, unit and target of the rows that have a target."""
    return [
        (ALIGN_NAME, "ms", f"<= {ALIGN_LIMIT_MS:g}"),
        (RATIO_NAME, "times", f">= {LEAST_RATIO:g}"),
        (MATCHING_NAME, "times", f">= {LEAST_RATIO:g}"),
    ]


def rows(repeats: int = 50) -> list[BenchRow]:
    """Measure on one thread; the cell-by-cell forms run a tenth of the repeats, three times at least."""
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
