"""What each stream adds: one plan for each set of the simulated robot's streams.

All streams are aligned to the clock each for itself, so that a part is what would have been ingested without the rest.
Pictures and features of several parts lie on disk once then.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.datasets.config import TRAINING, VALIDATION, streams_of
from hal_ros.datasets.encoded_clips import EncodedClip
from hal_ros.experiments.declaration import Declaration, make_plan, run_settings
from hal_ros.experiments.ingested import PreparedEpisodes, extras_for, ingest, write_benchmark
from hal_ros.experiments.plan import STREAMS, Experiment
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


# --- parts of what the episodes hold ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Selection:
    """Which cameras and which of the V state values are taken, in the part's order."""

    cameras: tuple[int, ...]
    values: tuple[int, ...]

    def of(self, encoded: EncodedClip) -> EncodedClip:
        """Return a clip with these alone."""
        cameras, values = list(self.cameras), list(self.values)
        return dataclasses.replace(
            encoded,
            features=tuple(encoded.features[camera] for camera in cameras),
            image_valid=np.ascontiguousarray(encoded.image_valid[:, cameras]),
            joints=np.ascontiguousarray(encoded.joints[:, values]),
            joints_valid=np.ascontiguousarray(encoded.joints_valid[:, values]),
        )


def selection(whole: StreamSpec, part: StreamSpec) -> Selection:
    """Return where the part's streams lie in clips of the whole.

    Raises ConfigError for a stream that the whole has not, or has otherwise, and for another clock: the ticks of the
    two are not the same then.
    """
    for key in ("clock", "rate_hz", "max_held_ticks"):
        if getattr(whole, key) != getattr(part, key):
            raise ConfigError(f"{key} is {getattr(part, key)!r}; expected {getattr(whole, key)!r}, as of all streams")
    for name in part.names:
        known = whole.streams.get(name)
        if known is None or known != part.streams[name]:
            raise ConfigError(f"stream {name!r} is not as it is among {', '.join(whole.names)}")
    cameras, columns = list(whole.cameras), list(whole.values)
    return Selection(
        tuple(cameras.index(name) for name in part.cameras), tuple(columns.index(value) for value in part.values)
    )


def part_of(streams: dict[str, Any], clock: str, cameras: list[str], states: list[str]) -> dict[str, Any]:
    """Return the settings of some of the streams that settings name. Raises ConfigError for one that they don't."""
    for kind, names in (("cameras", cameras), ("states", states)):
        if unknown := [name for name in names if name not in streams[kind]]:
            raise ConfigError(f"{unknown[0]!r} is none of the {kind}; expected some of {', '.join(streams[kind])}")
    return {
        "clock": clock,
        "cameras": {name: streams["cameras"][name] for name in cameras},
        "states": {name: streams["states"][name] for name in states},
    }
