"""The default back end: a bundle's two graphs in ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from hal_ros.core.errors import BackendError
from hal_ros.core.types import ByteArray, FloatArray, StepInput, StepOutput
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
        self._check(len(card.vocabulary), bundle.path(STEP), inputs)

    def _check(self, actions: int, path: Path, inputs: dict[str, Any]) -> None:
        outputs = {entry.name: entry.shape for entry in self._step.get_outputs()}
        if inputs.get("feature") != [1, self._feature_dim]:
            raise BackendError(f"{path}: feature is {inputs.get('feature')}; the card says [1, {self._feature_dim}]")
        if outputs.get("log_probs") != [1, actions]:
            raise BackendError(f"{path}: log_probs is {outputs.get('log_probs')}; the card says [1, {actions}]")
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
