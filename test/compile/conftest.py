"""What takes seconds, and is spared: step graphs on disk are exported once, and children run in the test's process."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Return the function that gives the file of the small model with these caches in this precision."""
    folder = tmp_path_factory.mktemp("exported")

    @cache
    def file(caches: str, precision: str) -> Path:
        from step_graphs import make_graph

        from hal_ros.compile.half import halved
        from hal_ros.compile.to_onnx import export_step

        graph = make_graph(caches=caches)
        path = folder / f"{caches}-{precision}.onnx"
        export_step(halved(graph) if precision == "fp16" else graph, path, "8.6")
        return path

    return file


@pytest.fixture
def in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `compile_bundle` do its children's work here. What it is told of their end is the same."""
    from hal_ros.compile import child

    def run(arguments: Sequence[str], log: Path, name: str, *_: object) -> float:
        module, *rest = arguments
        with log.open("w") as errors, contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors):
            code = importlib.import_module(module).main(rest)
        child.check_end(code, log, name)
        return 0.0

    monkeypatch.setattr("hal_ros.compile.to_tensorrt.run_child", run)
