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
from hal_ros.nn.hal import HalConfig  # noqa: E402
from hal_ros.nn.state import flatten_state  # noqa: E402
from step_graphs import EYE, ROBOTS, make_graph  # noqa: E402

TICKS = 20  # longer than the small model's window of 15


def stream(robot: str, seed: int = 0) -> list[StepInput]:
    """Random ticks, some without a picture, some without one joint."""
    random, streams = np.random.default_rng(seed), ROBOTS[robot]
    cameras, values = len(streams.cameras), streams.value_count
    rows = []
    for tick in range(TICKS):
        feature = random.normal(size=cameras * EYE.feature_dim).astype(np.float32)
        joints_valid = np.ones(values, np.float32)
        joints_valid[tick % 6 :][:1] = tick % 2
        joints = random.normal(size=values).astype(np.float32)
        image_valid = np.array([tick % 5 != 0, tick % 7 != 0][:cameras], np.float32)
        rows.append(StepInput(feature, image_valid, joints, joints_valid))
    return rows


def stepped(robot: str, rows: list[StepInput]) -> list[np.ndarray]:
    graph = make_graph(streams=ROBOTS[robot])
    state = flatten_state(graph.initial_state())
    for row in rows:
        tensors = [torch.from_numpy(getattr(row, name)[None]) for name in graph.widths]
        with torch.no_grad():
            outputs = graph(*tensors, *state)
        state = list(outputs[3:])
    return [output.numpy() for output in outputs[:3]]


def in_one_run(robot: str, rows: list[StepInput], remembered: bool = False) -> list[np.ndarray]:
    graph = make_graph(streams=ROBOTS[robot])
    feeds = window.window_feeds(graph, rows, remembered)
    tensors = [torch.from_numpy(values) for values in feeds.values()]
    with torch.no_grad():
        return [output.numpy() for output in window.WindowGraph(graph, remembered).eval()(*tensors)]


@pytest.mark.parametrize("remembered", [False, True])
@pytest.mark.parametrize("robot", ROBOTS)
def test_a_window_in_one_run_says_what_its_steps_say(robot: str, remembered: bool) -> None:
    rows = stream(robot)
    said = stepped(robot, rows)
    for expected, found in zip(said, in_one_run(robot, rows, remembered), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    glitch = rows[12]._replace(joints=rows[12].joints + 1, feature=rows[12].feature + 1)
    changed = in_one_run(robot, [*rows[:12], glitch, *rows[13:]], remembered)
    assert not np.allclose(changed[0], said[0], atol=1e-5)


def test_its_file_says_the_same(tmp_path: Path) -> None:
    path, rows, graph = tmp_path / "window.onnx", stream("two"), make_graph(streams=ROBOTS["two"])
    window.export_window(graph, TICKS, path, remembered=True)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = window.window_feeds(graph, rows, remembered=True)
    assert {entry.name: tuple(entry.shape) for entry in session.get_inputs()} == {n: x.shape for n, x in feeds.items()}
    for expected, found in zip(in_one_run("two", rows), session.run(None, feeds), strict=True):
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
