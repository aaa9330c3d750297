"""A whole bundle of two tiny graphs, for tests that start the real node: it names the strongest colour of a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fakes import COLOURS, make_card, picture
from hal_ros.core.arrays import FloatArray
from hal_ros.core.card import ModelCard
from hal_ros.core.step import StepInput
from hal_ros.runtime.backend import open_backend
from hal_ros.runtime.bundle import ENCODER, GOLDEN, STEP, Bundle, save_card

FLOAT, UINT8 = TensorProto.FLOAT, TensorProto.UINT8
OPSET, IR_VERSION = 17, 8
SHARPNESS = 0.05  # of the softmax over mean pixel values


def write_bundle(folder: Path, card: ModelCard | None = None) -> Bundle:
    """Write card, encoder, step graph and golden arrays; the picture's size and the joints are the card's."""
    card = card or make_card()
    assert card.image is not None
    assert card.joints is not None
    folder.mkdir(parents=True)
    size, joints = card.image.size_px, 3 * len(card.joints.names)
    onnx.save(_encoder(size), folder / ENCODER)
    onnx.save(_step(joints), folder / STEP)
    bundle = save_card(card, folder, (ENCODER, STEP))
    backend, _ = open_backend(bundle, "onnxruntime")
    images = np.stack([picture(colour, size) for colour in COLOURS])
    flags: dict[str, FloatArray] = {"image_valid": np.ones(len(images), np.float32)}
    flags |= {name: np.ones((len(images), joints), np.float32) for name in ("joints", "joints_valid")}
    state, outputs = backend.initial_state(), []
    for image in images:
        inputs = StepInput(backend.encode(image), 1.0, flags["joints"][0], flags["joints_valid"][0])
        output, state = backend.step(inputs, state)
        outputs.append(output)
    stored = {name: np.stack([getattr(o, name) for o in outputs]) for name in outputs[0]._fields}
    arrays: dict[str, Any] = {**flags, **stored}
    np.savez(folder / GOLDEN, images=images, **arrays)
    return save_card(card, folder)


def _encoder(size: int) -> onnx.ModelProto:
    """Mean of each channel."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["feature"], axes=[1, 2], keepdims=0),
    ]
    image = helper.make_tensor_value_info("image", UINT8, [1, size, size, 3])
    return _model(nodes, [image], [helper.make_tensor_value_info("feature", FLOAT, [1, 3])])


def _step(joints: int) -> onnx.ModelProto:
    """Log-softmax of the present feature; the lagged answer speaks of the one before, kept in the state."""
    nodes = [
        helper.make_node("Mul", ["feature", "sharpness"], ["now"]),
        helper.make_node("LogSoftmax", ["now"], ["log_probs"], axis=1),
        helper.make_node("Mul", ["state_feature", "sharpness"], ["before"]),
        helper.make_node("LogSoftmax", ["before"], ["lagged_log_probs"], axis=1),
        helper.make_node("Mul", ["image_valid", "zero"], ["boundary"]),
        helper.make_node("Identity", ["feature"], ["next_feature"]),
    ]
    widths = {"feature": 3, "image_valid": 1, "joints": joints, "joints_valid": joints, "state_feature": 3}
    inputs = [helper.make_tensor_value_info(name, FLOAT, [1, width]) for name, width in widths.items()]
    widths = {"log_probs": 3, "lagged_log_probs": 3, "boundary": 1, "next_feature": 3}
    outputs = [helper.make_tensor_value_info(name, FLOAT, [1, width]) for name, width in widths.items()]
    constants = {"sharpness": np.float32(SHARPNESS), "zero": np.float32(0)}
    return _model(nodes, inputs, outputs, [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()])


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
