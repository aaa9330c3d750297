"""Speed of the parts that run in one process: model, pixels, messages. Timed where nothing else of ours runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hal_ros.bags import messages
from hal_ros.bags.answer_messages import label_message
from hal_ros.bench.rows import BenchRow, at_most, baseline
from hal_ros.bench.timing import in_turns, median_ms, ratio
from hal_ros.core import image
from hal_ros.core.answers import ActionEstimate, Answer
from hal_ros.core.card import DecoderSpec, ModelCard, Priors
from hal_ros.core.decoding import decode
from hal_ros.core.decoding.known_plan import PlanTracker
from hal_ros.core.step import Backend, StepInput, StepOutput, Stepping
from hal_ros.core.streams.intake import Due
from hal_ros.core.streams.merge import Source
from hal_ros.core.streams.spec import CameraSpec
from hal_ros.runtime.backend import open_backend
from hal_ros.runtime.bundle import load_bundle
from hal_ros.runtime.golden import encode_all

LIVE_HEIGHT_PX, LIVE_WIDTH_PX = 480, 640
STEP_LIMIT_MS = 1.5
TICK_LIMIT_MS = 12.0  # with one camera; what a further one may cost is its encoder
CAMERA_LIMIT_MS = TICK_LIMIT_MS - STEP_LIMIT_MS
UPTIME_TICKS, UPTIME_LIMIT = 10_000, 1.1
DECODER_LIMIT_MS = 0.1
PLAN_LIMIT_MS = 0.5
DECODER_ACTIONS, DECODER_AGES = 20, 160


def measure(folder: Path, repeats: int = 200) -> list[BenchRow]:
    """Return the rows of one bundle, on one thread. Raises CardError or BackendError when it can't be opened."""
    bundle = load_bundle(folder)
    backend, _ = open_backend(bundle, "onnxruntime")  # figures stay comparable, whatever else is here
    rows = _model_rows(bundle.card, backend, repeats)
    rows += [_image_row(camera, repeats) for camera in list(bundle.card.streams.cameras.values())[:1]]
    return [*rows, _decoder_row(repeats), _plan_row(bundle.card, repeats), _message_row(bundle.card, repeats)]


