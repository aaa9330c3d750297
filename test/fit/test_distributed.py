"""Two processes under torchrun train as one does on the whole batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from distributed_program import everything  # noqa: E402

from hal_ros.fit.distributed import World, gather  # noqa: E402

SUPPORT = Path(__file__).parents[1] / "support"
PROGRAM = SUPPORT / "distributed_program.py"


@pytest.mark.timeout(300)  # three processes that import torch, on whatever else the machine is doing
def test_two_processes_are_as_good_as_one_and_only_because_they_sum_gradients(tmp_path):
    out = tmp_path / "two.json"
    paths = [SUPPORT, SUPPORT.parents[1]]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", PROGRAM, out]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    (_, one), two = everything(), json.loads(out.read_text())
    assert (one["size"], two["size"]) == (1, 2)
    assert two["step"]["loss"] == pytest.approx(one["step"]["loss"], abs=1e-6)
    assert abs(two["step"]["own"] - one["step"]["loss"]) > 1e-2  # a process's own part is another number
    np.testing.assert_allclose(two["step"]["gradients"], one["step"]["gradients"], atol=1e-6)
    np.testing.assert_allclose(two["weights"], one["weights"], atol=1e-4)  # Adam enlarges what rounding leaves
    assert np.abs(np.array(two["apart"]) - one["weights"]).max() > 1e-3


def test_shares_are_put_together_in_order():
    items = list(range(5))
    assert [World(rank, 2).share(items) for rank in (0, 1)] == [[0, 2, 4], [1, 3]]
    assert gather(World().share(items), 5, World()) == items
