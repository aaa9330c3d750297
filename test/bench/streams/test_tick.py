"""A tick is the worker's whole one: every camera's picture is converted and encoded anew, and a label comes out."""

from __future__ import annotations

import cv2
import pytest

from fakes import FakeBackend, make_card
from hal_ros.bench.streams import robot
from hal_ros.bench.streams.tick import Ticker, one_thread


@pytest.mark.parametrize("cameras", [1, 2])
def test_each_tick_encodes_every_camera_once_and_gives_a_label(cameras: int) -> None:
    card = make_card(streams=robot.streams(cameras), window_ticks=3)
    backend = FakeBackend(card)
    ticker = Ticker(card, backend)
    assert (ticker.pipeline.counters["labels"], backend.encoded) == (3, 3 * cameras)
    ticker()
    assert (ticker.pipeline.counters["labels"], backend.encoded) == (4, 4 * cameras)
    assert ticker.pipeline.counters["held_ticks"] == ticker.pipeline.counters["overruns"] == 0
    assert backend.inputs[-1].image_valid.tolist() == [1.0] * cameras
    assert all(taken > 0 for taken in ticker.stages().values())


def test_opencv_gets_its_threads_back() -> None:
    before = cv2.getNumThreads()
    with one_thread():
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == before
