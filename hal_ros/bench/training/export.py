"""How long an export takes that `hal train` ends with: graphs in both precisions, golden arrays, all of it proven.

The model is untrained, of the size that `make train` gives the shipped one, and its golden inputs are the bundle's.
Choosing the decoder, which comes before, is part of the whole chain's row (`bench.training.chain`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from hal_ros.bench.caches import untrained
from hal_ros.bench.rows import BenchRow, at_most, baseline
from hal_ros.outside.shared_files import shared_file
from hal_ros.runtime.bundle import load_bundle
from hal_ros.runtime.golden import read_golden

NAME, LIMIT_S = "export with all proofs", 30.0
RATIO_NAME, MOST_RATIO = "export against torch.onnx.export alone", 2.0
EXPECTED = [(NAME, "CPU s", f"<= {LIMIT_S:g}"), (RATIO_NAME, "times", f"<= {MOST_RATIO:g}")]


def rows(model: Path, folder: Path) -> list[BenchRow]:
    """Export a model of a bundle's kind into `folder`. Raises HalError without torch, and where a proof fails."""
    bundle = load_bundle(model)
    made = untrained(bundle.card)  # first: it tells what is not installed
    from hal_ros.export.bundle import EncoderPair, Golden, Ingredients, write_bundle
    from hal_ros.export.half_precision import halved
    from hal_ros.export.to_onnx import export_step
    from hal_ros.train.config import load_config
    from hal_ros.train.encoders import build

    folder.mkdir(parents=True, exist_ok=True)
    data = load_config(shared_file("config/train.yaml")).data
    single = build(data)
    assert single is not None
    assert made.card.encoder is not None
    golden = Golden(*(np.stack(column) for column in list(zip(*read_golden(bundle), strict=True))[:4]))
    card = replace(made.card, encoder=replace(made.card.encoder, dtype="uint8"))
    made_of = Ingredients(made.graph, card, EncoderPair(single, build(data, half=True)), golden)
    bare_s = cpu_s(lambda: [export_step(graph, folder / "step.onnx") for graph in (made.graph, halved(made.graph))])
    taken_s = cpu_s(lambda: write_bundle(made_of, folder / "bundle"))
    note = f"an untrained model of the shipped size, {card.window_ticks} ticks of window; decoder and episodes aside"
    return [
        at_most(NAME, taken_s, "CPU s", LIMIT_S, note),
        at_most(RATIO_NAME, taken_s / bare_s, "times", MOST_RATIO, "two step graphs, single and half precision"),
        baseline("of this, torch.onnx.export", bare_s, "CPU s"),
    ]


def cpu_s(act: Callable[[], object]) -> float:
    """Return the processor time that this process takes for `act`, in seconds."""
    start = time.process_time()
    act()
    return time.process_time() - start
