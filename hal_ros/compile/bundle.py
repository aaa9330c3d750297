"""A trained model becomes a bundle: encoder, step graph, golden arrays, card; parity is proven on the way."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hal_ros.compile.parity import Parity, prove
from hal_ros.compile.to_onnx import StepGraph, export_step
from hal_ros.core.types import ByteArray, FloatArray, ModelCard, StepInput, StepOutput
from hal_ros.runtime.backend import open_backend
from hal_ros.runtime.card import ENCODER, GOLDEN, STEP, Bundle, save_card
from hal_ros.runtime.golden import check_golden


class Golden(NamedTuple):
    """Real inputs of N ticks, from which the reference outputs are made."""

    images: ByteArray  # (N, S, S, 3)
    image_valid: FloatArray  # (N,)
    joints: FloatArray  # (N, 3J)
    joints_valid: FloatArray  # (N, 3J)


def write_bundle(
    graph: StepGraph, card: ModelCard, encoder: Path, golden: Golden, folder: Path
) -> tuple[Bundle, Parity]:
    """Write a bundle folder; what stood there under the same names is replaced.

    Raises BackendError when the step graph differs from the torch model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    export_step(graph, folder / STEP)
    parity = prove(graph, folder / STEP)
    shutil.copyfile(encoder, folder / ENCODER)
    card = replace(card, feature_dim=graph.eye.config.feature_dim, window_ticks=graph.model.config.window_ticks)
    bundle = save_card(card, folder, (ENCODER, STEP))
    write_golden(bundle, golden)
    bundle = save_card(card, folder)
    check_golden(bundle, open_backend(bundle)[0])
    return bundle, parity


def write_golden(bundle: Bundle, golden: Golden) -> None:
    """Run the inputs through the default back end and store them with its outputs."""
    backend, _ = open_backend(bundle)
    state, outputs = backend.initial_state(), []
    for image, image_valid, joints, joints_valid in zip(*golden, strict=True):
        inputs = StepInput(backend.encode(image), float(image_valid), joints, joints_valid)
        output, state = backend.step(inputs, state)
        outputs.append(output)
    arrays: dict[str, Any] = {**golden._asdict(), **_stacked(outputs)}
    np.savez_compressed(bundle.folder / GOLDEN, **arrays)


def _stacked(outputs: Sequence[StepOutput]) -> dict[str, FloatArray]:
    return {name: np.stack([getattr(o, name) for o in outputs]).astype(np.float32) for name in StepOutput._fields}
