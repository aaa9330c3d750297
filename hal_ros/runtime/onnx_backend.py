"""The default back end: a bundle's two graphs in ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from hal_ros.core.errors import BackendError
from hal_ros.core.types import ByteArray, FloatArray, ModelCard, StepInput, StepOutput
from hal_ros.runtime.card import ENCODER, STEP, Bundle

State = dict[str, FloatArray]
"""The step graph's state inputs by name; all zeros is a stream that has seen nothing."""


class OnnxBackend:
    """Runs encoder.onnx and step.onnx. The step graph hands each input `state_X` on as the output `next_X`."""

    name = "onnxruntime"

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        """Open both sessions; raises BackendError naming the file that ONNX Runtime refuses."""
        card = bundle.card
        self._encoder = _open(bundle.path(ENCODER), threads) if card.image else None
        self._step = _open(bundle.path(STEP), threads)
        inputs = {entry.name: entry.shape for entry in self._step.get_inputs()}
        self._state_shapes = {name: shape for name, shape in inputs.items() if name.startswith("state_")}
        self._outputs = ["log_probs", "lagged_log_probs", "boundary"]
        self._outputs += [name.replace("state_", "next_", 1) for name in self._state_shapes]
        self._feature_dim = card.feature_dim
        self._check(card, bundle, inputs)

    def _check(self, card: ModelCard, bundle: Bundle, inputs: dict[str, Any]) -> None:
        """Refuse graphs of other shapes than the card's: golden.npz brings its own, so it would not notice."""
        path = bundle.path(STEP)
        outputs = {entry.name: entry.shape for entry in self._step.get_outputs()}
        joints = 3 * len(card.joints.names) if card.joints else 0
        expected = {"feature": [1, card.feature_dim], "joints": [1, joints], "log_probs": [1, len(card.vocabulary)]}
        for name, shape in expected.items():
            actual = (inputs | outputs).get(name)
            if actual != shape:
                raise BackendError(f"{path}: {name} is {actual}; the card says {shape}")
        if self._encoder is not None and card.image is not None:
            shape, side = self._encoder.get_inputs()[0].shape, card.image.size_px
            if shape != [1, side, side, 3]:
                raise BackendError(f"{bundle.path(ENCODER)}: image is {shape}; the card says {[1, side, side, 3]}")
        missing = [name for name in self._outputs if name not in outputs]
        if missing:
            raise BackendError(f"{path}: lacks the outputs {missing}")

    def encode(self, image: ByteArray) -> FloatArray:
        """Return the feature (D,) of one picture (S, S, 3) uint8; zeros for a bundle without camera."""
        if self._encoder is None:
            return np.zeros(self._feature_dim, np.float32)
        (feature,) = self._encoder.run(["feature"], {"image": image[None]})
        return np.asarray(feature[0], np.float32)

    def initial_state(self) -> State:
        """Return all zeros: the validity of what is cached is itself part of the state."""
        return {name: np.zeros(shape, np.float32) for name, shape in self._state_shapes.items()}

    def step(self, inputs: StepInput, state: State) -> tuple[StepOutput, State]:
        """Advance the stream by one tick; `state` is left as it was."""
        feeds = {
            "feature": inputs.feature[None],
            "image_valid": np.full((1, 1), inputs.image_valid, np.float32),
            "joints": inputs.joints[None],
            "joints_valid": inputs.joints_valid[None],
        }
        log_probs, lagged, boundary, *following = self._step.run(self._outputs, feeds | state)
        output = StepOutput(log_probs[0], lagged[0], float(boundary[0, 0]))
        return output, dict(zip(self._state_shapes, following, strict=True))


def _open(path: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; warnings about constant folding are of no use on a robot
    # Spinning threads steal the cores that the camera driver and the controller need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions share no public base
        first_line = str(error).splitlines()[0]
        raise BackendError(f"{path}: ONNX Runtime can't open it ({first_line})") from error
