"""What is exported takes fewer nodes and computes what the model computes, whatever the robot has."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from hal_ros.export import parity, to_onnx  # noqa: E402
from hal_ros.export.folded import folded  # noqa: E402
from hal_ros.export.half_precision import halved  # noqa: E402
from hal_ros.nn.hal import HalConfig  # noqa: E402
from hal_ros.nn.state import flatten_state  # noqa: E402
from hal_ros.runtime.step_state import OUTPUTS  # noqa: E402
from step_graphs import CONFIG, ROBOTS, make_graph  # noqa: E402

RECURRENT = replace(CONFIG, trunk="rg_lru", differences=(1, 4))
NODES = {"band": 150, "rg_lru": 127}
"""At most, of three attention layers and of two recurrent ones with differences, the eye's among them."""


@torch.no_grad()
def difference(first: to_onnx.StepGraph, second: to_onnx.StepGraph) -> float:
    """Return the largest one of outputs and states, each graph with its own state; now and then an input is missing."""
    states, worst = [flatten_state(graph.initial_state()) for graph in (first, second)], 0.0
    for row in parity.stream(first):
        said = [
            graph(*map(torch.from_numpy, row), *state) for graph, state in zip((first, second), states, strict=True)
        ]
        states = [list(each[len(OUTPUTS) :]) for each in said]
        worst = max(worst, *(float((a - b).abs().max()) for a, b in zip(*said, strict=True)))
    return worst


@pytest.mark.parametrize("robot", ROBOTS)
@pytest.mark.parametrize("config", [CONFIG, RECURRENT], ids=["band", "rg_lru"])
def test_folding_changes_nothing_but_the_number_of_nodes(config: HalConfig, robot: str) -> None:
    graph = make_graph(config, streams=ROBOTS[robot])
    for index, eye in enumerate(graph.eyes):  # eyes and trunk may have been standardised by other clips
        for joints in [eye.joints] if eye.config.joint_values else []:
            joints.mean += 0.3 * (index + 1)
            joints.spread *= 1.2
    before = copy.deepcopy(graph.state_dict())
    apart = difference(graph, folded(graph))
    assert apart <= 1e-5
    assert all(torch.equal(tensor, before[name]) for name, tensor in graph.state_dict().items())


@pytest.mark.parametrize(
    "name",
    ["eye.spread", "eye.joints.mean", "eye.second.bias", "model.seen_mean", "model.blind", "model.joints.spread"],
)
def test_what_is_folded_still_counts(name: str) -> None:
    graph = make_graph(RECURRENT)
    other = copy.deepcopy(graph)
    tensor = other.state_dict()[name]
    tensor.add_(torch.linspace(0.1, 1.0, len(tensor)))  # what all channels share, a norm takes away
    apart = difference(graph, folded(other))
    assert apart > 1e-3


def test_half_precision_stays_where_it_was() -> None:
    half = folded(halved(make_graph()))
    assert half.inputs is not None
    assert {tensor.dtype for tensor in half.inputs.parameters()} == {torch.float32}
    assert all(layer.together.weight.dtype == torch.float16 for layer in half.model.layers)


def test_the_values_offset_leaves_their_digits() -> None:
    """Positions far from the origin: what they share is taken off before anything is multiplied."""
    graph = make_graph(RECURRENT, streams=ROBOTS["states"])
    graph.model.joints.mean += 1e5
    apart = difference(graph, folded(graph))
    assert apart <= 1e-4


def test_a_step_has_few_nodes(exported: Callable[..., Path], tmp_path: Path) -> None:
    to_onnx.export_step(make_graph(RECURRENT), tmp_path / "step.onnx", "8.6")
    paths = {"band": exported("shift", "fp32"), "rg_lru": tmp_path / "step.onnx"}
    assert all(len(onnx.load(path).graph.node) <= NODES[trunk] for trunk, path in paths.items())
