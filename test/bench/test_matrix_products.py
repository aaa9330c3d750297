"""The bare products are those of the graph: the same operands, the same results, none left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hal_ros.bench import matrix_products as bench_products
from hal_ros.core.errors import BackendError

onnx = pytest.importorskip("onnx")
MODEL = Path(__file__).parents[2] / "models" / "tabletop"


def make_graph(path: Path, scale: float = 1.0) -> Path:
    """Products of all kinds: by weights, turned, of several heads, of one operand with leading dimensions alone."""
    random = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> Any:
        return onnx.numpy_helper.from_array((scale * random.normal(size=shape)).astype(np.float32), name)

    def tensor(name: str, *shape: int) -> Any:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    nodes = [
        onnx.helper.make_node("MatMul", ["x", "w"], ["by_weight"]),  # (1, 2, 3) (3, 8)
        onnx.helper.make_node("Squeeze", ["x", "first"], ["rows"]),
        onnx.helper.make_node("Gemm", ["rows", "turned", "zero"], ["gemm"], transB=1),  # (2, 3) (5, 3)^T
        onnx.helper.make_node("MatMul", ["heads", "keys"], ["scores"]),  # (1, 4, 1, 6) (1, 4, 6, 7)
        onnx.helper.make_node("MatMul", ["pattern", "cells"], ["found"]),  # (2, 6) (1, 6, 7)
        onnx.helper.make_node("Add", ["gemm", "gemm"], ["sum"]),
    ]
    first = onnx.numpy_helper.from_array(np.array([0]), "first")
    zero = onnx.numpy_helper.from_array(np.zeros(5, np.float32), "zero")
    weights = [weight("w", 3, 8), weight("turned", 5, 3), weight("pattern", 2, 6), first, zero]
    inputs = [tensor("x", 1, 2, 3), tensor("heads", 1, 4, 1, 6), tensor("keys", 1, 4, 6, 7), tensor("cells", 1, 6, 7)]
    outputs = [
        tensor("by_weight", 1, 2, 8),
        tensor("scores", 1, 4, 1, 7),
        tensor("found", 1, 2, 7),
        tensor("sum", 2, 5),
    ]
    graph = onnx.helper.make_graph(nodes, "products", inputs, outputs, weights)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def results(path: Path) -> dict[str, np.ndarray]:
    """What the chain computes, by the output of the node it stands for."""
    chain = bench_products.products(path)
    for product in chain:
        product.out.fill(np.nan)
    bench_products.multiplied(chain)()
    return {product.name: product.out for product in chain}


def test_each_product_is_computed_as_in_the_graph(tmp_path: Path) -> None:
    path = make_graph(tmp_path / "graph.onnx")
    found = results(path)
    assert list(found) == ["by_weight", "gemm", "scores", "found"]
    said = bench_products.run_exposed(path, list(found))
    for name, value in found.items():
        np.testing.assert_allclose(value.ravel(), said[name].ravel(), rtol=1e-5, atol=1e-6)
    other = results(make_graph(tmp_path / "other.onnx", scale=2.0))
    assert not np.allclose(other["by_weight"], found["by_weight"])
    assert not np.allclose(other["gemm"], found["gemm"])


def test_the_shipped_graphs_products_are_all_there() -> None:
    path = MODEL / "step.onnx"
    graph = onnx.load(path).graph
    found = results(path)
    assert len(found) == sum(node.op_type in ("MatMul", "Gemm") for node in graph.node)
    plain = [node.output[0] for node in graph.node if node.op_type == "MatMul"]  # a Gemm adds its bias, too
    said = bench_products.run_exposed(path, plain)
    for name in plain:
        np.testing.assert_allclose(found[name].ravel(), said[name].ravel(), rtol=1e-3, atol=1e-4)


def test_a_row_that_misses_is_shown_as_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_products, "LIMIT", 0.0)
    row, *parts = bench_products.rows(MODEL, rounds=1)
    assert row.name == bench_products.NAME and row.holds is False
    assert all(isinstance(each.value, float) and each.value > 0 for each in (row, *parts))
    assert all(part.target == "" for part in parts)


def test_a_bundle_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"^\S+card.json: can't be read .*$"):
        bench_products.rows(tmp_path, rounds=1)
