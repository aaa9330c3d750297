"""A back end that fits on a page: the action is the picture's strongest colour, and joints are remembered."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hal_ros.core.arrays import ByteArray, FloatArray
from hal_ros.core.card import DecoderSpec, EncoderSpec, ModelCard
from hal_ros.core.step import StepInput, StepOutput
from hal_ros.core.streams.spec import CameraSpec, StateSpec, StreamSpec, single

SIZE_PX = 16
COLOURS = ("red", "green", "blue")


CAMERA = CameraSpec(size_px=SIZE_PX)
JOINTS = StateSpec(names=("a", "b"), max_age_s=0.1)


def make_streams(
    camera: CameraSpec | None = CAMERA,
    joints: StateSpec | None = JOINTS,
    rate_hz: float = 10.0,
    max_held_ticks: int = 3,
) -> StreamSpec:
    """The streams of a robot with a small camera and two joints, at 10 Hz."""
    return single(camera, joints, rate_hz, max_held_ticks)


def make_card(**changes: Any) -> ModelCard:
    """A card of three actions with a lag of 2 ticks and no smoothing; rate_hz and max_held_ticks are its streams'."""
    rhythm = {name: changes.pop(name) for name in ("rate_hz", "max_held_ticks") if name in changes}
    fields: dict[str, Any] = {
        "name": "colours",
        "vocabulary": COLOURS,
        "streams": make_streams(**rhythm),
        "encoder": EncoderSpec(3),
        "lag_ticks": 2,
        "window_ticks": 8,
        "decoder": DecoderSpec("hysteresis", enter_probability=0.5, hold_ticks=1, smoothing=0.0),
        "supervision": "annotations",
    }
    return ModelCard(**fields | changes)


def picture(colour: str, size_px: int = SIZE_PX) -> ByteArray:
    """A picture (S, S, 3) of one colour."""
    image = np.zeros((size_px, size_px, 3), np.uint8)
    image[..., COLOURS.index(colour)] = 255
    return image


class FakeState(NamedTuple):
    """The log-probabilities of the last lag_ticks ticks, and how many ticks were stepped."""

    history: tuple[FloatArray, ...]
    ticks: int


class FakeBackend:
    """log_probs = log softmax of 20 times the mean colour; the lagged ones are those of lag_ticks earlier.

    Colours of several cameras add up; without any the first state value says the action.
    """

    name = "fake"

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self.encoded = 0
        self.inputs: list[StepInput] = []  # what was stepped, for the tests to look at

    def encode(self, image: ByteArray) -> FloatArray:
        self.encoded += 1
        means: FloatArray = image.reshape(-1, 3).mean(0).astype(np.float32)
        return means / np.float32(255)

    def initial_state(self) -> FakeState:
        return FakeState((), 0)

    def step(self, inputs: StepInput, state: FakeState) -> tuple[StepOutput, FakeState]:
        self.inputs.append(inputs)
        logits = 20 * inputs.feature.reshape(-1, 3).sum(0)
        if not inputs.feature.size:
            logits = 20 * (np.arange(3) == round(float(inputs.joints[0])))
        log_probs = (logits - np.log(np.exp(logits).sum())).astype(np.float32)
        history = (*state.history, log_probs)[-self.card.lag_ticks - 1 :]
        return StepOutput(log_probs, history[0], 0.0), FakeState(history, state.ticks + 1)
