"""Half precision lies where it pays, and nowhere that a sensor's glitch could overflow it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from hal_ros.export import parity  # noqa: E402
from hal_ros.export.half_precision import halved  # noqa: E402
from hal_ros.export.to_onnx import StepGraph  # noqa: E402
from hal_ros.nn.state import flatten_state  # noqa: E402
from hal_ros.runtime.step_state import OUTPUTS  # noqa: E402
from step_graphs import CONFIG, make_graph  # noqa: E402

PRODUCTS = ("query", "key", "value", "out", "wide", "narrow")


@torch.no_grad()
def run(graph: StepGraph, rows: Any, state: Any = None) -> list[list]:
    state = flatten_state(graph.initial_state()) if state is None else state
    results = []
    for row in rows:
        said = graph(*(torch.as_tensor(value) for value in row), *state)
        state = list(said[len(OUTPUTS) :])
        results.append(said)
    return results


def difference(first: Any, second: Any) -> float:
    return max(
        float((a - b).abs().max()) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True)
    )


def test_the_products_of_the_trunk_are_half_and_nothing_else() -> None:
    names = {f"model.layers.{layer}.{name}" for layer in range(len(CONFIG.lookback)) for name in PRODUCTS}
    names |= {"model.candidate"}
    for name, tensor in halved(make_graph()).state_dict().items():
        assert (tensor.dtype == torch.float16) == (name.rpartition(".")[0] in names), name


def test_the_given_graph_keeps_its_precision() -> None:
    graph = make_graph()
    before = copy.deepcopy(graph.state_dict())
    halved(graph)
    assert all(torch.equal(tensor, before[name]) for name, tensor in graph.state_dict().items())
    assert {tensor.dtype for tensor in flatten_state(graph.initial_state())} == {torch.float32}


def test_torch_in_half_precision_stays_near() -> None:
    """The arithmetic itself, which ONNX Runtime on a CPU does in single precision between the casts."""
    graph = make_graph()
    rows = parity.stream(graph)
    error = difference(run(graph, rows), run(halved(graph), rows))
    assert 1e-5 < error < 1e-2


def test_a_glitch_of_a_sensor_leaves_the_stream_as_near_as_before() -> None:
    """An effort of ten million at one tick: what is cached and summed up afterwards is finite, and right."""
    graph = make_graph()
    rows = parity.stream(graph)[:12]
    feature, image_valid, joints, joints_valid = (value.copy() for value in rows[5])
    joints[0, 2], joints_valid[0, 2] = 1e7, 1.0
    rows[5] = (feature, image_valid, joints, joints_valid)
    assert difference(run(graph, rows), run(halved(graph), rows)) < 2e-2
    everything = copy.deepcopy(graph).half()  # the control: all of it in half precision
    everything.cache_type = torch.float16
    state = [tensor.half() for tensor in flatten_state(everything.initial_state())]
    said = run(everything, [[torch.as_tensor(value).half() for value in row] for row in rows], state)
    assert not all(torch.isfinite(tensor).all() for tensor in said[-1])


@torch.no_grad()
def last_context(graph: StepGraph, rows: Any, rounded: bool) -> Any:
    """Return c after a stream that begins with c = 8 all over, on request rounded to half precision each tick."""
    state = flatten_state(graph.initial_state())
    state[-2:] = [torch.ones_like(state[-2]), torch.full_like(state[-1], 8.0)]
    for row in rows:
        state = list(graph(*(torch.as_tensor(value) for value in row), *state)[len(OUTPUTS) :])
        state[-1] = state[-1].half().float() if rounded else state[-1]
    return state[-1]


def test_a_slow_context_does_not_stall() -> None:
    """With a gate of a thousandth, a step is below what half precision resolves at 8; the sum still has to move."""
    graph = make_graph()
    with torch.no_grad():
        graph.model.gate.weight.zero_()
        graph.model.gate.bias.fill_(-7.0)
    rows = [parity.stream(graph)[0]] * 200
    expected = last_context(graph, rows, rounded=False)
    assert float((expected - 8.0).abs().max()) > 0.5
    assert float((last_context(halved(graph), rows, rounded=False) - expected).abs().max()) < 1e-2
    assert float((last_context(graph, rows, rounded=True) - expected).abs().max()) > 0.1  # the control
