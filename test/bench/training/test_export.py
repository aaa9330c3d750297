"""The row of an export has what it is compared with, and says why it can't be measured."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hal_ros.bench.training import export
from hal_ros.core.errors import BackendError

MODEL = Path(__file__).parents[3] / "models" / "tabletop"


def test_processor_time_is_counted() -> None:
    assert export.cpu_s(lambda: sum(range(200_000))) > 0


def test_without_torch_the_reason_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "hal_ros.export.to_onnx", None)
    with pytest.raises(BackendError, match="torch"):
        export.rows(MODEL, tmp_path)