def _model_rows(card: ModelCard, backend: Backend, repeats: int) -> list[BenchRow]:
    inputs = random_inputs(card)
    step = Stepper(backend, inputs, card.window_ticks)  # a full window: what a long run costs
    step_ms = median_ms(step, repeats)
    rows = [at_most("step graph, median", step_ms, "ms", STEP_LIMIT_MS, f"{backend.name}, one thread")]
    if cameras := len(card.streams.cameras):
        size = card.streams.size_px
        pictures = np.random.default_rng(0).integers(0, 256, (cameras, size, size, 3), dtype=np.uint8)
        encode_ms = median_ms(lambda: backend.encode(pictures[0]), repeats)
        tick_ms = median_ms(lambda: (encode_all(backend, pictures), step()), repeats)
        rows.append(baseline("encoder, median", encode_ms, "ms", f"{size}x{size} px"))
        limit, note = TICK_LIMIT_MS + (cameras - 1) * CAMERA_LIMIT_MS, f"{backend.name}, one thread"
        note = note if cameras == 1 else f"{note}, {cameras} cameras"
        rows.append(at_most("encoder and step, median", tick_ms, "ms", limit, note))
    return [*rows, uptime_row(backend, inputs, card, "this bundle", max(repeats // 4, 2))]


class Stepper:
    """Steps one stream with the same inputs again and again; a state may be stepped once."""

    def __init__(self, backend: Stepping, inputs: StepInput, ticks: int) -> None:
        """Begin a stream and step it so many ticks."""
        self._backend, self._inputs, self._state = backend, inputs, backend.initial_state()
        for _ in range(ticks):
            self()

    def __call__(self) -> StepOutput:
        """Step once."""
        output, self._state = self._backend.step(self._inputs, self._state)
        return output


def random_inputs(card: ModelCard, seed: int = 0) -> StepInput:
    """Return one tick's inputs with everything there."""
    random, cameras, values = np.random.default_rng(seed), len(card.streams.cameras), card.streams.value_count
    feature, joints = (random.normal(size=size).astype(np.float32) for size in (cameras * card.feature_dim, values))
    return StepInput(feature, np.ones(cameras, np.float32), joints, np.ones(values, np.float32))


def uptime_name(what: str) -> str:
    """Return the name of `uptime_row`."""
    return f"step after {UPTIME_TICKS} ticks against one window, {what}"


def uptime_row(backend: Stepping, inputs: StepInput, card: ModelCard, what: str, rounds: int) -> BenchRow:
    """Return what a step costs in a stream that has run for long, as a ratio to one that has just filled its window."""
    young, old = (Stepper(backend, inputs, ticks) for ticks in (card.window_ticks, UPTIME_TICKS))
    times = in_turns({"young": young, "old": old}, rounds)
    note = f"caches {card.caches}, window of {card.window_ticks} ticks, processor time in turns"
    return at_most(uptime_name(what), ratio(times["old"], times["young"]), "times", UPTIME_LIMIT, note)


def _image_row(spec: CameraSpec, repeats: int) -> BenchRow:
    data = np.random.default_rng(0).integers(0, 256, LIVE_HEIGHT_PX * LIVE_WIDTH_PX * 3, dtype=np.uint8).tobytes()

    def convert() -> object:
        rgb = image.to_rgb("rgb8", LIVE_HEIGHT_PX, LIVE_WIDTH_PX, LIVE_WIDTH_PX * 3, False, data)
        return image.to_input(rgb, spec)

    return baseline("image message to model input, median", median_ms(convert, repeats), "ms", "640x480 rgb8")


def _decoder_row(repeats: int) -> BenchRow:
    """The duration filter at a fixed size, whatever the bundle's decoder is: figures stay comparable."""
    actions, ages = DECODER_ACTIONS, DECODER_AGES
    order = (np.ones((actions, actions)) - np.eye(actions)) / (actions - 1)
    uniform = (1 / actions,) * actions
    priors = Priors(uniform, tuple(map(tuple, order.tolist())), (30.0,) * actions, (4.0,) * actions, ages)
    decoder = decode.Decoder(DecoderSpec("duration", boundary_gain=1.0, priors=priors))
    logits = np.random.default_rng(0).normal(size=(ages, actions)).astype(np.float32)
    state = decode.INITIAL
    for row in logits:  # every age is in the belief: what a long run costs
        _, state = decoder.step(row, state, 0.1)
    step_ms = median_ms(lambda: decoder.step(logits[0], state, 0.1), repeats)
    note = f"{actions} actions, {ages} ages, boundary head included"
    return at_most("duration decoder, median", step_ms, "ms", DECODER_LIMIT_MS, note)


def _plan_row(card: ModelCard, repeats: int) -> BenchRow:
    """What following a known plan costs beside the decoder, at the bundle's own size and a plan of all its actions."""
    actions = len(card.vocabulary)
    tracker = PlanTracker(range(actions), card)
    log_probs = np.full(actions, -np.log(actions), np.float32)
    state = tracker.start()
    for _ in range(DECODER_AGES):  # every age has mass: what a long run costs
        state = tracker.step(log_probs, state)
    step_ms = median_ms(lambda: tracker.step(log_probs, state), repeats)
    note = f"{actions} actions, a plan of {actions} steps"
    return at_most("following a known plan, median per tick", step_ms, "ms", PLAN_LIMIT_MS, note)


def _message_row(card: ModelCard, repeats: int) -> BenchRow:
    log_probs = np.full(len(card.vocabulary), -np.log(len(card.vocabulary)), np.float32)
    answer = Answer(1_000_000_000, 0, 0.5, log_probs, 1)
    estimate = ActionEstimate(7, 1_000_000_000, 1_000_000_000, 0, answer, answer)
    nothing = np.zeros(0, np.float32)
    sources = tuple(Source(stream, f"/{stream}", answer.stamp_ns) for stream in card.streams.names)
    due = Due(answer.stamp_ns, 7, answer.stamp_ns, {}, nothing, nothing, sources)
    message = label_message(estimate, due, card, "camera")
    name = message.__msgtype__
    round_ms = median_ms(lambda: messages.deserialise(name, messages.serialise(message)), repeats)
    return baseline("ActionLabel to bytes and back, median", round_ms * 1e3, "us", "without DDS")
