"""A tiny step graph that remembers its last features, with both kinds of caches: what they answer is the same.

Of several cameras it remembers one sum, in which each counts on its own; without cameras, three state values.
"""

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
from fakes import CAMERA, JOINTS, make_card
from hal_ros.core.card import EncoderSpec
from hal_ros.core.step import Backend, StepInput, StepOutput
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.runtime.bundle import ENCODER, STEP, Bundle, save_card

SLOTS, WIDTH = 4, 3
VALUES = 6


def streams_of(cameras: int) -> StreamSpec:
    """So many cameras, two at most, and two joints."""
    names = ("front", "wrist")[:cameras]
    return StreamSpec((*names, "joints")[0], dict.fromkeys(names, CAMERA), {"joints": JOINTS}, max_held_ticks=3)


def write_memory_bundle(folder: Path, caches: str, image_dtype: str = "uint8", cameras: int = 1) -> Bundle:
    """Write a bundle without golden arrays; the encoder takes pictures of `image_dtype`, and passes their colour on."""
    card = make_card(caches=caches, streams=streams_of(cameras), encoder=EncoderSpec(WIDTH) if cameras else None)
    bundle = write_bundle(folder, replace(card, caches="shift"))
    if card.encoder is not None:
        card = replace(card, encoder=replace(card.encoder, dtype=image_dtype))
        encoder = onnx.load(bundle.path(ENCODER))
        if image_dtype == "float32":
            encoder.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
        onnx.save(encoder, folder / ENCODER)
    onnx.save(_step(caches == "delta", cameras), folder / STEP)
    return save_card(card, folder, (ENCODER, STEP))


def random_inputs(count: int, seed: int = 0, cameras: int = 1) -> list[StepInput]:
    """Inputs of `count` ticks that differ from each other."""
    random, flags = np.random.default_rng(seed), np.ones(cameras, np.float32)
    rows = random.normal(size=(count, 3, 6)).astype(np.float32)
    return [StepInput(row[0, : cameras * WIDTH], flags, row[1], row[2]) for row in rows]


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


def _step(delta: bool, cameras: int) -> onnx.ModelProto:
    """log_probs = log softmax of seen + sum over columns of weight[column] * cache[column]; oldest column first."""
    weights = np.array([0.1, 0.2, 0.4, 0.8], np.float32)
    constants: dict[str, NDArray[Any]] = {
        "weights": weights,
        "axis": np.array([0], np.int64),
        "one": np.array([1], np.int64),
    }
    constants |= {"end": np.array([SLOTS + 1], np.int64)}
    source, size = ("feature", cameras * WIDTH) if cameras else ("joints", VALUES)
    flags, count = ("image_valid", cameras) if cameras else ("joints_valid", VALUES)
    constants["first"] = np.eye(count, 1, dtype=np.float32)
    constants["mix"] = np.concatenate([np.eye(WIDTH) * (1 + part) for part in range(size // WIDTH)]).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", [source, "mix"], ["seen"]),
        helper.make_node("MatMul", [flags, "first"], ["flag"]),
        helper.make_node("Gather", ["weights", "order_0"], ["used"], axis=0)
        if delta
        else helper.make_node("Identity", ["weights"], ["used"]),
        helper.make_node("Unsqueeze", ["used", "axis"], ["row"]),
        helper.make_node("MatMul", ["row", "state_key_0"], ["wide"]),  # (1, 1, WIDTH)
        helper.make_node("Squeeze", ["wide", "one"], ["remembered"]),
        helper.make_node("Add", ["remembered", "seen"], ["logits"]),
        helper.make_node("LogSoftmax", ["logits"], ["log_probs"], axis=1),
        helper.make_node("LogSoftmax", ["remembered"], ["lagged_log_probs"], axis=1),
        helper.make_node("Add", ["state_count", "flag"], ["next_count"]),
        helper.make_node("Identity", ["state_count"], ["boundary"]),
        helper.make_node("Unsqueeze", ["seen", "one"], ["new_key_0" if delta else "row_now"]),
    ]
    if not delta:
        nodes += [
            helper.make_node("Concat", ["state_key_0", "row_now"], ["all"], axis=1),
            helper.make_node("Slice", ["all", "one", "end", "one"], ["next_key_0"]),
        ]
    cache, key = (1, SLOTS, WIDTH), ("new_key_0", (1, 1, WIDTH)) if delta else ("next_key_0", (1, SLOTS, WIDTH))
    widths = {"feature": cameras * WIDTH, "image_valid": cameras, "joints": VALUES, "joints_valid": VALUES}
    inputs: dict[str, tuple[int, ...]] = {name: (1, width) for name, width in widths.items() if width}
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
