"""What takes seconds, and is spared: step graphs on disk are exported once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return the function that gives the file of a robot's small model with these caches in this precision."""
    folder = tmp_path_factory.mktemp("exported")

    @cache
    def file(caches: str, precision: str, robot: str = "one") -> Path:
        from hal_ros.export.half_precision import halved
        from hal_ros.export.to_onnx import export_step
        from step_graphs import ROBOTS, make_graph

        graph = make_graph(caches=caches, streams=ROBOTS[robot])
        (folder / robot).mkdir(exist_ok=True)
        path = folder / robot / f"{caches}-{precision}.onnx"
        export_step(halved(graph) if precision == "fp16" else graph, path, "8.6")
        return path

    return file
