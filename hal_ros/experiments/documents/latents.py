"""A student's two latents: their files, v and c over their main axes, and how much each changes from tick to tick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.segments import runs
from hal_ros.report import plots


@dataclass(frozen=True)
class Latents:
    """One clip's latents tick by tick."""

    name: str
    actions: NDArray[np.int64]  # (T,) what was true
    visual: NDArray[np.floating[Any]]  # v, (T, V)
    context: NDArray[np.floating[Any]]  # c, (T, C)


MOST_DOTS = 4000
NORM_FLOOR = 1e-6


def save_latents(path: Path, clips: Sequence[Latents]) -> None:
    """Write one file, latents as float16."""
    columns: dict[str, Any] = {"names": np.array([clip.name for clip in clips], dtype=str)}
    for index, clip in enumerate(clips):
        columns[f"{index}/actions"] = np.asarray(clip.actions, np.int64)
        columns[f"{index}/visual"] = np.asarray(clip.visual, np.float16)
        columns[f"{index}/context"] = np.asarray(clip.context, np.float16)
    with path.open("wb") as file:  # np.savez would add an ending to the name
        np.savez(file, **columns)


def load_latents(path: Path) -> list[Latents]:
    """Read what save_latents wrote."""
    with np.load(path) as file:
        return [
            Latents(name, file[f"{i}/actions"], file[f"{i}/visual"].astype(float), file[f"{i}/context"].astype(float))
            for i, name in enumerate(file["names"].tolist())
        ]


# --- pictures ---------------------------------------------------------------------------------------------------------


def principal(values: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the values (N, D) on their two principal axes, (N, 2), and the share of variance of each axis, (2,)."""
    centred = np.asarray(values, np.float64) - values.mean(0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    shares = np.square(sizes) / max(float(np.square(sizes).sum()), 1e-12)
    return centred @ axes[:2].T, shares[:2]


def changes(latent: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return |u_t - u_(t-1)|_1 of the unit vectors u of latents, (T,), 0 at first: what the slowness loss weighs."""
    unit = latent / (np.linalg.norm(latent, axis=1, keepdims=True) + NORM_FLOOR)
    return np.concatenate(([0.0], np.abs(np.diff(unit, axis=0)).sum(1)))


@plots.styled
def draw_scatter(clips: Sequence[Latents], vocabulary: Sequence[str], path: Path) -> None:
    """Write v and c of all clips' annotated ticks, each on its own two principal axes, coloured by true action."""
    actions = np.concatenate([clip.actions for clip in clips])
    known = np.flatnonzero(actions != NO_ACTION)
    known = known[:: max(1, -(-len(known) // MOST_DOTS))]
    figure, axes = plots.figure(11, 5.2, 1, 2)
    for axis, name, title in ((axes[0][0], "visual", "v, visual latent"), (axes[0][1], "context", "c, action latent")):
        places, shares = principal(np.concatenate([getattr(clip, name) for clip in clips])[known])
        for action in np.unique(actions[known]).tolist():
            chosen = places[actions[known] == action]
            look = {"c": plots.hue(action), "marker": plots.marker(action), "label": vocabulary[action]}
            axis.scatter(*chosen.T, s=9, linewidths=0, alpha=0.7, rasterized=True, **look)
        axis.set_title(title)
        axis.set_xlabel(f"first principal axis ({100 * shares[0]:.0f} % of the variance)")
        axis.set_ylabel(f"second ({100 * shares[1]:.0f} %)")
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=8, markerscale=1.8, fontsize=8)
    plots.write(figure, path)


@plots.styled
def draw_changes(clip: Latents, vocabulary: Sequence[str], period_s: float, path: Path) -> None:
    """Write dC and dV of one clip over time, over its true actions: both should be flat inside an action."""
    figure, axes = plots.figure(11, 3.6, 2, 1, sharex=True)
    times = np.arange(len(clip.actions)) * period_s
    for row, (latent, name, index) in enumerate(((clip.visual, "ΔV", 4), (clip.context, "ΔC", 5))):
        axis = axes[row][0]
        values = changes(latent)
        axis.plot(times, values, color=plots.hue(index), linewidth=1.0)
        axis.set_ylabel(name)
        axis.set_ylim(0, max(float(values.max()) * 1.25, 1e-3))
        for run in runs(clip.actions):
            if run.action != NO_ACTION:
                _mark(axis, run.start * period_s, run.end * period_s, vocabulary[run.action] if row == 0 else "")
    axes[1][0].set_xlabel("time (s)")
    axes[1][0].set_xlim(0, len(times) * period_s)
    figure.suptitle(f"change of the latents' unit vectors from tick to tick, {clip.name}; lines: true boundaries")
    plots.write(figure, path)


def _mark(axis: Any, start_s: float, end_s: float, name: str) -> None:
    axis.axvline(start_s, color="#57606a", linewidth=0.6)
    if name and end_s - start_s > 0.2:
        middle, top = (start_s + end_s) / 2, axis.get_ylim()[1]
        axis.text(middle, top, name, rotation=60, fontsize=6, ha="left", va="bottom", clip_on=False)
