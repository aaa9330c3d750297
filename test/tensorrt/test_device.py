"""The laws of the back ends with TensorRT itself where there is one with a GPU, and on the fake everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")

import fake_tensorrt
from fakes import COLOURS, picture
from hal_ros.core.errors import BackendError
from hal_ros.core.step import Backend, StepInput
from hal_ros.runtime.bundle import ENCODER, STEP, Bundle
from hal_ros.runtime.card_json import CACHES
from hal_ros.runtime.golden import LIMITS
from hal_ros.runtime.onnx_backend import OnnxBackend
from hal_ros.tensorrt import api as tensorrt_api
from hal_ros.tensorrt.backend import TensorRtBackend
from hal_ros.tensorrt.build_engine import build
from hal_ros.tensorrt.cudart import load_cudart
from hal_ros.tensorrt.engine_cache import Engines
from memory_bundle import SLOTS, random_inputs, write_memory_bundle

TICKS = 3 * SLOTS + 1
WORKSPACE_BYTES = 64 << 20


@pytest.fixture(params=["fake", "real"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> fake_tensorrt.Fakes | None:
    """The fakes; None for the real ones."""
    if request.param == "fake":
        return fake_tensorrt.install(monkeypatch)
    try:
        tensorrt_api.load()
        load_cudart().device()
    except BackendError as error:
        pytest.skip(str(error))
    return None


def built(folder: Path, caches: str) -> tuple[Bundle, Engines]:
    """A bundle whose pictures every version takes, and its engines in fp32."""
    bundle = write_memory_bundle(folder / "bundle", caches, "float32")
    for name, plan in ((ENCODER, "encoder.plan"), (STEP, "step.plan")):
        build(bundle.path(name), folder / plan, "fp32", WORKSPACE_BYTES, folder / "timings")
    return bundle, Engines(folder / "encoder.plan", folder / "step.plan", folder, "fp32")


def log_probs(backend: Backend, inputs: Sequence[StepInput]) -> np.ndarray:
    """Both heads over a stream from its beginning, (T, 2K)."""
    state, rows = backend.initial_state(), []
    for one in inputs:
        output, state = backend.step(one, state)
        rows.append(np.concatenate([output.log_probs, output.lagged_log_probs]))
    return np.array(rows)


@pytest.mark.parametrize("caches", CACHES)
def test_engines_answer_as_onnx_runtime_does(machine: fake_tensorrt.Fakes | None, tmp_path: Path, caches: str) -> None:
    bundle, engines = built(tmp_path, caches)
    backend, reference = TensorRtBackend(bundle, engines), OnnxBackend(bundle)
    limit = LIMITS["fp32"].log_probs
    expected = log_probs(reference, random_inputs(TICKS))
    assert np.abs(log_probs(backend, random_inputs(TICKS)) - expected).max() <= limit
    assert np.abs(log_probs(backend, random_inputs(TICKS, seed=1)) - expected).max() > 10 * limit
    for colour in COLOURS:
        np.testing.assert_allclose(backend.encode(picture(colour)), reference.encode(picture(colour)), rtol=1e-5)


@pytest.mark.parametrize("caches", CACHES)
def test_graphs_and_streams_change_no_bit(machine: fake_tensorrt.Fakes | None, tmp_path: Path, caches: str) -> None:
    backend = TensorRtBackend(*built(tmp_path, caches))
    assert backend.graphs, backend.about()["graphs"]
    inputs = [random_inputs(TICKS, seed) for seed in range(2)]
    alone = [log_probs(backend, one) for one in inputs]
    states, rows = [backend.initial_state() for _ in inputs], [[], []]
    for pair in zip(*inputs, strict=True):
        for index, one in enumerate(pair):
            output, states[index] = backend.step(one, states[index])
            rows[index].append(np.concatenate([output.log_probs, output.lagged_log_probs]))
    for together, separately in zip(rows, alone, strict=True):
        np.testing.assert_array_equal(together, separately)


def test_all_memory_comes_back(machine: fake_tensorrt.Fakes | None, tmp_path: Path) -> None:
    bundle, engines = built(tmp_path, "shift")
    cuda = load_cudart()
    TensorRtBackend(bundle, engines, cuda)  # what CUDA and TensorRT keep for themselves is taken by the first one
    free, _ = cuda.memory_bytes()
    for _ in range(3):
        TensorRtBackend(bundle, engines, cuda).encode(picture("red"))
    if machine:
        assert not any(machine.gpu.live().values())
    else:
        assert cuda.memory_bytes()[0] >= free - (16 << 20)  # other programs use the GPU, too
