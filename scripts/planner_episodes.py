"""Write episodes with holds, to train a segmenter that a planner can go by: datasets/planner-v1.

    scripts/with_interfaces.sh .venv/bin/python scripts/planner_episodes.py --jobs 2
    hal train config/planner.yaml

Episodes that are there already stay; the benchmark tabletop-v1 is not touched.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("LP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from hal_ros.datasets.pool import as_done  # noqa: E402
from hal_ros.sim.benchmark import RECIPES, EpisodeSpec, episode  # noqa: E402
from hal_ros.sim.write import EpisodeKind, Written, is_written, write_episode  # noqa: E402

VERSION = "planner-v1"
SPLITS = {"train": (110_000, 200), "validation": (120_000, 24), "test": (130_000, 24)}
"""First seed and number of episodes; recipes of the benchmark's training split take turns."""
RECIPE_NAMES = tuple(RECIPES)[:12]


def simulation(spec: EpisodeSpec) -> Any:
    """Return the simulation of an episode with holds and the usual disturbances."""
    from hal_ros.sim.driven.disturbances import USUAL  # late: MuJoCo belongs to the process that renders
    from hal_ros.sim.driven.held import HeldScript
    from hal_ros.sim.episode import Simulation

    return Simulation(spec, HeldScript(spec, USUAL).script)


def write(task: tuple[EpisodeSpec, Path]) -> Written:
    """Write one episode into a split's folder."""
    spec, folder = task
    return write_episode(spec, folder, kind=EpisodeKind(VERSION, simulation))


def main() -> int:
    """Write what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "datasets" / VERSION)
    parser.add_argument("--jobs", type=int, choices=(1, 2), default=1)
    parser.add_argument("--limit", type=int, help="write the first episodes of each split only")
    args = parser.parse_args()
    tasks = []
    for split, (first, count) in SPLITS.items():
        for number in range(count)[: args.limit]:
            spec, folder = episode(RECIPE_NAMES[number % len(RECIPE_NAMES)], first + number), args.out / split
            if not is_written(spec, folder):
                tasks.append((spec, folder))
    for number, one in enumerate(as_done(write, tasks, args.jobs, "a simulating process was killed; start again"), 1):
        print(f"{number}/{len(tasks)} {one.name}: {one.simulated_s:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
