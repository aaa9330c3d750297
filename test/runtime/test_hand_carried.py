"""States that the host carries: the same answers as the back end's fixed buffers give, and what is carried is seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")

from hal_ros.core.errors import BackendError
from hal_ros.runtime.bundle import STEP
from hal_ros.runtime.card_json import CACHES
from hal_ros.runtime.hand_carried import open_hand_carried
from hal_ros.runtime.onnx_backend import OnnxBackend
from memory_bundle import SLOTS, answers, assert_same, random_inputs, write_memory_bundle

TICKS = 3 * SLOTS + 1


@pytest.mark.parametrize("caches", CACHES)
def test_the_answers_are_the_back_ends(tmp_path: Path, caches: str) -> None:
    bundle = write_memory_bundle(tmp_path / "bundle", caches)
    inputs = random_inputs(TICKS)
    by_hand = open_hand_carried(bundle.path(STEP), bundle.card)
    assert_same([by_hand.step(one) for one in inputs], answers(OnnxBackend(bundle), inputs))


@pytest.mark.parametrize("caches", CACHES)
def test_the_states_are_the_last_features(tmp_path: Path, caches: str) -> None:
    inputs = random_inputs(TICKS)
    bundle = write_memory_bundle(tmp_path / "bundle", caches)
    by_hand = open_hand_carried(bundle.path(STEP), bundle.card)
    for one in inputs:
        by_hand.step(one)
    last = np.array([one.feature for one in inputs[-SLOTS:]])
    if caches == "delta":  # tick t lies in slot t mod n
        last = np.roll(last, (TICKS - SLOTS) % SLOTS, axis=0)
    np.testing.assert_array_equal(by_hand.states["state_key_0"][0], last)
    assert by_hand.states["state_count"] == TICKS


def test_a_state_that_is_lost_is_heard(tmp_path: Path) -> None:
    bundle = write_memory_bundle(tmp_path / "bundle", "shift")
    inputs = random_inputs(2)
    by_hand = open_hand_carried(bundle.path(STEP), bundle.card)
    by_hand.step(inputs[0])
    by_hand.states["state_key_0"] = np.zeros_like(by_hand.states["state_key_0"])
    with pytest.raises(AssertionError):
        assert_same([by_hand.step(inputs[1])], answers(OnnxBackend(bundle), inputs)[1:])


def test_a_graph_of_other_caches_is_refused(tmp_path: Path) -> None:
    bundle = write_memory_bundle(tmp_path / "bundle", "delta")
    with pytest.raises(BackendError, match="order_0"):
        open_hand_carried(bundle.path(STEP), replace(bundle.card, caches="shift"))
