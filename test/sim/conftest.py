"""Episodes that several tests look at, run once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from hal_ros.core.answers import Segment
from hal_ros.sim.benchmark import EpisodeSpec, episode
from hal_ros.sim.checks import Claim
from hal_ros.sim.episode import Simulation

# together they hold every action
SAMPLE = (("serve", 11), ("restock", 12), ("brew", 13), ("wash", 15))


class Run(NamedTuple):
    """What an episode gave, tick by tick and as a whole."""

    spec: EpisodeSpec
    actions: tuple[str, ...]
    joints: bytes
    segments: tuple[Segment, ...]
    claims: tuple[Claim, ...]
    worst_miss_m: float


def run(spec: EpisodeSpec, each_tick: Callable[..., Any] = lambda _: None, ticks: int = 100_000) -> Run:
    simulation = Simulation(spec)
    actions, joints = [], []
    while len(actions) < ticks and simulation.step():
        sample = simulation.joints()
        actions.append(simulation.action)
        joints += [sample.position.tobytes(), sample.velocity.tobytes(), sample.effort.tobytes()]
        each_tick(simulation)
    return Run(
        spec,
        tuple(actions),
        b"".join(joints),
        simulation.segments(),
        simulation.claims(),
        simulation.worst_miss_m,
    )


@pytest.fixture(scope="session")
def runs() -> list[Run]:
    return [run(episode(*sample)) for sample in SAMPLE]
