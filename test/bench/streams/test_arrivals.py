"""The measured robot's messages come at their rates, in order, and bags hold them as the model's streams expect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from hal_ros.bags.inputs import find_inputs
from hal_ros.bags.messages import header_stamp_ns
from hal_ros.bags.reader import read_messages
from hal_ros.bench.streams import robot
from hal_ros.bench.streams.arrivals import CAMERA_HZ, START_NS, WRENCH_HZ, SentTopic, arrivals, states, write_bag
from hal_ros.bench.streams.ingest import jpeg_camera
from hal_ros.bench.streams.live import raw_camera


@pytest.mark.parametrize("joints_hz", [100, 500, 1000])
def test_each_stream_comes_at_its_rate_and_all_in_order(joints_hz: int) -> None:
    found = list(arrivals(4, joints_hz))
    counts = Counter(stream for stream, _ in found)
    assert counts[robot.ARM] == 4 * joints_hz
    assert counts[robot.WRENCH] == 4 * WRENCH_HZ
    assert counts[robot.FRONT] == counts[robot.WRIST] == 4 * CAMERA_HZ
    stamps = [stamp_ns for _, stamp_ns in found]
    assert stamps == sorted(stamps) and stamps[0] > 0


@pytest.mark.parametrize("make", [raw_camera, jpeg_camera])
def test_a_bag_holds_what_was_sent_under_the_stamps_of_its_arrival(
    tmp_path: Path, make: Callable[[str, int], SentTopic]
) -> None:
    spec = robot.streams()
    carried = states() | {name: make(name, seed) for seed, name in enumerate(spec.cameras)}
    sent = write_bag(tmp_path / "bag", carried, arrivals(1, 100))
    assert sent == {robot.ARM: 100, robot.WRENCH: 100, robot.FRONT: 15, robot.WRIST: 15}
    inputs = find_inputs(tmp_path / "bag", spec, "the robot")
    assert not inputs.problems
    messages = list(read_messages(tmp_path / "bag"))
    assert len(messages) == sum(sent.values())
    assert all(header_stamp_ns(m.data) == m.receive_ns > START_NS for m in messages)
    fronts = [m.data[12:] for m in messages if m.topic == carried[robot.FRONT].topic]
    assert len(set(fronts)) == len(carried[robot.FRONT].messages)  # they take turns
