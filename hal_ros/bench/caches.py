"""What caches save: a step of either kind against recomputing its whole window in one run, and against itself later.

The models are untrained, of the size that `make train` gives the shipped one, since both graphs have to be exported
from the same weights. Before anything is timed, all of them must give the same answer. Beside them, what a step of each
trunk costs, as a ratio to the bundle's own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hal_ros.bench.model import UPTIME_LIMIT, Stepper, random_inputs, uptime_name, uptime_row
from hal_ros.bench.rows import BenchRow, at_least, baseline
from hal_ros.bench.timing import Times, in_turns, ratio
from hal_ros.core.card import EncoderSpec, ModelCard
from hal_ros.core.errors import BackendError
from hal_ros.core.step import StepInput, StepOutput, Stepping
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.outside.shared_files import shared_file
from hal_ros.runtime.bundle import STEP, load_bundle
from hal_ros.runtime.card_json import CACHES
from hal_ros.runtime.onnx_backend import OnnxStepper
from hal_ros.runtime.sessions import open_session
from hal_ros.runtime.step_state import OUTPUTS

if TYPE_CHECKING:
    from hal_ros.export.to_onnx import StepGraph
    from hal_ros.train.config import TrainConfig

TICKS, LEAST_RATIO = 128, 8.0
WINDOWS = (64, 256, 1024)
TOLERANCE = 1e-3
ROUND_TICKS, FEWEST_ROUNDS = 5000, 5
TRUNKS: dict[str, dict[str, Any]] = {
    "RG-LRU": {"trunk": "rg_lru", "differences": ()},
    "RG-LRU with differences": {"trunk": "rg_lru", "differences": (1, 4)},
}
"""Settings of the trunks that are compared, beside that of config/train.yaml."""
RATIO_NAME = f"recomputing {TICKS} ticks in one run against a cached step"
Recompute = Callable[[], StepOutput]


class UntrainedModel(NamedTuple):
    """An untrained model, and the card of a bundle that would hold it."""

    graph: StepGraph
    card: ModelCard


def expected() -> list[tuple[str, str, str]]:
    """Return name, unit and target of the rows that have a target."""
    uptimes = [(uptime_name(_caches(caches)), "times", f"<= {UPTIME_LIMIT:g}") for caches in CACHES]
    return [(RATIO_NAME, "times", f">= {LEAST_RATIO:g}"), *uptimes]


def expected_at(window: int) -> list[tuple[str, str, str]]:
    """Return name, unit and '' of the rows of one window: none has a target."""
    return [(_step_name(caches, window), "ms", "") for caches in CACHES]


def rows(folder: Path, rounds: int = 0) -> list[BenchRow]:
    """Compare at the shipped window. Raises HalError without torch, and where the graphs disagree."""
    bundle = load_bundle(folder)
    model, shipped = untrained(bundle.card), OnnxStepper(bundle.card, bundle.path(STEP))
    rounds = rounds or _rounds(TICKS)
    with tempfile.TemporaryDirectory(prefix="hal-bench-") as temporary:
        backends = open_steps(model, Path(temporary))
        whole, glance = (recomputing(model, TICKS, Path(temporary), remembered) for remembered in (False, True))
        times = timed(model, backends, {"whole": whole, "glance": glance}, TICKS, rounds)
        inputs = random_inputs(model.card)
        uptimes = [
            uptime_row(backend, inputs, replace(model.card, caches=caches), _caches(caches), rounds)
            for caches, backend in backends.items()
        ]
        steps = {model.graph.model.config.trunk: Stepper(backends["shift"], inputs, TICKS)}
        trunks = trunk_rows(Stepper(shipped, random_inputs(bundle.card), TICKS), steps, bundle.card, rounds)
    note = "eye and sequence model, from the encoder's features; caches shift, processor time in turns"
    kept = "the same where what the eye saw is kept as well"
    return [
        at_least(RATIO_NAME, ratio(times["whole"], times["shift"]), "times", LEAST_RATIO, note),
        baseline("of this, recomputing", float(np.median(times["whole"])), "ms"),
        baseline("of this, cached step", float(np.median(times["shift"])), "ms"),
        baseline(kept, ratio(times["glance"], times["shift"]), "times", "the sequence model alone is recomputed"),
        *uptimes,
        *trunks,
    ]


def trunk_rows(shipped: Stepper, steps: Mapping[str, Stepper], card: ModelCard, rounds: int) -> list[BenchRow]:
    """Return what steps of untrained models cost as ratios to the shipped one's: the given steps, and TRUNKS."""
    with tempfile.TemporaryDirectory(prefix="hal-bench-") as temporary:
        models = {name: untrained(card, 0, None, settings) for name, settings in TRUNKS.items()}
        opened = {
            name: Stepper(open_step(model, Path(temporary) / str(index)), random_inputs(model.card), TICKS)
            for index, (name, model) in enumerate(models.items())
        }
        times = in_turns({"": shipped, **steps, **opened}, rounds)
    note = "untrained, exported today, eye included, processor time in turns"
    return [
        baseline(f"step of the trunk {name} against this bundle's", ratio(taken, times[""]), "times", note)
        for name, taken in times.items()
        if name
    ]


def window_rows(folder: Path, window: int, rounds: int = 0) -> list[BenchRow]:
    """Compare both kinds of caches at one window. Raises as `rows` does."""
    model = untrained(load_bundle(folder).card, window)
    with tempfile.TemporaryDirectory(prefix="hal-bench-") as temporary:
        backends = open_steps(model, Path(temporary))
        whole = recomputing(model, window, Path(temporary))
        times = timed(model, backends, {"whole": whole}, window, rounds or _rounds(window))
    note = f"look-backs {', '.join(map(str, model.graph.model.config.lookback))}"
    steps = [baseline(_step_name(caches, window), float(np.median(times[caches])), "ms", note) for caches in CACHES]
    ratios = [
        baseline(
            f"recomputing against a step, {_caches(caches)}, window {window}",
            ratio(times["whole"], times[caches]),
            "times",
        )
        for caches in CACHES
    ]
    return [*steps, baseline(f"recomputing window {window}", float(np.median(times["whole"])), "ms"), *ratios]


