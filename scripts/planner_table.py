"""How much the events matter: a planner drives the simulated robot by four sources of them. docs/results/planner.json.

    scripts/with_interfaces.sh .venv/bin/python scripts/planner_table.py --model models/tabletop

Each finished episode is a line of <runs>/episodes.jsonl; a call that was interrupted goes on there. Other calls:
`--learn` writes the options' durations from undisturbed truth, `--tune` prints what the two rules' numbers do, both on
episodes of their own.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "LP_NUM_THREADS"):
    os.environ.setdefault(name, "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples" / "planner"), str(ROOT / "scripts")]

import numpy as np  # noqa: E402

from hal_planner import tabletop  # noqa: E402
from hal_planner.planner import Planner  # noqa: E402
from hal_ros.sim.benchmark import RECIPES, EpisodeSpec, episode  # noqa: E402
from hal_ros.sim.driven.disturbances import USUAL, Disturbances  # noqa: E402
from hal_ros.sim.episode import Simulation  # noqa: E402
from planner_episode import LIMIT_S, DrivenEpisode, Result  # noqa: E402
from planner_events import (  # noqa: E402
    Events,
    FixedDurations,
    GripperAndVelocity,
    Rule,
    SegmenterEvents,
    Truth,
    open_bundle,
)

POLICIES = ("boundaries", "gripper_velocity", "fixed_durations", "truth")
FIRST_SEED, TUNING_SEED = 60_000, 70_000
SEEDS = 3
RECIPE_NAMES = tuple(RECIPES)[:12]
"""Those of the training split."""
METRICS = ("success", "goals", "time_s", "wrong_switches", "early", "false_successes", "wait_s", "retries", "safe")
EARLY_IDLE_S = 1.0  # an unfinished option's pause counts as its end so much later than the longest pause
STILL_S, QUANTILE = 1.0, "p90_s"


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "tabletop")
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--still-s", type=float, default=STILL_S, help="of the rule (default: as --tune found it)")
    parser.add_argument("--quantile", default=QUANTILE, choices=("mean_s", "p90_s", "p99_s"))
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "planner")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "planner.json")
    parser.add_argument("--learn", action="store_true")
    parser.add_argument("--tune", action="store_true")
    args = parser.parse_args()
    if args.learn:
        return learn(args.episodes)
    if args.tune:
        return tune(args.episodes)
    run_missing(args)
    rows = table(read(args.runs), args.policies, args.seeds, args.episodes)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")
    print(markdown(rows))
    print(f"{args.out}: written")
    return 0


def planner_of(kinds: Disturbances = USUAL) -> Planner:
    """Return the planner with the shipped durations; it waits out the longest pause."""
    planner = Planner(tabletop.options(tabletop.learnt()))
    settings = dataclasses.replace(planner.settings, early_idle_s=kinds.pause_s[1] + EARLY_IDLE_S)
    return Planner(planner.domain, settings)


def spec_of(number: int, first: int = FIRST_SEED) -> EpisodeSpec:
    """Return an episode; recipes take turns."""
    return episode(RECIPE_NAMES[number % len(RECIPE_NAMES)], first + number)


def maker(policy: str, args: Any) -> Callable[[Simulation], Events]:
    """Return what makes a policy's source of events for a simulation."""
    if policy == "boundaries":
        segmenter = open_bundle(args.model)
        return lambda simulation: SegmenterEvents(segmenter, simulation)
    if policy == "gripper_velocity":
        return lambda _: GripperAndVelocity(Rule(still_s=args.still_s))
    if policy == "fixed_durations":
        return lambda _: FixedDurations(tabletop.learnt(), args.quantile)
    return lambda _: Truth()


def run_one(spec: EpisodeSpec, planner: Planner, make: Callable[[Simulation], Events]) -> Result:
    """Run one episode and free what its events hold."""
    driven = DrivenEpisode(spec, USUAL, planner, make)
    try:
        return driven.run()
    finally:
        if isinstance(driven.events, SegmenterEvents):
            driven.events.close()


# --- episodes that are run once ---------------------------------------------------------------------------------------


