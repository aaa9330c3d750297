"""The torch back end steps the model itself and says what the exported graph says; its weights are checked."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
onnx = pytest.importorskip("onnx", reason="onnx is not installed")

from colour_bundle import make_encoder  # noqa: E402
from fakes import JOINTS, SIZE_PX, make_card, make_streams  # noqa: E402
from hal_ros.core.card import EncoderSpec  # noqa: E402
from hal_ros.core.errors import BackendError, CardError  # noqa: E402
from hal_ros.core.step import StepInput  # noqa: E402
from hal_ros.export.to_onnx import StepGraph, export_step  # noqa: E402
from hal_ros.nn.hal import CausalHal, HalConfig  # noqa: E402
from hal_ros.nn.joint_guided_attention import Eye, EyeConfig  # noqa: E402
from hal_ros.runtime.backend import about, open_backend  # noqa: E402
from hal_ros.runtime.bundle import ENCODER, STEP, WEIGHTS, Bundle, save_card  # noqa: E402

pytestmark = pytest.mark.torch
EYE = EyeConfig(actions=3, joint_values=6, grid=(2, 2, 5), width=12, cell_width=8, gazes=2, keypoints=3)
HAL = HalConfig(actions=3, joint_values=6, attended=12, width=16, heads=2, lookback=(3, 5), feed_forward=32)
TOLERANCE = 1e-4


@pytest.fixture
def graph() -> StepGraph:
    return make_graph()


def make_graph() -> StepGraph:
    torch.manual_seed(0)
    graph = StepGraph([Eye(EYE)], CausalHal(HAL)).eval()
    with torch.no_grad():
        for parameter in graph.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return graph


@pytest.fixture(scope="module")
def step(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / STEP
    export_step(make_graph(), path)
    return path


@pytest.fixture
def bundle(graph: StepGraph, step: Path, tmp_path: Path) -> Bundle:
    """What the eye gets is the feature that the test gives; the encoder is only there."""
    onnx.save(make_encoder(SIZE_PX, EYE.feature_dim), tmp_path / ENCODER)
    shutil.copyfile(step, tmp_path / STEP)
    write_weights(graph, tmp_path)
    return saved(tmp_path)


def saved(folder: Path, **changes: Any) -> Bundle:
    shape = {"encoder": EncoderSpec(EYE.feature_dim), "window_ticks": HAL.window_ticks}
    return save_card(make_card(**{**shape, **changes}), folder)


def write_weights(graph: StepGraph, folder: Path, **about: Any) -> None:
    tensors = {f"eye/{name}": x.numpy() for name, x in graph.eyes[0].state_dict().items()}
    tensors |= {f"model/{name}": x.numpy() for name, x in graph.model.state_dict().items()}
    told = {"format": 1, "eye": EYE.to_json(), "hal": HAL.to_json(), **about}
    np.savez(folder / WEIGHTS, about=np.array(json.dumps(told)), **tensors)


def stream(count: int) -> list[StepInput]:
    random = np.random.default_rng(0)

    def ticks(*shape: int) -> Any:
        return random.normal(size=(count, *shape)).astype(np.float32)

    valid = (random.random((count, 6)) < 0.8).astype(np.float32)
    columns = (ticks(EYE.feature_dim), (random.random((count, 1)) < 0.8).astype(np.float32), ticks(6), valid)
    return [StepInput(*row) for row in zip(*columns, strict=True)]


def distance(bundle: Bundle) -> float:
    """The largest difference between torch and ONNX Runtime over more than two windows."""
    backends = [open_backend(bundle, choice)[0] for choice in ("torch", "onnxruntime")]
    states = [backend.initial_state() for backend in backends]
    largest = 0.0
    for inputs in stream(3 * HAL.window_ticks):
        outputs = []
        for index, backend in enumerate(backends):
            output, states[index] = backend.step(inputs, states[index])
            outputs.append(np.concatenate([output.log_probs, output.lagged_log_probs, [output.boundary]]))
        largest = max(largest, float(np.abs(outputs[0] - outputs[1]).max()))
    return largest


def test_it_says_what_the_exported_graph_says(bundle: Bundle) -> None:
    assert distance(bundle) <= TOLERANCE


@pytest.mark.parametrize("name", ["model.temperature", "model.layers.1.bias", "model.blind", "eye.aim.bias"])
def test_other_weights_say_something_else(graph: StepGraph, bundle: Bundle, name: str) -> None:
    with torch.no_grad():
        tensor = graph.state_dict()[name]
        tensor += 0.01 * torch.arange(1, tensor.numel() + 1).reshape(tensor.shape)
    write_weights(graph, bundle.folder)
    assert distance(saved(bundle.folder)) > TOLERANCE


def test_it_says_who_it_is(bundle: Bundle) -> None:
    backend, reason = open_backend(bundle, "torch")
    assert (backend.name, reason) == ("torch", "chosen by the user")
    assert about(backend) == {"torch": torch.__version__}


def test_a_used_up_state_is_refused(bundle: Bundle) -> None:
    backend, _ = open_backend(bundle, "torch")
    (inputs,) = stream(1)
    start = backend.initial_state()
    backend.step(inputs, start)
    with pytest.raises(BackendError, match="torch: the state of tick 0 is used up"):
        backend.step(inputs, start)


def test_a_bundle_without_weights_is_refused(bundle: Bundle) -> None:
    (bundle.folder / WEIGHTS).unlink()
    with pytest.raises(CardError, match=r"names no file 'weights.npz'"):
        open_backend(saved(bundle.folder), "torch")


def test_weights_that_can_not_be_read_are_named(bundle: Bundle) -> None:
    path = bundle.path(WEIGHTS)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CardError, match=r"weights.npz: can't be read as weights"):
        open_backend(saved(bundle.folder), "torch")


def test_weights_never_run_code(bundle: Bundle) -> None:
    np.savez(bundle.path(WEIGHTS), about=np.array({"format": 1}, dtype=object))
    with pytest.raises(CardError, match=r"weights.npz: can't be read as weights .*pickle"):
        open_backend(saved(bundle.folder), "torch")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, "is not a file of weights of format 1"),
        ({"hal": None}, "can't be read as a model of this version"),
        ({"hal": {**HAL.to_json(), "unheard": 1}}, "can't be read as a model of this version .*unheard"),
        ({"hal": replace(HAL, width=32).to_json()}, "can't be read as a model of this version .*another shape"),
    ],
)
def test_weights_of_another_kind_are_refused(
    graph: StepGraph, bundle: Bundle, changes: dict[str, Any], says: str
) -> None:
    write_weights(graph, bundle.folder, **changes)
    with pytest.raises(CardError, match=says):
        open_backend(saved(bundle.folder), "torch")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"encoder": EncoderSpec(7)}, r"encoder\.onnx: feature is 20; the card says 7"),
        ({"streams": make_streams(joints=replace(JOINTS, names=("a",)))}, r"joint values is 6; expected 3"),
        ({"streams": make_streams(joints=None)}, r"joint values is 6; expected 0"),
        ({"streams": make_streams(camera=None), "encoder": None}, r"cameras is 1; expected 0"),
        ({"vocabulary": ("one", "two")}, r"actions is 3; expected 2"),
        ({"window_ticks": 99}, r"window_ticks is 7; expected 99"),
    ],
)
def test_weights_that_do_not_fit_the_card_are_refused(bundle: Bundle, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BackendError, match=says):
        open_backend(saved(bundle.folder, **changes), "torch")


def test_without_torch_the_choice_is_refused(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "hal_ros.runtime.torch_backend", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BackendError, match="backend torch needs torch"):
        open_backend(bundle, "torch")
