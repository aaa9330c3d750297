"""Sessions are opened in one place, with the options of the robot, whoever opens them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from hal_ros.core.errors import BackendError
from hal_ros.runtime import sessions
from hal_ros.runtime.sessions import open_session

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models" / "tabletop"


def test_nobody_else_opens_sessions() -> None:
    sources = [*(ROOT / "hal_ros").rglob("*.py"), *(ROOT / "scripts").glob("*.py")]
    opening = {path.name for path in sources if re.search(r"InferenceSession\(", path.read_text())}
    assert opening == {"sessions.py"}


def test_the_robots_options_are_the_usual_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    real = ort.InferenceSession

    def note(graph: str, options: ort.SessionOptions, **given: Any) -> Any:
        asked.update(given, options=options)
        return real(graph, options, **given)

    monkeypatch.setattr(ort, "InferenceSession", note)
    open_session(MODEL / "step.onnx")
    options = asked["options"]
    assert (options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level) == (1, 1, 3)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert asked["disabled_optimizers"] == ["MatMulAddFusion"] and asked["providers"] == [sessions.CPU]
    assert asked["enable_fallback"] == 0
    open_session(MODEL / "step.onnx", threads=2, optimised="window", enable_mem_pattern=False)
    assert asked["options"].intra_op_num_threads == 2 and not asked["options"].enable_mem_pattern
    assert asked["disabled_optimizers"] == []
    open_session((MODEL / "step.onnx").read_bytes(), optimised="off")
    assert asked["options"].graph_optimization_level == ort.GraphOptimizationLevel.ORT_DISABLE_ALL


def test_what_is_no_graph_is_named(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(b"none")
    with pytest.raises(BackendError, match=rf"^{path}: ONNX Runtime can't open it \(.*\)$"):
        open_session(path)
    with pytest.raises(BackendError, match=r"^graph: ONNX Runtime can't open it"):
        open_session(np.zeros(8, np.uint8).tobytes() + b"none")
