"""What each stream adds: one plan for each set of the simulated robot's streams."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hal_ros.datasets.config import TRAINING, VALIDATION, streams_of
from hal_ros.experiments.declaration import Declaration, make_plan, run_settings
from hal_ros.experiments.ingested import PreparedEpisodes, extras_for, ingest, write_benchmark
from hal_ros.experiments.plan import STREAMS, Experiment
from hal_ros.experiments.selection import part_of, selection
from hal_ros.train.config import config_from_mapping


def stream_experiments(declared: Declaration, quick: Declaration | None) -> list[Experiment]:
    """Return an experiment for each set, simulating and ingesting what is missing.

    Sets with one clock share the episodes of all streams. Raises ConfigError for a stream that there is not.
    """
    sets = {name: _settings(part, quick) for name, part in declared["sets"].items()}
    limits = quick["limits"] if quick else {}
    splits = (TRAINING, VALIDATION, *declared["score"])
    runs = [config_from_mapping(dict(whole)).data for whole, _ in sets.values()]
    for data in sorted(runs, key=lambda data: extras_for(data) is None):  # else bags would change once they were read
        write_benchmark(data, splits, limits)
    known: dict[str, PreparedEpisodes] = {}
    found = []
    for name, (whole, settings) in sets.items():
        shared = whole["data"]["streams"]["clock"] == settings["data"]["streams"]["clock"]
        base = whole if shared else settings
        key = json.dumps(base["data"], sort_keys=True)
        if key not in known:
            known[key] = ingest(base, declared["score"], limits)
        ingested = known[key]
        plan = make_plan(f"{STREAMS}: {name}", declared, settings, {"": ingested.fold}, quick)
        places = {**ingested.places, **_selection(base, settings)}
        card = ingested.card
        found.append(Experiment(plan, places, card.vocabulary, card.period_ns, table=STREAMS, part=name))
    return found


def _settings(part: Mapping[str, Any], quick: Declaration | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of the run that a set is a part of, and its own."""
    whole = run_settings(part["run"], quick)
    if "clock" not in part:
        return whole, whole
    streams = part_of(whole["data"]["streams"], part["clock"], part.get("cameras", []), part.get("states", []))
    return whole, {**whole, "data": {**whole["data"], "streams": streams}}


def _selection(base: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    if base == settings:
        return {}
    whole, part = (streams_of(config_from_mapping(dict(each)).data) for each in (base, settings))
    return {"selection": selection(whole, part)}
