"""The differences between TensorRT's versions, on the fake of each: what is asked of the builder, and what it says."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx", reason="onnx is not installed")

import fake_tensorrt
from fake_tensorrt import VERSIONS, Severity
from hal_ros.core.errors import BackendError
from hal_ros.runtime.bundle import STEP
from hal_ros.tensorrt import api as tensorrt_api
from memory_bundle import write_memory_bundle

TYPED_BY_SPEED = VERSIONS[0]


@pytest.fixture(params=VERSIONS)
def trt(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    fake_tensorrt.install(monkeypatch, request.param)
    return tensorrt_api.load()


@pytest.fixture
def graph(tmp_path: Path) -> bytes:
    return write_memory_bundle(tmp_path / "bundle", "shift").path(STEP).read_bytes()


def parsed(trt: Any, graph: bytes) -> Any:
    logger = tensorrt_api.make_logger(trt, lambda _: None)
    network = trt.Builder(logger).create_network(tensorrt_api.network_flags(trt))
    assert trt.OnnxParser(network, logger).parse(graph)
    return network


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_half_precision_is_a_flag_only_where_types_go_by_speed(trt: Any, precision: str) -> None:
    config = trt.Builder(tensorrt_api.make_logger(trt, lambda _: None)).create_builder_config()
    assert config.get_flag(trt.BuilderFlag.TF32)
    tensorrt_api.configure(trt, config, precision, 1 << 28)
    assert not config.get_flag(trt.BuilderFlag.TF32)
    by_flag = {name for name in ("FP16", "OBEY_PRECISION_CONSTRAINTS") if name in trt.BuilderFlag.__members__}
    set_ = {name for name in by_flag if config.get_flag(trt.BuilderFlag[name])}
    assert set_ == (by_flag if (trt.__version__, precision) == (TYPED_BY_SPEED, "fp16") else set())


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_sensitive_layers_are_held_in_fp32_only_where_types_go_by_speed(trt: Any, graph: bytes, precision: str) -> None:
    network = parsed(trt, graph)
    wide = tensorrt_api.keep_wide(trt, network, precision)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    held = [layer for layer in layers if getattr(layer, "precision", None) is not None]
    assert wide == len(held)
    assert {layer.type.name for layer in held} == (
        {"SOFTMAX"} if (trt.__version__, precision) == (TYPED_BY_SPEED, "fp16") else set()
    )
    assert all(layer._types == {0: trt.DataType.FLOAT} for layer in held)


def test_a_refused_graph_is_told_with_its_node(trt: Any) -> None:
    logger = tensorrt_api.make_logger(trt, lambda _: None)
    parser = trt.OnnxParser(trt.Builder(logger).create_network(tensorrt_api.network_flags(trt)), logger)
    assert not parser.parse(b"no graph")
    (error,) = tensorrt_api.parser_errors(parser)
    assert error.startswith("node -1: " if trt.__version__ == TYPED_BY_SPEED else "node '' (): ")
    assert "Failed to parse the ONNX model" in error


def test_only_what_is_severe_enough_is_handed_on(trt: Any) -> None:
    said: list[str] = []
    logger = tensorrt_api.make_logger(trt, said.append)
    for severity in Severity:
        logger.log(severity, "text")
    assert said == ["internal error: text", "error: text", "warning: text"]


def test_types_have_the_same_names_in_numpy(trt: Any) -> None:
    assert str(tensorrt_api.to_numpy(trt, trt.DataType.HALF)) == "float16"
    assert str(tensorrt_api.to_numpy(trt, trt.DataType.INT32)) == "int32"
    with pytest.raises(BackendError, match="can't be used; expected one of FLOAT, HALF"):
        tensorrt_api.to_numpy(trt, object())


@pytest.mark.parametrize(
    ("said", "expected"),
    [("10.3.0", "10.3.0.0"), ("8.6.1.post1", "8.6.1.0"), ("10.13.3.9", "10.13.3.9"), ("11.4.0.106", "11.4.0.106")],
)
def test_versions_have_four_parts(said: str, expected: str) -> None:
    assert tensorrt_api.version(types.SimpleNamespace(__version__=said)) == expected


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"__version__": "8.5.2.2"}, r"TensorRT 8\.5\.2\.2 is too old; expected 8\.6 or newer"),
        ({"__version__": "next"}, "version is 'next'; expected numbers"),
        ({}, "has no version, so it is not NVIDIA's"),
    ],
)
def test_other_modules_are_refused(monkeypatch: pytest.MonkeyPatch, attributes: dict[str, str], says: str) -> None:
    module = types.ModuleType("tensorrt")
    vars(module).update(attributes)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    with pytest.raises(BackendError, match=says):
        tensorrt_api.load()
