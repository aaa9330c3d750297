"""What TensorRT's ONNX parser takes, version by version, and the check that a graph asks for nothing else.

The table holds the operators that graphs of ours are made of, with the element types that the parser's own lists of
operators give them in 8.6 and in 10 (11 takes what 10 takes). Ours are stricter: shapes are fixed, nothing branches,
and int64 stands in constants that tell shapes and places alone, since 8.6 has no other integers than int32.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import onnx
from onnx import TensorProto

from hal_ros.core.errors import BackendError
from hal_ros.runtime.card_json import TARGETS

OPSET, IR_VERSION = 17, 8  # what TensorRT 8.6 and ONNX Runtime 1.17 still read
OLD = "8.6"
_REAL = "float float16"
_WHOLE = f"{_REAL} int32"
_ANY = f"{_WHOLE} int8 bool"
_LATER = f"{_REAL} bfloat16"
_LATER_WHOLE = f"{_LATER} int32 int64"
_LATER_ANY = f"{_LATER_WHOLE} bool"
TYPES: dict[str, tuple[str, str]] = {
    "Add": (_WHOLE, _LATER_WHOLE),
    "AveragePool": (f"{_WHOLE} int8", _LATER),
    "Cast": (f"{_ANY} uint8", f"{_LATER_ANY} uint8"),
    "Clip": (f"{_REAL} int8", _LATER),
    "Concat": (_ANY, _LATER_ANY),
    "Constant": (_ANY, _LATER_ANY),
    "Conv": (f"{_REAL} int8", _LATER),
    "DequantizeLinear": ("int8", "int8"),
    "Div": (_WHOLE, _LATER_WHOLE),
    "Exp": (_REAL, _LATER),
    "Gather": (_ANY, _LATER_ANY),
    "Gemm": (f"{_REAL} int8", _LATER),
    "LayerNormalization": (_REAL, _LATER),
    "LogSoftmax": (_REAL, _LATER),
    "MatMul": (_REAL, _LATER),
    "Mul": (_WHOLE, _LATER_WHOLE),
    "Neg": (_WHOLE, _LATER_WHOLE),
    "QuantizeLinear": (_REAL, _LATER),
    "ReduceMax": (_REAL, _LATER_WHOLE),
    "Reshape": (_ANY, _LATER_ANY),
    "Sigmoid": (f"{_REAL} int8", _LATER),
    "Slice": (_ANY, _LATER_ANY),
    "Softmax": (_REAL, _LATER),
    "SpaceToDepth": (_WHOLE, _LATER_WHOLE),
    "Sqrt": (_REAL, _LATER),
    "Squeeze": (_ANY, _LATER_ANY),
    "Sub": (_WHOLE, _LATER_WHOLE),
    "Tanh": (f"{_REAL} int8", _LATER),
    "Transpose": (_ANY, _LATER_ANY),
    "Unsqueeze": (_ANY, _LATER_ANY),
}
"""Operator: element types in TensorRT 8.6 and in 10."""
PLACES = {"Gather": {1}, "Reshape": {1}, "Slice": {1, 2, 3, 4}, "Squeeze": {1}, "Unsqueeze": {1}}
"""Inputs that tell shapes or places. They are constants; an int32 index of Gather may come from outside."""
SCALED = ("DequantizeLinear", "QuantizeLinear")
FED = ("float float16 int32", "float float16 int32 uint8")
"""Element types of a graph's own inputs and outputs, likewise."""


class _Tensor(NamedTuple):
    type: str  # ONNX's name in small letters, e.g. "float16"; "" where inference found none
    shape: tuple[int, ...] | None  # None or a 0 in it: not fixed


def check_graph(model: onnx.ModelProto, target: str, name: str) -> None:
    """Raise BackendError, naming the node or tensor, unless TensorRT `target` and those after it take the graph.

    `name` is what the message calls the graph, usually its path.
    """
    if target not in TARGETS:
        raise BackendError(f"target {target!r} is unknown; expected one of {', '.join(TARGETS)}")
    try:
        onnx.checker.check_model(model, full_check=True)
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BackendError(f"{name}: is no valid ONNX graph ({_line(error)})") from error
    if fault := next(_faults(model, target), None):
        raise BackendError(f"{name}: {fault}")


