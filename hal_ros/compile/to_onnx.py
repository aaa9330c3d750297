"""The step as an ONNX graph: state goes in as `state_…` and comes out as `next_…`; all shapes are fixed."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from hal_ros.core.errors import BackendError
from hal_ros.model.eye import Eye
from hal_ros.model.hal import CausalHal, HalConfig, Inputs, flatten_state, state_names, unflatten_state

OPSET, IR_VERSION = 17, 8  # what TensorRT 8.6 and ONNX Runtime 1.17 still read
INPUTS = ("feature", "image_valid", "joints", "joints_valid")
OUTPUTS = ("log_probs", "lagged_log_probs", "boundary")


class StepGraph(nn.Module):
    """Eye and sequence model in one, as the robot runs them: state as flat arguments, no training-only results."""

    def __init__(self, eye: Eye, model: CausalHal) -> None:
        super().__init__()
        if (eye.config.width, 3 * eye.config.joints) != (model.config.seen, model.config.values):
            raise BackendError(
                f"the eye gives {eye.config.width} columns and {3 * eye.config.joints} joint values; the model expects "
                f"{model.config.seen} and {model.config.values}"
            )
        self.eye, self.model = eye, model

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Take INPUTS and the state, (1, …) each; return OUTPUTS and the next state."""
        feature, image_valid, joints, joints_valid, *state = tensors
        seen = self.eye(feature[:, None], joints[:, None], joints_valid[:, None])[:, 0]
        outputs, following = self.model.step(Inputs(seen, image_valid, joints, joints_valid), unflatten_state(state))
        return outputs.log_probs, outputs.lagged_log_probs, outputs.boundary, *flatten_state(following)


def tensor_names(config: HalConfig) -> tuple[list[str], list[str]]:
    """Return the graph's input and output names in order."""
    states = state_names(config)
    return [*INPUTS, *states], [*OUTPUTS, *(name.replace("state_", "next_", 1) for name in states)]


def export_step(graph: StepGraph, path: Path) -> None:
    """Write step.onnx. Raises BackendError when the file is not what ONNX's checker calls valid at opset 17."""
    values = graph.model.config.values
    zeros = (
        torch.zeros(1, graph.eye.config.feature_dim),
        torch.zeros(1, 1),
        torch.zeros(1, values),
        torch.zeros(1, values),
    )
    example = (*zeros, *flatten_state(graph.model.initial_state()))
    inputs, outputs = tensor_names(graph.model.config)
    written = _tidied(_export(graph.eval(), example, inputs, outputs))
    try:
        onnx.checker.check_model(written, full_check=True)
    except onnx.checker.ValidationError as error:
        raise BackendError(f"{path}: the exporter wrote an invalid graph ({str(error).splitlines()[0]})") from error
    path.write_bytes(written.SerializeToString(deterministic=True))


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
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    assert program is not None
    return program.model_proto


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
