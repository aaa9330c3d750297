"""A user's own encoders: ONNX files as other tools write them, for tests of `data.encoder: onnx:PATH`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hal_ros.core.arrays import ByteArray

SIZE_PX = 32
CELL_PX = 8
CHANNELS = 6
SIDE = SIZE_PX // CELL_PX
UINT8, FLOAT, HALF = TensorProto.UINT8, TensorProto.FLOAT, TensorProto.FLOAT16


def weights(seed: int = 0) -> NDArray[Any]:
    """Return a convolution's weight (CHANNELS, 3, CELL_PX, CELL_PX), for values 0..255."""
    random = np.random.default_rng(seed)
    return (random.normal(size=(CHANNELS, 3, CELL_PX, CELL_PX)) / (255 * CELL_PX)).astype(np.float32)


def reference(picture: ByteArray, seed: int = 0) -> NDArray[Any]:
    """Return (SIDE, SIDE, CHANNELS), what the convolution makes of a picture (S, S, 3), in NumPy alone."""
    cells = picture.astype(np.float64).reshape(SIDE, CELL_PX, SIDE, CELL_PX, 3)
    return np.asarray(np.einsum("aybxc,kcyx->abk", cells, weights(seed).astype(np.float64)))


def save(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: list[Any]) -> Path:
    """Write a graph; inputs and outputs are (name, type, shape)."""
    first, last = ([helper.make_tensor_value_info(*each) for each in part] for part in (inputs, outputs))
    graph = helper.make_graph(nodes, "mine", first, last, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, path)
    return path


def conv_map(path: Path, seed: int = 0) -> Path:
    """Write uint8 (1, S, S, 3) to a map (1, rows, columns, CHANNELS) float32."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "weight"], ["cells"], strides=[CELL_PX, CELL_PX]),
        helper.make_node("Transpose", ["cells"], ["map"], perm=[0, 2, 3, 1]),
    ]
    constants = [numpy_helper.from_array(weights(seed), "weight")]
    shape = [1, SIZE_PX, SIZE_PX, 3]
    return save(path, nodes, [("image", UINT8, shape)], [("map", FLOAT, [1, SIDE, SIDE, CHANNELS])], constants)


def conv_planes(path: Path, kind: int = FLOAT) -> Path:
    """Write floats (batch, 3, S, S) to a map (batch, CHANNELS, rows, columns) of the same type."""
    dtype = np.float32 if kind == FLOAT else np.float16
    nodes = [helper.make_node("Conv", ["x", "weight"], ["feature"], strides=[CELL_PX, CELL_PX])]
    constants = [numpy_helper.from_array(weights().astype(dtype), "weight")]
    ends = [("x", kind, ["batch", 3, SIZE_PX, SIZE_PX])], [("feature", kind, ["batch", CHANNELS, SIDE, SIDE])]
    return save(path, nodes, *ends, constants)


def conv_vector(path: Path) -> Path:
    """Write float32 (batch, 3, S, S) to a vector (batch, CHANNELS): the mean over the cells."""
    nodes = [
        helper.make_node("Conv", ["pixels", "weight"], ["cells"], strides=[CELL_PX, CELL_PX]),
        helper.make_node("ReduceMean", ["cells"], ["vector"], axes=[2, 3], keepdims=0),
    ]
    constants = [numpy_helper.from_array(weights(), "weight")]
    ends = [("pixels", FLOAT, ["batch", 3, SIZE_PX, SIZE_PX])], [("vector", FLOAT, ["batch", CHANNELS])]
    return save(path, nodes, *ends, constants)


def one_node(path: Path, operator: str = "Relu", kind: int = FLOAT, **changes: Any) -> Path:
    """Write a graph of one node that hands pictures (1, 3, S, S) on; `changes` are `shape`, `to` and attributes."""
    shape = changes.pop("shape", [1, 3, SIZE_PX, SIZE_PX])
    given = changes.pop("gives", kind)
    node = helper.make_node(operator, ["x"], ["y"], **changes)
    return save(path, [node], [("x", kind, shape)], [("y", given, shape)], [])
