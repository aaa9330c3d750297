"""One run over a window says what stepping through it says, and look-backs see the windows they are made for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import onnxruntime as ort  # noqa: E402

from hal_ros.core.step import StepInput  # noqa: E402
from hal_ros.export import whole_window as window  # noqa: E402
from hal_ros.nn.hal import HalConfig, flatten_state  # noqa: E402
from step_graphs import make_graph  # noqa: E402

TICKS = 20  # longer than the small model's window of 15


def stream(seed: int = 0) -> list[StepInput]:
    """Random ticks, some without picture, some without one joint."""
    graph, random = make_graph(), np.random.default_rng(seed)
    rows = []
    for tick in range(TICKS):
        feature = random.normal(size=graph.eye.config.feature_dim).astype(np.float32)
        joints_valid = np.ones(graph.model.config.joint_values, np.float32)
        joints_valid[tick % 6] = tick % 2
        joints = random.normal(size=graph.model.config.joint_values).astype(np.float32)
        rows.append(StepInput(feature, float(tick % 5 != 0), joints, joints_valid))
    return rows


def stepped(rows: list[StepInput]) -> list[np.ndarray]:
    graph = make_graph()
    state = flatten_state(graph.initial_state())
    for row in rows:
        tensors = [torch.from_numpy(np.atleast_1d(np.float32(value))[None]) for value in row]
        with torch.no_grad():
            outputs = graph(*tensors, *state)
        state = list(outputs[3:])
    return [output.numpy() for output in outputs[:3]]


def in_one_run(rows: list[StepInput], remembered: bool = False) -> list[np.ndarray]:
    graph = make_graph()
    feeds = window.window_feeds(graph, rows, remembered)
    tensors = [torch.from_numpy(values) for values in feeds.values()]
    with torch.no_grad():
        return [output.numpy() for output in window.WindowGraph(graph, remembered).eval()(*tensors)]


@pytest.mark.parametrize("remembered", [False, True])
def test_a_window_in_one_run_says_what_its_steps_say(remembered: bool) -> None:
    rows = stream()
    said = stepped(rows)
    for expected, found in zip(said, in_one_run(rows, remembered), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    glitch = rows[10]._replace(joints=rows[10].joints + 1)
    changed = in_one_run([*rows[:10], glitch, *rows[11:]], remembered)
    assert not np.allclose(changed[0], said[0], atol=1e-5)


def test_its_file_says_the_same(tmp_path: Path) -> None:
    path, rows = tmp_path / "window.onnx", stream()
    window.export_window(make_graph(), TICKS, path, remembered=True)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = window.window_feeds(make_graph(), rows, remembered=True)
    assert {entry.name: tuple(entry.shape) for entry in session.get_inputs()} == {n: x.shape for n, x in feeds.items()}
    for expected, found in zip(in_one_run(rows), session.run(None, feeds), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("ticks", [64, 127, 128, 256, 1000, 1024])
def test_lookbacks_see_their_window(ticks: int) -> None:
    found = window.lookbacks(ticks)
    assert HalConfig(3, 3, lookback=found).window_ticks == ticks
    assert list(found) == sorted(found) and min(found) >= 2


def test_the_default_lookbacks_are_among_them_and_short_windows_are_refused() -> None:
    config = HalConfig(3, 3)
    assert window.lookbacks(config.window_ticks) == config.lookback
    with pytest.raises(ValueError, match="window of 63 ticks is too short"):
        window.lookbacks(63)
