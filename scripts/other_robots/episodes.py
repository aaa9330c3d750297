"""Simulate the episodes of one robot and write them as bags; runs in the simulators' environment.

python -m other_robots.episodes panda OUT --episodes train:44,test:14
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from other_robots.plans import SPLITS, Recipe, action_of, draw_recipe, parse_counts
from other_robots.recording import FORMS, Form, Recording
from other_robots.sensors import Scene
from other_robots.simulation import FailedError

Begin = Callable[[Recording, int, Recipe], Any]  # begins an episode, given a seed: a script with `perform`
ATTEMPTS = 12
ROBOT_SEEDS = {"aloha": 1, "panda": 2}
UNFINISHED = ".unfinished"


def main() -> None:
    """Make all episodes that are not there yet."""
    parser = argparse.ArgumentParser(prog="python -m other_robots.episodes", description=__doc__)
    parser.add_argument("robot", choices=sorted(ROBOT_SEEDS))
    parser.add_argument("out", type=Path)
    parser.add_argument("--episodes", type=parse_counts, required=True, metavar="SPLIT:COUNT,...")
    parser.add_argument("--share", default="0/1", help="this process's part, as 0/2 and 1/2 for two (default: all)")
    args = parser.parse_args()
    mine, processes = (int(part) for part in args.share.split("/"))
    scene, begin = load_robot(args.robot)
    wanted = [(split, index) for split, count in args.episodes.items() for index in range(count)]
    for split, index in wanted[mine::processes]:
        folder = args.out / split / f"{args.robot}_{split}_{index:03d}"
        if not folder.exists():
            print(make_episode(begin, args.robot, split, index, folder), flush=True)
    for renderer in scene.renderers.values():
        renderer.close()


def load_robot(name: str) -> tuple[Scene, Begin]:
    """Load a robot's model and return it with what begins an episode."""
    if name == "panda":
        from other_robots import panda

        table = panda.load_scene()
        return table, lambda recording, seed, _: panda.Panda(table, recording, seed)
    from other_robots import aloha

    scene = aloha.load_scene()
    return scene, lambda recording, seed, recipe: aloha.Aloha(scene, recording, seed, recipe.phases)


def make_episode(begin: Begin, robot: str, split: str, index: int, folder: Path) -> str:
    """Simulate one episode until its phases come out as planned, and write it; return a line about it."""
    began_s = time.monotonic()
    form = FORMS[index % len(FORMS)]
    reasons = []
    for seed in _seeds(robot, split, index):
        recording = Recording(form)
        recipe = draw_recipe(robot, split, index, np.random.default_rng(seed))
        script = begin(recording, seed, recipe)
        try:
            for phase in recipe.phases:
                script.simulation.begin(action_of(phase))
                script.perform(phase)
        except FailedError as error:
            reasons.append(f"{phase}: {error}")
            continue
        end_ns = script.simulation.now_ns
        _write(recording, end_ns, folder, {"seed": seed, "attempts": len(reasons) + 1, **_about(form, recipe)})
        again = f" (again after {'; '.join(reasons)})" if reasons else ""
        count = len(recording.segments(end_ns))
        took_s = time.monotonic() - began_s
        return f"{folder.name}: {script.simulation.now_s:.1f} s, {count} phases, in {took_s:.1f} s{again}"
    raise SystemExit(f"{folder}: not one of {ATTEMPTS} attempts came out as planned: {'; '.join(reasons)}")


def _seeds(robot: str, split: str, index: int) -> Iterator[int]:
    for attempt in range(ATTEMPTS):
        sequence = np.random.SeedSequence([ROBOT_SEEDS[robot], SPLITS.index(split), index, attempt])
        yield int(sequence.generate_state(1)[0])


def _about(form: Form, recipe: Recipe) -> dict[str, object]:
    return {"unseen": recipe.unseen, "phases": list(recipe.phases), "form": form._asdict()}


def _write(recording: Recording, end_ns: int, folder: Path, about: dict[str, object]) -> None:
    """Write into another folder, which comes to its place when all is there."""
    unfinished = folder.parents[1] / UNFINISHED / folder.name  # the bag's files are named after their folder
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    recording.write(unfinished, end_ns)
    (unfinished / "episode.json").write_text(json.dumps(about, indent=1) + "\n")
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished.rename(folder)


if __name__ == "__main__":
    main()
