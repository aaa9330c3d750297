"""A tiny step graph that remembers its last features, with both kinds of caches: what they answer is the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from colour_bundle import IR_VERSION, OPSET, write_bundle
from fakes import make_card
from hal_ros.core.card import ModelCard
from hal_ros.core.step import Backend, StepInput, StepOutput
from hal_ros.runtime.bundle import ENCODER, STEP, Bundle, save_card

SLOTS, WIDTH = 4, 3


def write_memory_bundle(folder: Path, caches: str, image_dtype: str = "uint8") -> Bundle:
    """Write a bundle without golden arrays; the encoder takes pictures of `image_dtype`, and passes their colour on."""
    card: ModelCard = make_card(caches=caches)
    assert card.image is not None
    card = replace(card, image=replace(card.image, dtype=image_dtype))
    encoder = onnx.load(write_bundle(folder).path(ENCODER))
    if image_dtype == "float32":
        encoder.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    onnx.save(encoder, folder / ENCODER)
    onnx.save(_step(caches == "delta"), folder / STEP)
    return save_card(card, folder, (ENCODER, STEP))


def random_inputs(count: int, seed: int = 0) -> list[StepInput]:
    """Inputs of `count` ticks that differ from each other."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, 3, 6)).astype(np.float32)
    return [StepInput(row[0, :WIDTH], 1.0, row[1], row[2]) for row in rows]


def answers(backend: Backend, inputs: Sequence[StepInput]) -> list[StepOutput]:
    """Step one stream from its beginning."""
    state, outputs = backend.initial_state(), []
    for one in inputs:
        output, state = backend.step(one, state)
        outputs.append(output)
    return outputs


def assert_same(found: Sequence[StepOutput], expected: Sequence[StepOutput]) -> None:
    """Compare bit for bit."""
    for name in StepOutput._fields:
        np.testing.assert_array_equal([getattr(o, name) for o in found], [getattr(o, name) for o in expected])


def _step(delta: bool) -> onnx.ModelProto:
    """log_probs = log softmax of feature + sum over columns of weight[column] * cache[column]; oldest column first."""
    weights = np.array([0.1, 0.2, 0.4, 0.8], np.float32)
    constants: dict[str, NDArray[Any]] = {
        "weights": weights,
        "axis": np.array([0], np.int64),
        "one": np.array([1], np.int64),
    }
    constants |= {"end": np.array([SLOTS + 1], np.int64)}
    nodes = [
        helper.make_node("Gather", ["weights", "order_0"], ["used"], axis=0)
        if delta
        else helper.make_node("Identity", ["weights"], ["used"]),
        helper.make_node("Unsqueeze", ["used", "axis"], ["row"]),
        helper.make_node("MatMul", ["row", "state_key_0"], ["wide"]),  # (1, 1, WIDTH)
        helper.make_node("Squeeze", ["wide", "one"], ["remembered"]),
        helper.make_node("Add", ["remembered", "feature"], ["logits"]),
        helper.make_node("LogSoftmax", ["logits"], ["log_probs"], axis=1),
        helper.make_node("LogSoftmax", ["remembered"], ["lagged_log_probs"], axis=1),
        helper.make_node("Add", ["state_count", "image_valid"], ["next_count"]),
        helper.make_node("Identity", ["state_count"], ["boundary"]),
        helper.make_node("Unsqueeze", ["feature", "one"], ["new_key_0" if delta else "row_now"]),
    ]
    if not delta:
        nodes += [
            helper.make_node("Concat", ["state_key_0", "row_now"], ["all"], axis=1),
            helper.make_node("Slice", ["all", "one", "end", "one"], ["next_key_0"]),
        ]
    cache, key = (1, SLOTS, WIDTH), ("new_key_0", (1, 1, WIDTH)) if delta else ("next_key_0", (1, SLOTS, WIDTH))
    inputs: dict[str, tuple[int, ...]] = {
        "feature": (1, WIDTH),
        "image_valid": (1, 1),
        "joints": (1, 6),
        "joints_valid": (1, 6),
    }
    inputs |= {"state_key_0": cache, "state_count": (1, 1)}
    outputs = {"log_probs": (1, WIDTH), "lagged_log_probs": (1, WIDTH), "boundary": (1, 1), "next_count": (1, 1)}
    graph = helper.make_graph(
        nodes,
        "memory",
        [
            *(helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()),
            *([helper.make_tensor_value_info("order_0", TensorProto.INT32, (SLOTS,))] if delta else []),
        ],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in {**outputs, key[0]: key[1]}.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model
