"""A graph that TensorRT's parser would refuse is refused before it leaves the machine, by the name of its node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from hal_ros.core.errors import BackendError  # noqa: E402
from hal_ros.export.operators import check_graph  # noqa: E402

FLOAT, FLOAT16, DOUBLE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE
INT32, INT64, UINT8, INT8 = TensorProto.INT32, TensorProto.INT64, TensorProto.UINT8, TensorProto.INT8
ALL = ("8.6", "10", "11")


def node(operator: str, inputs: list[str], output: str = "y", **attributes: Any) -> Any:
    return helper.make_node(operator, inputs, [output], name=f"the_{operator.lower()}", **attributes)


def make(
    nodes: Any,
    inputs: Any,
    output: tuple[Any, ...] = ("y", FLOAT, [1, 4]),
    constants: Any = None,
    opset: int = 17,
    more: Any = None,
) -> Any:
    """Inputs and output are (name, type, shape); constants are arrays by name; `more` is another operator set."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*entry) for entry in inputs],
        [helper.make_tensor_value_info(*output)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    sets = [helper.make_opsetid(*each) for each in (("", opset), more) if each]
    return helper.make_model(graph, opset_imports=sets, ir_version=8)


X = ("x", FLOAT, [1, 4])
WHOLE = ("n", INT32, [2])
HALF_ROW = np.ones(4, np.float16)
PLACES = {"start": np.array([0]), "end": np.array([2]), "axis": np.array([1])}


ACCEPTED = {
    "sum": make([node("Add", ["x", "x"])], [X]),
    "half": make([node("Mul", ["x", "w"])], [("x", FLOAT16, [1, 4])], ("y", FLOAT16, [1, 4]), {"w": HALF_ROW}),
    "slice": make([node("Slice", ["x", "start", "end", "axis"])], [X], ("y", FLOAT, [1, 2]), PLACES),
    "gather by an int32 input": make([node("Gather", ["x", "n"], axis=1)], [X, WHOLE], ("y", FLOAT, [1, 2])),
    "shape as a node": make(
        [
            helper.make_node("Constant", [], ["shape"], value=numpy_helper.from_array(np.array([4, 1]))),
            node("Reshape", ["x", "shape"]),
        ],
        [X],
        ("y", FLOAT, [4, 1]),
    ),
    "quantised": make(
        [node("QuantizeLinear", ["x", "scale", "zero"], "q"), node("DequantizeLinear", ["q", "scale", "zero"])],
        [X],
        constants={"scale": np.float32(0.1), "zero": np.int8(0)},
    ),
}
REFUSED = {
    "unknown operator": (make([node("Erf", ["x"])], [X]), r"node 'the_erf' \(Erf\) is no operator"),
    "branch on values": (
        make([node("Where", ["c", "x", "x"])], [X], constants={"c": np.array([True])}),
        r"node 'the_where' \(Where\) is no operator",
    ),
    "operator of others": (
        make([helper.make_node("Add", ["x", "x"], ["y"], domain="com.example")], [X], more=("com.example", 1)),
        "uses operator set com.example 1; expected ai.onnx 17",
    ),
    "arithmetic in int64": (
        make([node("Add", ["m", "m"])], [("m", INT64, [2])], ("y", INT64, [2])),
        "m is int64",
    ),
    "int64 inside": (
        make(
            [node("Cast", ["n"], "m", to=INT64), node("Gather", ["x", "m"], axis=1)], [X, WHOLE], ("y", FLOAT, [1, 2])
        ),
        r"node 'the_cast' \(Cast\) gives int64",
    ),
    "arithmetic with an int64 constant": (
        make([node("Mul", ["x", "y0"])], [X], constants={"y0": np.float64(2)}),
        "no valid ONNX graph",
    ),
    "double inside": (
        make([node("Cast", ["x"], "d", to=DOUBLE), node("Cast", ["d"], to=FLOAT)], [X]),
        r"node 'the_cast' \(Cast\) gives double",
    ),
    "double": (make([node("Exp", ["x"])], [("x", DOUBLE, [1, 4])], ("y", DOUBLE, [1, 4])), "x is double"),
    "a shape that is not fixed": (
        make([node("Exp", ["x"])], [("x", FLOAT, ["ticks", 4])], ("y", FLOAT, ["ticks", 4])),
        r"tensor x has shape \(0, 4\); expected a fixed one",
    ),
    "an empty cache": (
        make([node("Concat", ["x", "empty"], axis=1)], [X, ("empty", FLOAT, [1, 0])]),
        r"tensor empty has shape \(1, 0\)",
    ),
    "places from outside": (
        make(
            [node("Slice", ["x", "n", "end", "axis"])],
            [X, ("n", INT64, [1])],
            ("y", FLOAT, [1, 2]),
            {"end": np.array([2]), "axis": np.array([1])},
        ),
        "n is int64",
    ),
    "places that are computed": (
        make(
            [node("Add", ["k", "k"], "start"), node("Slice", ["x", "start", "end", "axis"])],
            [X],
            ("y", FLOAT, [1, 4]),
            {"k": np.array([0], np.int32), "end": np.array([4], np.int32), "axis": np.array([1], np.int32)},
        ),
        r"node 'the_slice' \(Slice\) takes start \(int32\) to tell shapes or places; expected a constant",
    ),
    "an attribute of later": (
        make([helper.make_node("Split", ["x"], ["y", "z"], axis=1, num_outputs=2)], [X], ("y", FLOAT, [1, 2])),
        "no valid ONNX graph",
    ),
    "a later operator set": (make([node("Exp", ["x"])], [X], opset=20), "operator set ai.onnx 20; expected ai.onnx 17"),
    "a zero point": (
        make(
            [node("QuantizeLinear", ["x", "scale", "zero"], "q"), node("DequantizeLinear", ["q", "scale", "zero"])],
            [X],
            constants={"scale": np.float32(0.1), "zero": np.int8(3)},
        ),
        "has the zero point zero",
    ),
    "a norm's second output": (
        make(
            [helper.make_node("LayerNormalization", ["x", "w"], ["y", "mean"], axis=-1)],
            [X],
            constants={"w": np.ones(4, np.float32)},
        ),
        r"node 'y' \(LayerNormalization\) has more than one output",
    ),
}


@pytest.mark.parametrize("target", ALL)
@pytest.mark.parametrize("name", ACCEPTED)
def test_what_every_parser_takes_passes(name: str, target: str) -> None:
    check_graph(ACCEPTED[name], target, "step.onnx")


@pytest.mark.parametrize("target", ALL)
@pytest.mark.parametrize("name", REFUSED)
def test_what_no_parser_takes_is_refused_by_name(name: str, target: str) -> None:
    graph, says = REFUSED[name]
    with pytest.raises(BackendError, match=says) as refused:
        check_graph(graph, target, "step.onnx")
    assert str(refused.value).startswith("step.onnx: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        (make([node("Cast", ["x"], to=FLOAT)], [("x", UINT8, [1, 4])]), "x is uint8; TensorRT 8.6 is fed with float"),
        (make([node("ReduceMax", ["n"], axes=[0])], [WHOLE], ("y", INT32, [1])), r"\(ReduceMax\) takes n as int32"),
    ],
    ids=["bytes", "whole numbers"],
)
def test_what_the_old_parser_lacks_is_refused_for_it_alone(graph: Any, says: str) -> None:
    check_graph(graph, "10", "encoder.onnx")
    check_graph(graph, "11", "encoder.onnx")
    with pytest.raises(BackendError, match=says):
        check_graph(graph, "8.6", "encoder.onnx")


def test_a_later_file_format_is_refused() -> None:
    graph = make([node("Sigmoid", ["x"])], [X])
    graph.ir_version = 10
    with pytest.raises(BackendError, match="IR version 10; expected 8"):
        check_graph(graph, "10", "step.onnx")


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(BackendError, match=r"target '7' is unknown; expected one of 8\.6, 10, 11"):
        check_graph(ACCEPTED["sum"], "7", "step.onnx")