def _faults(model: onnx.ModelProto, target: str) -> Iterator[str]:
    graph = model.graph
    for entry in model.opset_import:
        if entry.domain not in ("", "ai.onnx") or entry.version > OPSET:
            yield f"uses operator set {entry.domain or 'ai.onnx'} {entry.version}; expected ai.onnx {OPSET} at most"
    if model.ir_version > IR_VERSION:
        yield f"has IR version {model.ir_version}; expected {IR_VERSION} at most"
    tensors = {entry.name: _tensor(entry.type) for entry in (*graph.input, *graph.output, *graph.value_info)}
    constants = {entry.name for entry in graph.initializer}
    tensors |= {entry.name: _Tensor(_type(entry.data_type), tuple(entry.dims)) for entry in graph.initializer}
    for entry in (*graph.input, *graph.output):
        tensor = tensors[entry.name]
        if tensor.type not in FED[target != OLD].split():
            allowed = ", ".join(FED[target != OLD].split())
            yield f"{entry.name} is {tensor.type or 'no tensor'}; TensorRT {target} is fed with {allowed}"
    zeros = {entry.name for entry in graph.initializer if _is_zero(entry)}
    for node in graph.node:
        if node.op_type == "Constant":
            constants.update(node.output)
            if node.attribute[0].name == "value" and _is_zero(node.attribute[0].t):
                zeros.update(node.output)
        if fault := _node_fault(node, target, tensors, constants, zeros):
            yield f"node {node.name or node.output[0]!r} ({node.op_type}) {fault}"
    for label, tensor in tensors.items():
        if label not in constants and (tensor.shape is None or 0 in tensor.shape):
            yield f"tensor {label} has shape {tensor.shape}; expected a fixed one"


def _node_fault(
    node: onnx.NodeProto, target: str, tensors: dict[str, _Tensor], constants: set[str], zeros: set[str]
) -> str:
    """Return what is wrong with one node; '' when nothing is."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in TYPES:
        return f"is no operator that graphs for TensorRT {target} are made of; expected one of {', '.join(TYPES)}"
    if node.op_type == "Constant":
        return ""  # its readers say which types may be in it
    allowed = TYPES[node.op_type][target != OLD].split()
    for position, label in enumerate(node.input):
        tensor = tensors.get(label, _Tensor("", None))
        if position in PLACES.get(node.op_type, ()):
            outside = node.op_type == "Gather" and tensor.type == "int32"
            if label not in constants and not outside:
                return f"takes {label} ({tensor.type}) to tell shapes or places; expected a constant"
        elif label and not (node.op_type in SCALED and position) and (fault := _type_fault(tensor.type, allowed)):
            return f"takes {label} as {fault}"
    if node.op_type in SCALED and not {*node.input[2:]} <= zeros:
        return f"has the zero point {node.input[2]}; TensorRT takes 0 alone"
    if node.op_type == "LayerNormalization" and len([label for label in node.output if label]) > 1:
        return "has more than one output; TensorRT gives the first alone"
    types = [tensors.get(label, _Tensor("", None)).type for label in node.output]
    return next((f"gives {fault}" for found in types if (fault := _output_fault(node, found, allowed))), "")


def _output_fault(node: onnx.NodeProto, found: str, allowed: list[str]) -> str:
    # What scaling nodes give is of the other side's type, which their readers and the scale's checker look after.
    return "" if node.op_type in SCALED else _type_fault(found, allowed)


def _type_fault(found: str, allowed: list[str]) -> str:
    if found == "int64":
        return "int64, which is for constants that tell shapes; expected int32"
    return "" if found in allowed else f"{found or 'an unknown type'}; expected one of {', '.join(allowed)}"


def _tensor(kind: onnx.TypeProto) -> _Tensor:
    tensor = kind.tensor_type
    shape = tuple(dim.dim_value for dim in tensor.shape.dim) if tensor.HasField("shape") else None
    return _Tensor(_type(tensor.elem_type), shape)


def _type(element: int) -> str:
    return TensorProto.DataType.Name(element).lower() if element else ""


def _is_zero(tensor: onnx.TensorProto) -> bool:
    return not onnx.numpy_helper.to_array(tensor).any()


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
