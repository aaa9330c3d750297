"""What takes seconds, and is spared: step graphs on disk are exported once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Return the function that gives the file of the small model with these caches in this precision."""
    folder = tmp_path_factory.mktemp("exported")

    @cache
    def file(caches: str, precision: str) -> Path:
        from hal_ros.export.half_precision import halved
        from hal_ros.export.to_onnx import export_step
        from step_graphs import make_graph

        graph = make_graph(caches=caches)
        path = folder / f"{caches}-{precision}.onnx"
        export_step(halved(graph) if precision == "fp16" else graph, path, "8.6")
        return path

    return file
