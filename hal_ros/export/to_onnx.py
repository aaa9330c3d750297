"""The step as an ONNX graph with fixed shapes: state goes in as `state_…` and comes out as `next_…`.

With caches "delta" the keys and values are rings that are only read: this tick's rows come out as `new_…`, and
`order_i` tells which column each slot of layer i stands for (docs/adr/0005-caches.md).
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxscript import opset17
from torch import Tensor, nn

from hal_ros.core.errors import BackendError
from hal_ros.core.proprio import VALUES_PER_JOINT
from hal_ros.export.operators import IR_VERSION, OPSET, check_graph
from hal_ros.nn.hal import CausalHal, HalConfig, Inputs, State, flatten_state, state_names, unflatten_state
from hal_ros.nn.joint_guided_attention import Eye
from hal_ros.runtime.card_json import CACHES
from hal_ros.runtime.step_state import INPUTS, OUTPUTS

ROWS = ("next_key_", "next_value_")  # what rings get as new rows instead


class StepGraph(nn.Module):
    """Eye and sequence model in one, as the robot runs them: state as flat arguments, no training-only results."""

    def __init__(self, eye: Eye, model: CausalHal, caches: str = "shift") -> None:
        super().__init__()
        gives = eye.config.width, VALUES_PER_JOINT * eye.config.joints
        expected = model.config.attended, model.config.joint_values
        if gives != expected:
            raise BackendError(
                f"the eye gives {gives[0]} columns and {gives[1]} joint values; the model expects "
                f"{expected[0]} and {expected[1]}"
            )
        if not eye.config.joints:
            raise BackendError("the model has no joints; expected at least one, as graphs have no empty tensors")
        if caches not in CACHES:
            raise BackendError(f"caches {caches!r} are unknown; expected one of {', '.join(CACHES)}")
        self.eye, self.model, self.caches = eye, model, caches
        self.cache_type = torch.float32  # of keys and values; `export.half_precision` sets another one

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Take INPUTS, the state and, with rings, their orders; return OUTPUTS and the next state or its new rows."""
        feature, image_valid, joints, joints_valid, *rest = tensors
        attended = self.eye(feature[:, None], joints[:, None], joints_valid[:, None])[:, 0]
        inputs = Inputs(attended, image_valid, joints, joints_valid)
        if self.caches == "delta":
            layers = len(self.model.config.lookback)
            outputs, following = self.model.step_rings(inputs, unflatten_state(rest[:-layers]), rest[-layers:])
        else:
            outputs, following = self.model.step(inputs, unflatten_state(rest))
        return outputs.log_probs, outputs.lagged_log_probs, outputs.boundary, *flatten_state(following)

    def initial_state(self) -> State:
        """Return the state of a stream that has seen nothing, caches in the graph's precision."""
        state = self.model.initial_state()
        keys, values = (tuple(cache.to(self.cache_type) for cache in caches) for caches in (state.keys, state.values))
        return state._replace(keys=keys, values=values)


def tensor_names(config: HalConfig, caches: str = "shift") -> tuple[list[str], list[str]]:
    """Return the graph's input and output names in order."""
    states = state_names(config)
    following = [name.replace("state_", "next_", 1) for name in states]
    if caches == "shift":
        return [*INPUTS, *states], [*OUTPUTS, *following]
    orders = [f"order_{layer}" for layer in range(len(config.lookback))]
    rows = [name.replace("next_", "new_", 1) if name.startswith(ROWS) else name for name in following]
    return [*INPUTS, *states, *orders], [*OUTPUTS, *rows]


def export_step(graph: StepGraph, path: Path, target: str = "10") -> None:
    """Write the step graph. Raises BackendError when it is not valid ONNX, or not what TensorRT `target` takes."""
    values = graph.model.config.joint_values
    zeros = (
        torch.zeros(1, graph.eye.config.feature_dim),
        torch.zeros(1, 1),
        torch.zeros(1, values),
        torch.zeros(1, values),
    )
    example = [*zeros, *flatten_state(graph.initial_state())]
    if graph.caches == "delta":
        example += [torch.arange(lookback - 1, dtype=torch.int32) for lookback in graph.model.config.lookback]
    inputs, outputs = tensor_names(graph.model.config, graph.caches)
    written = to_proto(graph.eval(), tuple(example), inputs, outputs)
    check_graph(written, target, str(path))
    path.write_bytes(written.SerializeToString(deterministic=True))


def to_proto(module: nn.Module, example: tuple[Tensor, ...], inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    """Return a module as a graph with the example's shapes and these names. Raises BackendError for another opset."""
    return _tidied(_export(module, example, inputs, outputs))


def _export(module: nn.Module, example: tuple[Tensor, ...], inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own dependencies
            program = torch.onnx.export(
                module,
                example,
                input_names=inputs,
                output_names=outputs,
                opset_version=OPSET,
                custom_translation_table={torch.ops.aten.index_select.default: _gather},
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    assert program is not None
    return program.model_proto


def _gather(values: Any, dim: int, index: Any) -> Any:
    """Translate index_select: the exporter's own way takes the index through int64, which no step graph shall hold."""
    return opset17.Gather(values, index, axis=dim)


def _tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what names source files of the machine that exported; declare the oldest format that holds the graph."""
    if model.opset_import[0].version != OPSET:
        raise BackendError(f"exporter wrote opset {model.opset_import[0].version}; expected {OPSET}")
    model.ir_version = IR_VERSION
    model.producer_version = ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for entry in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del entry.metadata_props[:]
        entry.doc_string = ""
    return model