def run_missing(args: Any) -> None:
    """Run the episodes that have no line yet."""
    args.runs.mkdir(parents=True, exist_ok=True)
    there = {(line["policy"], line["number"]) for line in read(args.runs)}
    planner = planner_of()
    for policy in args.policies:
        numbers = [n for n in range(args.episodes * args.seeds) if (policy, n) not in there]
        make = maker(policy, args) if numbers else None
        for number in numbers:
            assert make is not None
            result = run_one(spec_of(number), planner, make)
            line = {"policy": policy, "number": number, **as_line(result)}
            with (args.runs / "episodes.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            how = f"success {result.success}, {result.time_s:.0f} s, {dict(result.errors)}"
            print(f"{policy} {number}: {how}", flush=True)


def as_line(result: Result) -> dict[str, Any]:
    """Return a result as it is stored."""
    line = {name: float(getattr(result, name)) for name in METRICS}
    return {**line, "errors": dict(result.errors), "durations_s": result.durations_s}


def read(runs: Path) -> list[dict[str, Any]]:
    """Return the stored episodes; a line that was cut off is left out."""
    path = runs / "episodes.jsonl"
    texts = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    whole = [text for text in texts if text.endswith("}\n")]
    if len(whole) < len(texts):
        print(f"{path}: {len(texts) - len(whole)} lines are cut off and left out", file=sys.stderr)
    return [json.loads(text) for text in whole]


# --- what is made of them ---------------------------------------------------------------------------------------------


def table(lines: Iterable[dict[str, Any]], policies: Sequence[str], seeds: int, episodes: int) -> list[dict[str, Any]]:
    """Return the rows: mean and standard deviation over seeds of each seed's mean over its episodes."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        if line["number"] < seeds * episodes:
            groups[line["policy"], line["number"] // episodes].append(line)
    rows = []
    for policy in policies:
        for metric in METRICS:
            means = [np.mean([one[metric] for one in group]) for (who, _), group in groups.items() if who == policy]
            std = float(np.std(means, ddof=1)) if len(means) > 1 else 0.0
            mean = round(float(np.mean(means)), 4)
            rows.append({"policy": policy, "metric": metric, "mean": mean, "std": round(std, 4), "seeds": len(means)})
    return [*rows, *closed_gap(rows)]


def closed_gap(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return how much of the gap between rule and truth the boundary events close, by metric; 1 is all of it."""
    means = {(row["policy"], row["metric"]): row for row in rows}
    found = []
    for metric in ("success", "time_s", "wrong_switches"):
        a, b, d = (means.get((policy, metric)) for policy in ("boundaries", "gripper_velocity", "truth"))
        if a and b and d and abs(d["mean"] - b["mean"]) > 1e-9:
            share = (a["mean"] - b["mean"]) / (d["mean"] - b["mean"])
            row = {"policy": "gap closed", "metric": metric, "mean": round(share, 4), "std": 0.0, "seeds": a["seeds"]}
            found.append(row)
    return found


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table as it stands in docs/planners.md."""
    names = list(dict.fromkeys(row["policy"] for row in rows if row["policy"] != "gap closed"))
    cells = {(row["policy"], row["metric"]): f"{row['mean']:.2f} ± {row['std']:.2f}" for row in rows}
    lines = [f"| {' | '.join(['policy', *METRICS])} |", f"|{'---|' * (len(METRICS) + 1)}"]
    lines += [f"| {' | '.join([name, *(cells[name, metric] for metric in METRICS)])} |" for name in names]
    gaps = [f"{row['metric']} {100 * row['mean']:.0f} %" for row in rows if row["policy"] == "gap closed"]
    return "\n".join([*lines, "", f"Gap between rule and truth that boundary events close: {', '.join(gaps) or '-'}."])


# --- on episodes of their own -----------------------------------------------------------------------------------------


def learn(episodes: int) -> int:
    """Write the options' durations as the truth measures them, disturbances included."""
    everything: Mapping[str, Mapping[str, float]] = defaultdict(lambda: {"p99_s": 60.0}, {})
    domain = tabletop.options(everything)
    planner = Planner(domain, dataclasses.replace(planner_settings(), early_idle_s=USUAL.pause_s[1] + EARLY_IDLE_S))
    seconds: dict[str, list[float]] = defaultdict(list)
    for number in range(episodes):
        for name, duration_s in run_one(spec_of(number, TUNING_SEED), planner, lambda _: Truth()).durations_s:
            seconds[name].append(duration_s)
    learnt = {
        name: {
            "mean_s": round(float(np.mean(values)), 2),
            **{f"p{q}_s": round(float(np.quantile(values, q / 100)), 2) for q in (90, 99)},
            "count": len(values),
        }
        for name, values in sorted(seconds.items())
        if name != "safe"
    }
    tabletop.DURATIONS.write_text(json.dumps(learnt, indent=1) + "\n", encoding="utf-8")
    print(f"{tabletop.DURATIONS}: {len(learnt)} options of {episodes} episodes")
    return 0


def planner_settings() -> Any:
    """Return the settings that a planner has by itself."""
    from hal_planner.planner import Settings

    return Settings()


def tune(episodes: int) -> int:
    """Print what the rule's stillness and the clock's quantile lead to, so that both can be given their best."""
    planner = planner_of()
    candidates: dict[str, Callable[[Simulation], Events]] = {}
    for still_s in (1.0, 2.0, 3.5):
        candidates[f"still {still_s}"] = lambda _, s=still_s: GripperAndVelocity(Rule(still_s=s))  # type: ignore[misc]
    for which in ("mean_s", "p90_s", "p99_s"):
        candidates[f"fixed {which}"] = lambda _, w=which: FixedDurations(tabletop.learnt(), w)  # type: ignore[misc]
    candidates["truth"] = lambda _: Truth()
    for name, make in candidates.items():
        results = [run_one(spec_of(number, TUNING_SEED + 1000), planner, make) for number in range(episodes)]
        errors = sum((result.errors for result in results), Counter[str]())
        means = {metric: round(float(np.mean([float(getattr(r, metric)) for r in results])), 2) for metric in METRICS}
        late = sum(result.time_s >= LIMIT_S for result in results)
        print(name, means, f"{late} not ended", errors.most_common(3), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
