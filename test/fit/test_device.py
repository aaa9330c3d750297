"""Where networks lie while they learn: in one place, and everything that they meet beside them.

No GPU is needed: torch's device `meta` computes shapes alone, but refuses to mix its tensors with the processor's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from hal_ros.fit.device import CPU, device_of, moved, on_device, to_numpy, training_device
from hal_ros.labels.teacher.batches import TeacherBatch
from hal_ros.labels.teacher.network import PyramidConfig, PyramidTeacher
from hal_ros.nn.hal import CausalHal, HalConfig, Inputs
from hal_ros.nn.joint_guided_attention import Eye, EyeConfig
from rooms import ROOT

pytestmark = pytest.mark.torch
ELSEWHERE = torch.device("meta")


def test_the_gpu_is_taken_where_torch_sees_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for seen, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda seen=seen: seen)
        assert training_device().type == expected


def student(device: torch.device, trunk: str) -> Tensor:
    model = CausalHal(
        HalConfig(
            5, 4, 16, trunk=trunk, short_lookback=(3,), context_gate="vector", context_every=3, differences=(1, 3)
        )
    )
    inputs = Inputs(torch.zeros(3, 8, 16), torch.ones(3, 8, 1), torch.zeros(3, 8, 4), torch.ones(3, 8, 4))
    outputs, _ = model(moved(inputs, device), model.initial_state(3))
    return outputs.log_probs.sum() + outputs.boundary.sum()


def teacher(_: torch.device) -> Tensor:
    model = PyramidTeacher(PyramidConfig(4, 7))
    return model(torch.zeros(2, 30, 7), torch.ones(2, 30)).log_probs.sum()


def eye(_: torch.device) -> Tensor:
    model = Eye(EyeConfig(4, 6, (4, 4, 8)))
    return model.head(model(torch.zeros(5, 1, 128), torch.zeros(5, 1, 6), torch.ones(5, 1, 6))).sum()


@pytest.mark.parametrize(
    "loss", [eye, teacher, *(lambda device, trunk=trunk: student(device, trunk) for trunk in ("band", "mingru", "gru"))]
)
def test_networks_make_nothing_elsewhere_than_they_lie(loss: Callable[[torch.device], Tensor]) -> None:
    with ELSEWHERE:
        found = loss(ELSEWHERE)
        found.backward()
    assert found.device == ELSEWHERE


def test_a_tensor_that_was_left_behind_is_noticed() -> None:
    with ELSEWHERE:
        line = nn.Linear(2, 1)
    with pytest.raises(RuntimeError, match="device"):
        line(torch.zeros(1, 2))


class Pair(NamedTuple):
    """Tensors side by side and in a list."""

    left: Tensor
    right: Sequence[Tensor]


def test_a_batch_is_moved_as_a_whole_and_keeps_its_form() -> None:
    batch = (TeacherBatch(*(torch.ones(1, 2) for _ in range(4))), Pair(torch.ones(1), [torch.ones(2)]), 0.5)
    there, pair, share = moved(batch, ELSEWHERE)
    assert {there.inputs.device, there.present.device, pair.left.device, pair.right[0].device} == {ELSEWHERE}
    assert isinstance(there, TeacherBatch) and isinstance(pair, Pair) and share == 0.5
    indices = np.arange(3)
    assert moved(indices, ELSEWHERE) is indices


def test_what_lies_there_already_stays() -> None:
    line = nn.Linear(2, 1)
    with on_device(CPU, line):
        assert device_of(line) == torch.zeros(1).device == CPU
    with ELSEWHERE:
        there = nn.Linear(2, 1)
    with on_device(ELSEWHERE, there):
        assert device_of(there) == ELSEWHERE
    assert device_of(there) == ELSEWHERE
    assert device_of(nn.Identity()) == CPU


def test_arrays_are_made_of_tensors_in_one_way() -> None:
    """`.numpy()` fails on a GPU; whoever trains calls `to_numpy`."""
    assert to_numpy(torch.ones(2, requires_grad=True)).tolist() == [1, 1]
    folders = [ROOT / "hal_ros" / name for name in ("fit", "train", "labels")]
    sources = [path for folder in folders for path in folder.rglob("*.py") if path.name != "device.py"]
    assert len(sources) > 30
    assert [path.name for path in sources if re.search(r"\.numpy\(\)", path.read_text())] == []
