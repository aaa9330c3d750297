"""The scores of one run of a system, as few as the tables need."""

from __future__ import annotations

from typing import Any

from hal_ros.experiments.documents.markdown import ALL_SPLITS, MODEL
from hal_ros.metrics.decoded import CONFIRMED_ARGMAX
from hal_ros.metrics.predictions import CONFIRMED


def run(
    mof: float = 90.0, edit: float = 90.0, latency: float = 0.4, ratio: float = 1.0, argmax_edit: float = 50.0
) -> dict[str, Any]:
    metrics = {"MoF": mof, "Edit": edit, "F1@50": edit, "segment ratio": ratio}
    timed = {**metrics, "latency median s": latency, "latency p90 s": latency}
    model = {ALL_SPLITS: {MODEL: {"parameters": 12345.0, "ms per tick": 0.5}}}
    return {"unseen": {CONFIRMED: timed, CONFIRMED_ARGMAX: {**timed, "Edit": argmax_edit}}, **model}