def untrained(
    card: ModelCard,
    window: int = 0,
    streams: StreamSpec | None = None,
    others: Mapping[str, Any] | None = None,
) -> UntrainedModel:
    """Return a model of the size in config/train.yaml for a card's actions; 0 leaves the look-backs there.

    Its streams are those there as well, unless others, with pictures of the same size, are given, and so are its
    settings but for `others`. Raises BackendError where torch or the exporter is not installed.
    """
    try:
        from hal_ros.datasets.config import draft_card
        from hal_ros.export.to_onnx import untrained_graph
        from hal_ros.export.whole_window import lookbacks
        from hal_ros.nn.hal import HalConfig
        from hal_ros.nn.joint_guided_attention import EyeConfig
        from hal_ros.train.config import load_config
        from hal_ros.train.encoders import grid_of
    except ImportError as error:
        raise BackendError(
            f"untrained models need torch and onnx ({error}); expected what `make train` installs"
        ) from error
    config: TrainConfig = load_config(shared_file("config/train.yaml"))
    streams = draft_card(config.data).streams if streams is None else streams
    grid, actions = grid_of(config.data), len(card.vocabulary)
    s, cameras, values = config.eye, len(streams.cameras), streams.value_count
    look = EyeConfig(actions, values, grid, s.width, s.cell_width, s.gazes, s.keypoints)
    settings = replace(config.model, lookback=lookbacks(window)) if window else config.model
    settings = replace(settings, **(others or {}))
    graph = untrained_graph(look, HalConfig(actions, values, s.width, cameras, **vars(settings)), config.seed)
    return UntrainedModel(graph, card_of(graph, card, streams))


def card_of(graph: StepGraph, card: ModelCard, streams: StreamSpec) -> ModelCard:
    """Return the card with what the graph says, and what it takes, in place of its own."""
    window = graph.model.config.window_ticks
    return replace(card, streams=streams, encoder=EncoderSpec(graph.feature_dim), window_ticks=window)


def open_steps(model: UntrainedModel, folder: Path) -> dict[str, Stepping]:
    """Export the step with each kind of caches and open it."""
    return {caches: open_step(model, folder / caches, caches) for caches in CACHES}


def open_step(model: UntrainedModel, folder: Path, caches: str = "shift") -> Stepping:
    """Export the step into a new folder and open it in the runtime that robots use; no encoder is needed."""
    from hal_ros.export.to_onnx import StepGraph, export_step

    folder.mkdir()
    export_step(StepGraph(model.graph.eyes, model.graph.model, caches), folder / STEP)
    return OnnxStepper(replace(model.card, caches=caches), folder / STEP)


def stream(card: ModelCard, ticks: int) -> list[StepInput]:
    """Return inputs that differ from tick to tick."""
    return [random_inputs(card, seed) for seed in range(ticks)]


def recomputing(model: UntrainedModel, ticks: int, folder: Path, remembered: bool = False) -> Recompute:
    """Return the function that answers for the last tick of `stream` by one run over all of them, on one thread."""
    from hal_ros.export.whole_window import export_window, window_feeds

    path = folder / f"window-{ticks}-{remembered}.onnx"
    export_window(model.graph, ticks, path, remembered)
    feeds = window_feeds(model.graph, stream(model.card, ticks), remembered)
    session = open_session(path, optimised="window")

    def recompute() -> StepOutput:
        log_probs, lagged, boundary = session.run(list(OUTPUTS), feeds)
        return StepOutput(log_probs[0], lagged[0], float(boundary[0, 0]))

    return recompute


def timed(
    model: UntrainedModel,
    backends: Mapping[str, Stepping],
    recomputes: Mapping[str, Recompute],
    ticks: int,
    rounds: int,
) -> dict[str, Times]:
    """Return each one's processor times in milliseconds, in turns. Raises BackendError when their answers differ."""
    answers = {name: stepped(backend, stream(model.card, ticks)) for name, backend in backends.items()}
    answers |= {name: recompute() for name, recompute in recomputes.items()}
    check_agreement(answers)
    steppers = {name: Stepper(backend, random_inputs(model.card), ticks) for name, backend in backends.items()}
    return in_turns({**steppers, **recomputes}, rounds)


def stepped(backend: Stepping, inputs: Sequence[StepInput]) -> StepOutput:
    """Return what the last step of a fresh stream says."""
    state = backend.initial_state()
    for each in inputs:
        output, state = backend.step(each, state)
    return output


def check_agreement(answers: Mapping[str, StepOutput]) -> None:
    """Raise BackendError naming the first answer that is not the same as the first one's."""
    (first, expected), *others = answers.items()
    for name, found in others:
        error = max(_distance(a, b) for a, b in zip(expected, found, strict=True))
        if not error <= TOLERANCE:
            raise BackendError(
                f"{name} differs from {first} by {error:.2g}; expected <= {TOLERANCE:g}: not the same work"
            )


def _distance(one: object, other: object) -> float:
    return float(np.abs(np.asarray(one, np.float32) - np.asarray(other, np.float32)).max())


def _caches(caches: str) -> str:
    return f"caches {caches}"


def _step_name(caches: str, window: int) -> str:
    return f"step with {_caches(caches)}, window {window}"


def _rounds(window: int) -> int:
    """Fewer where a run takes longer."""
    return max(ROUND_TICKS // window, FEWEST_ROUNDS)
