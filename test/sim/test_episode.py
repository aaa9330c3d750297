"""An episode is a function of its spec alone, and its labels are its segments."""

from __future__ import annotations

import hashlib
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from hal_ros.sim.benchmark import ACTIONS, VERSION, episode
from hal_ros.sim.episode import TICK_NS, Simulation
from test.sim.conftest import run

if TYPE_CHECKING:
    from test.sim.conftest import Run


TICKS = 900

GOLDEN = "3ec617a9aee659e075d6792ba405aa1169dc61269f3a433f90b49483a66accc7"
"""SHA-256 of joints and labels of the sample's episodes. They are the benchmark: a change needs another VERSION."""


def test_same_spec_same_joints_and_labels_byte_for_byte(runs: list[Run]) -> None:
    again = run(runs[0].spec)
    assert again.joints == runs[0].joints
    assert again.actions == runs[0].actions
    assert again.segments == runs[0].segments


def test_joints_and_labels_are_those_of_the_benchmark(runs: list[Run]) -> None:
    digest = hashlib.sha256()
    for result in runs:
        digest.update(result.joints + " ".join(result.actions).encode())
    assert (VERSION, digest.hexdigest()) == ("tabletop-v1", GOLDEN)


def test_another_seed_gives_another_episode(runs: list[Run]) -> None:
    other = run(episode(runs[0].spec.recipe, runs[0].spec.seed + 1000), ticks=TICKS)
    assert other.joints != runs[0].joints[: len(other.joints)]


def test_looking_and_the_level_change_nothing(runs: list[Run]) -> None:
    first = runs[0]
    watched = run(episode(first.spec.recipe, first.spec.seed, "hard"), lambda s: (s.snapshot(), s.joints()), TICKS)
    assert watched.joints == first.joints[: len(watched.joints)]
    assert watched.actions == first.actions[:TICKS]


def test_transcript_equals_the_run_collapsed_labels(runs: list[Run]) -> None:
    for result in runs:
        collapsed = [action for action, _ in groupby(result.actions)]
        assert [segment.action for segment in result.segments] == collapsed
        assert set(collapsed) <= set(ACTIONS)
        assert 6 <= len(collapsed) <= 25


def test_segments_cover_the_episode_without_gaps(runs: list[Run]) -> None:
    for result in runs:
        starts = [segment.start_ns for segment in result.segments]
        ends = [segment.end_ns for segment in result.segments]
        assert starts == [0, *ends[:-1]]
        assert ends[-1] == len(result.actions) * TICK_NS
        labels = [a for s in result.segments for a in [s.action] * ((s.end_ns - s.start_ns) // TICK_NS)]
        assert tuple(labels) == result.actions


def test_the_sample_holds_every_action_and_stays_in_reach(runs: list[Run]) -> None:
    missing = set(ACTIONS) - {action for result in runs for action in result.actions}
    assert not missing
    assert max(result.worst_miss_m for result in runs) < 0.003


def test_encoders_are_noisy_and_lose_samples_now_and_then(runs: list[Run]) -> None:
    values = np.frombuffer(runs[0].joints, np.float32).reshape(-1, 3, 7)
    lost = np.isnan(values)
    assert 0 < lost.mean() < 0.1
    assert np.array_equal(lost[:, 0], lost[:, 1])
    still = values[2:60, 0, :6]  # the arm rests at first
    assert 5e-4 < np.nanstd(still, axis=0).max() < 5e-3


def test_a_snapshot_is_a_copy() -> None:
    simulation = Simulation(episode("serve", 11))
    snapshot = simulation.snapshot()
    before = snapshot.qpos.copy()
    for _ in range(300):
        simulation.step()
    np.testing.assert_array_equal(snapshot.qpos, before)
    assert not np.array_equal(simulation.snapshot().qpos, before)


def test_nothing_changes_after_the_end() -> None:
    simulation = Simulation(episode("stack_tray", 5))
    while simulation.step():
        pass
    end = simulation.time_ns, simulation.segments(), simulation.claims()
    assert not simulation.step()
    assert (simulation.time_ns, simulation.segments(), simulation.claims()) == end
