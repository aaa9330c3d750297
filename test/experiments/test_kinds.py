"""The registry of kinds."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hal_ros.core.errors import ConfigError
from hal_ros.experiments import kinds
from hal_ros.experiments.graph import Job, Task


def do(tmp_path: Path, kind: str, inputs: Sequence[str] = ()) -> None:
    kinds.do({}, Task(Job("one", kind), dict.fromkeys(inputs, tmp_path), tmp_path))


def test_a_kind_that_nothing_does_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"job 'one' is of kind 'juggle', which nothing does"):
        do(tmp_path, "juggle")


@pytest.mark.parametrize(
    ("kind", "inputs", "said"),
    [
        ("student", ["labels"], "'clips' is missing or not for it; expected clips, labels or none"),
        ("columns", ["clips"], "'clips' is missing or not for it; expected none"),
        ("score", ["answers0", "clips"], "'clips' is missing or not for it"),
        ("score", [], "'answers0' is missing or not for it"),
    ],
)
def test_inputs_that_a_kind_does_not_take_are_named(tmp_path: Path, kind: str, inputs: list[Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        do(tmp_path, kind, inputs)


def test_all_folds_are_inputs_of_a_score() -> None:
    roles = [f"answers{number}" for number in range(3)]
    assert kinds.kind_of(Job("one", "score"), roles) is kinds.KINDS["score"]


@pytest.mark.torch
@pytest.mark.parametrize("kind", kinds.KINDS)
def test_every_kind_has_a_function_that_takes_a_task_and_places(kind: Any) -> None:
    pytest.importorskip("torch")
    assert len(inspect.signature(kinds.KINDS[kind].load()).parameters) == 2
    assert kinds.KINDS[kind].writes


def test_scoring_needs_no_torch() -> None:
    program = "from hal_ros.experiments import kinds; kinds.KINDS['score'].load()"
    program = f"import sys; {program}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
