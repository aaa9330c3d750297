"""The step as an ONNX graph with fixed shapes: state goes in as `state_…` and comes out as `next_…`.

With caches "delta" the keys and values are rings that are only read: this tick's rows come out as `new_…`, and
`order_i` tells which column each slot of layer i stands for (docs/adr/0005-caches.md).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxscript import opset17
from torch import Tensor, nn

from hal_ros.core.errors import BackendError
from hal_ros.export.folded import FoldedInputs, folded
from hal_ros.export.operators import IR_VERSION, OPSET, check_graph
from hal_ros.nn.cameras import numbered
from hal_ros.nn.hal import CausalHal, HalConfig, Inputs
from hal_ros.nn.joint_guided_attention import Eye, EyeConfig, attend
from hal_ros.nn.state import State, flatten_state, state_names, unflatten_state
from hal_ros.runtime.card_json import CACHES
from hal_ros.runtime.step_state import OUTPUTS, input_names

ROWS = ("next_key_", "next_value_")  # what rings get as new rows instead


class StepGraph(nn.Module):
    """Eyes and sequence model in one, as the robot runs them: state as flat arguments, no training-only results."""

    def __init__(self, eyes: Sequence[Eye], model: CausalHal, caches: str = "shift") -> None:
        """Join a model and one eye for each of its cameras, in order. Raises BackendError where they do not fit."""
        super().__init__()
        _check_eyes(eyes, model.config)
        if caches not in CACHES:
            raise BackendError(f"caches {caches!r} are unknown; expected one of {', '.join(CACHES)}")
        for camera, eye in enumerate(eyes):
            self.add_module(numbered("eye", camera), eye)
        self.model, self.caches = model, caches
        self.inputs: FoldedInputs | None = None  # in place of eyes and embeddings; `export.folded` sets it
        self.cache_type = torch.float32  # of keys and values; `export.half_precision` sets another one

    @property
    def eyes(self) -> tuple[Eye, ...]:
        """One for each camera, all of one configuration."""
        return tuple(getattr(self, numbered("eye", camera)) for camera in range(self.model.config.eyes))

    @property
    def feature_dim(self) -> int:
        """D, what the encoder gives for one picture; 0 without cameras."""
        return next((eye.config.feature_dim for eye in self.eyes), 0)

    @property
    def widths(self) -> dict[str, int]:
        """How many values each input has that is no state, by its name."""
        cameras, values = self.model.config.eyes, self.model.config.joint_values
        sizes = {"feature": cameras * self.feature_dim, "image_valid": cameras}
        sizes |= {"joints": values, "joints_valid": values}
        return {name: sizes[name] for name in input_names(cameras, values)}

    def named(self, tensors: Sequence[Tensor]) -> Inputs:
        """Return the inputs (B, ...) that the graph takes, by name; those that it does not take are (B, 0).

        `attended` is still the encoder's feature.
        """
        given = dict(zip(self.widths, tensors, strict=True))
        nothing = torch.zeros(*tensors[0].shape[:-1], 0)
        return Inputs(*(given.get(name, nothing) for name in input_names(1, 1)))

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Take inputs, the state and, with rings, their orders; return OUTPUTS and the next state or its new rows."""
        count = len(self.widths)
        (feature, image_valid, joints, joints_valid), rest = self.named(tensors[:count]), list(tensors[count:])
        shape = self.model.config.state_shape
        states = len(state_names(shape))
        state, orders = unflatten_state(rest[:states], shape), rest[states:]
        x, past = self._embed(Inputs(feature, image_valid, joints, joints_valid), state)
        outputs, following = self.model.advance(x, past, state, orders)
        return outputs.log_probs, outputs.lagged_log_probs, outputs.boundary, *flatten_state(following)

    def _embed(self, inputs: Inputs, state: State) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return x (B, d) of one tick and the past that is carried, as `CausalHal.embed`; pictures are features."""
        if self.inputs is not None:
            x, past = self.inputs(inputs, state)
            return x, past
        feature, joints, valid = (value[:, None] for value in (inputs.attended, inputs.joints, inputs.joints_valid))
        return self.model.embed(inputs._replace(attended=attend(self.eyes, feature, joints, valid)[:, 0]), state)

    def initial_state(self) -> State:
        """Return the state of a stream that has seen nothing, caches in the graph's precision."""
        state = self.model.initial_state()
        keys, values = (tuple(cache.to(self.cache_type) for cache in caches) for caches in (state.keys, state.values))
        return state._replace(keys=keys, values=values)


def untrained_graph(eye: EyeConfig, model: HalConfig, seed: int) -> StepGraph:
    """Return a graph whose weights nobody has trained, to be timed: the same ones for the same seed."""
    torch.manual_seed(seed)
    return StepGraph([Eye(eye) for _ in range(model.eyes)], CausalHal(model)).eval()


def _check_eyes(eyes: Sequence[Eye], model: HalConfig) -> None:
    if len(eyes) != model.eyes:
        raise BackendError(f"there are {len(eyes)} eyes; the model expects {model.eyes}, one for each camera")
    for eye in eyes:
        gives = eye.config.width, eye.config.joint_values
        if gives != (model.attended, model.joint_values):
            raise BackendError(
                f"the eye gives {gives[0]} columns and {gives[1]} joint values; the model expects "
                f"{model.attended} and {model.joint_values}"
            )
        if eye.config != eyes[0].config:
            raise BackendError(f"an eye is {eye.config}; expected {eyes[0].config}, as the first one is")


def tensor_names(config: HalConfig, caches: str = "shift") -> tuple[list[str], list[str]]:
    """Return the graph's input and output names in order."""
    given, states = input_names(config.eyes, config.joint_values), state_names(config.state_shape)
    following = [name.replace("state_", "next_", 1) for name in states]
    if caches == "shift":
        return [*given, *states], [*OUTPUTS, *following]
    orders = [f"order_{layer}" for layer in range(len(config.attention))]
    rows = [name.replace("next_", "new_", 1) if name.startswith(ROWS) else name for name in following]
    return [*given, *states, *orders], [*OUTPUTS, *rows]


def export_step(graph: StepGraph, path: Path, target: str = "10") -> None:
    """Write the step graph. Raises BackendError when it is not valid ONNX, or not what TensorRT `target` takes."""
    zeros = [torch.zeros(1, width) for width in graph.widths.values()]
    example = [*zeros, *flatten_state(graph.initial_state())]
    if graph.caches == "delta":
        example += [torch.arange(lookback - 1, dtype=torch.int32) for lookback in graph.model.config.attention]
    inputs, outputs = tensor_names(graph.model.config, graph.caches)
    written = to_proto(folded(graph), tuple(example), inputs, outputs)
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
