"""A whole bundle of two tiny graphs, for tests that start the real node: it names the strongest colour of a picture.

Of several cameras each counts twice as much as the one before; without cameras the largest of the first three state
values is named.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fakes import COLOURS, make_card, picture
from hal_ros.core.arrays import FloatArray
from hal_ros.core.card import ModelCard
from hal_ros.runtime.backend import open_backend
from hal_ros.runtime.bundle import ENCODER, GOLDEN, STEP, Bundle, save_card
from hal_ros.runtime.golden import stream
from hal_ros.runtime.step_state import input_shapes

FLOAT, UINT8 = TensorProto.FLOAT, TensorProto.UINT8
OPSET, IR_VERSION = 17, 8
SHARPNESS = 0.05  # of the softmax over mean pixel values


def write_bundle(folder: Path, card: ModelCard | None = None) -> Bundle:
    """Write card, encoder, step graph and golden arrays; the pictures' size, cameras and states are the card's."""
    card = card or make_card()
    cameras, size, values = len(card.streams.cameras), card.streams.size_px, card.streams.value_count
    folder.mkdir(parents=True)
    if cameras:
        onnx.save(make_encoder(size), folder / ENCODER)
    onnx.save(_step(card), folder / STEP)
    bundle = save_card(card, folder, (ENCODER, STEP))
    backend, _ = open_backend(bundle, "onnxruntime")
    images = np.zeros((len(COLOURS), cameras, size, size, 3), np.uint8)
    for row, colour in zip(images, COLOURS, strict=True):
        row[:] = picture(colour, size) if cameras else row
    joints = np.ones((len(images), values), np.float32) if cameras else 100 * np.eye(3, values, dtype=np.float32)
    inputs: dict[str, FloatArray] = {"image_valid": np.ones((len(images), cameras), np.float32), "joints": joints}
    inputs["joints_valid"] = np.ones_like(joints)
    outputs = stream(backend, zip(images, *inputs.values(), strict=True))
    stored: dict[str, Any] = {name: np.stack([getattr(o, name) for o in outputs]) for name in outputs[0]._fields}
    stored |= {name: value for name, value in inputs.items() if name in input_shapes(card)}
    stored |= {"images": images} if cameras else {}
    np.savez(folder / GOLDEN, **stored)
    return save_card(card, folder)


def make_encoder(size: int, feature_dim: int = 3) -> onnx.ModelProto:
    """Mean of each channel, over and over where the feature is longer."""
    mean, constants = "feature" if feature_dim == 3 else "mean", []
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=FLOAT),
        helper.make_node("ReduceMean", ["pixels"], [mean], axes=[1, 2], keepdims=0),
    ]
    if feature_dim != 3:
        nodes.append(helper.make_node("Gather", [mean, "channels"], ["feature"], axis=1))
        constants.append(numpy_helper.from_array(np.arange(feature_dim) % 3, "channels"))
    image = helper.make_tensor_value_info("image", UINT8, [1, size, size, 3])
    return _model(nodes, [image], [helper.make_tensor_value_info("feature", FLOAT, [1, feature_dim])], constants)


def _step(card: ModelCard) -> onnx.ModelProto:
    """Log-softmax of the present feature; the lagged answer speaks of the one before, kept in the state."""
    shapes = {**input_shapes(card), "state_feature": (1, 3)}
    cameras, values = len(card.streams.cameras), card.streams.value_count
    source, weights = ("joints", np.eye(values, 3)) if not cameras else ("feature", _weights(cameras))
    flags = list(shapes)[1]
    flag = flags if shapes[flags] == (1, 1) else "flag"
    nodes = [
        *([helper.make_node("MatMul", [source, "weights"], ["seen"])] if cameras != 1 else []),
        helper.make_node("Mul", [seen := "feature" if cameras == 1 else "seen", "sharpness"], ["now"]),
        helper.make_node("LogSoftmax", ["now"], ["log_probs"], axis=1),
        helper.make_node("Mul", ["state_feature", "sharpness"], ["before"]),
        helper.make_node("LogSoftmax", ["before"], ["lagged_log_probs"], axis=1),
        *([helper.make_node("ReduceMax", [flags], [flag], axes=[1], keepdims=1)] if flag != flags else []),
        helper.make_node("Mul", [flag, "zero"], ["boundary"]),
        helper.make_node("Identity", [seen], ["next_feature"]),
    ]
    inputs = [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in shapes.items()]
    widths = {"log_probs": 3, "lagged_log_probs": 3, "boundary": 1, "next_feature": 3}
    outputs = [helper.make_tensor_value_info(name, FLOAT, [1, width]) for name, width in widths.items()]
    constants: dict[str, Any] = {"sharpness": np.float32(SHARPNESS), "zero": np.float32(0)}
    constants |= {"weights": weights.astype(np.float32)} if cameras != 1 else {}
    return _model(nodes, inputs, outputs, [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()])


def _weights(cameras: int) -> FloatArray:
    """(3C, 3): 1, 2, 4 and so on, brought to a sum of 1."""
    weights = 2.0 ** np.arange(cameras)
    parts: FloatArray = np.concatenate([np.eye(3) * weight for weight in weights / weights.sum()]).astype(np.float32)
    return parts


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: list[onnx.TensorProto] | None = None,
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants or [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model
