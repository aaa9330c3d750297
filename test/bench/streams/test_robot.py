"""The untrained model fits the robot, configures as a trained one does, and is made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes import make_card
from hal_ros.bench.streams import robot
from hal_ros.runtime.backend import open_backend
from hal_ros.runtime.bundle import load_bundle
from hal_ros.runtime.golden import golden_fault


def test_one_camera_has_the_same_states_as_two() -> None:
    one, two = robot.streams(1), robot.streams()
    assert one.states == two.states and two.value_count == 3 * 7 + 6
    assert (len(one.cameras), len(two.cameras)) == (1, 2) and one.clock == two.clock
    assert {*two.names} == {*robot.TOPICS}


def test_a_picture_is_of_the_cameras_size() -> None:
    assert robot.picture(0).shape == (480, 640, 3)
    assert (robot.picture(0) != robot.picture(1)).any()


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.timeout(600)  # an export, on a machine that may be busy
def test_the_untrained_bundle_passes_its_own_golden_ticks(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    bundle = robot.untrained_bundle(make_card(), robot.streams(), tmp_path / "bundle")
    assert bundle.card.streams.names == ("front", "wrist", "arm", "wrench")
    assert not golden_fault(bundle, open_backend(bundle, "onnxruntime")[0])
    again = robot.untrained_bundle(make_card(), robot.streams(), tmp_path / "bundle")
    assert again.sha256 == load_bundle(tmp_path / "bundle").sha256 == bundle.sha256
