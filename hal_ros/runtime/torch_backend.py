"""The reference back end: the model itself, in torch, from weights.npz; only encoder.onnx runs in ONNX Runtime.

It needs no export of the step graph and so cannot inherit a fault of one. It is imported where it was chosen, late:
torch is heavy, and no other back end brings it into the robot's process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from hal_ros.core.card import ModelCard
from hal_ros.core.errors import BackendError, CardError
from hal_ros.core.step import StepInput, StepOutput
from hal_ros.nn.cameras import numbered
from hal_ros.nn.hal import CausalHal, HalConfig, Inputs
from hal_ros.nn.joint_guided_attention import Eye, EyeConfig, attend
from hal_ros.nn.restoring import restored
from hal_ros.nn.state import State
from hal_ros.outside.arrays import read_arrays
from hal_ros.outside.reading import MIB, Expected, parse_json, reading
from hal_ros.runtime.bundle import WEIGHTS, Bundle
from hal_ros.runtime.encode import BundleEncoder
from hal_ros.runtime.step_state import Turn

FORMAT = 1
MODEL = Expected(CardError, "a model of this version")
WEIGHTS_OF_A_BUNDLE = Expected(CardError, "weights", 2048 * MIB)


class TorchBackend:
    """Steps eyes and sequence model on the CPU, whatever caches the bundle's graph has."""

    name = "torch"

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        """Read the weights; `threads` holds for all of torch in this process.

        Raises CardError for a bundle without weights or with damaged ones, BackendError for those of another model.
        """
        torch.set_num_threads(threads)
        self.encode = BundleEncoder(bundle, threads).encode
        self._model, self._eyes = read_networks(bundle)

    def about(self) -> dict[str, str]:
        """Say what runs: torch's version."""
        return {"torch": torch.__version__}

    def initial_state(self) -> Turn[State]:
        """Return the state of a stream that has seen nothing."""
        return Turn(self, self._model.initial_state())

    @torch.inference_mode()
    def step(self, inputs: StepInput, state: Turn[State]) -> tuple[StepOutput, Turn[State]]:
        """Advance the stream by one tick, which uses `state` up. Raises BackendError for one that is used up."""
        before = state.take(self)
        feature, image_valid, joints, joints_valid = (_row(x) for x in inputs)
        attended = attend(self._eyes, feature[:, None], joints[:, None], joints_valid[:, None])[:, 0]
        outputs, following = self._model.step(Inputs(attended, image_valid, joints, joints_valid), before)
        log_probs, lagged = outputs.log_probs[0].numpy(), outputs.lagged_log_probs[0].numpy()
        return StepOutput(log_probs, lagged, float(outputs.boundary)), state.following(following)


class Networks(NamedTuple):
    """What a bundle's weights are of, ready to be asked."""

    model: CausalHal
    eyes: tuple[Eye, ...]  # in the cameras' order


def read_networks(bundle: Bundle) -> Networks:
    """Rebuild model and eyes from weights.npz; raises as `TorchBackend`."""
    path = bundle.path(WEIGHTS)
    about, tensors = _read(path)
    with reading(path, MODEL):
        config = HalConfig.from_json(about["hal"])
        shapes = [EyeConfig.from_json(about["eye"])] if config.eyes else []
    _check(bundle.card, shapes, config, path)
    with reading(path, MODEL):
        model = restored(CausalHal, config, _part("model", tensors))
        parts = (_part(numbered("eye", camera), tensors) for camera in range(config.eyes))
        return Networks(model, tuple(restored(Eye, shapes[0], part) for part in parts))


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    stored = read_arrays(path, WEIGHTS_OF_A_BUNDLE)
    with reading(path, WEIGHTS_OF_A_BUNDLE):
        about = parse_json(str(stored.pop("about")))
        tensors = {name: torch.from_numpy(array) for name, array in stored.items()}
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise CardError(f"{path}: is not a file of weights of format {FORMAT}")
    return about, tensors


def _part(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    start = f"{prefix}/"
    return {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}


def _check(card: ModelCard, eyes: Sequence[EyeConfig], model: HalConfig, path: Path) -> None:
    values = card.streams.value_count
    facts = [
        ("cameras", model.eyes, len(card.streams.cameras)),
        ("joint values", model.joint_values, values),
        ("actions", model.actions, len(card.vocabulary)),
        ("window_ticks", model.window_ticks, card.window_ticks),
    ]
    for eye in eyes:
        facts += [
            ("feature_dim", eye.feature_dim, card.feature_dim),
            ("joint values of the eye", eye.joint_values, values),
            ("what the model takes from the eye", model.attended, eye.width),
        ]
    for name, actual, expected in facts:
        if actual != expected:
            raise BackendError(f"{path}: {name} is {actual}; expected {expected}, as in the card")


def _row(values: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(values, np.float32)[None])  # a copy: torch wants to own what it may write
