"""A shrunk recording is the same run, smaller: same stamps, joints and truth byte for byte, half-size pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hal_ros.bags import messages
from hal_ros.bags.reader import BagWriter, read_messages
from hal_ros.core import image
from hal_ros.core.errors import BagError
from shrink_recording import CAMERA_INFO_TOPIC, IMAGE_TOPIC, main, shrink

HEIGHT, WIDTH, COUNT, PERIOD_NS = 48, 64, 10, 100_000_000
FIRST_NS = 1_000_000_000
K = np.array([80.0, 0, 32, 0, 80, 24, 0, 0, 1])
P = np.array([80.0, 0, 32, 0, 0, 80, 24, 0, 0, 0, 1, 0])


def make_recording(folder: Path) -> Path:
    """Write COUNT pictures of one colour each, camera infos, truths, and a label that is not the robot's."""
    image_type = messages.known_class("sensor_msgs/msg/Image")
    info_type = messages.known_class("sensor_msgs/msg/CameraInfo")
    truth_type = messages.known_class("hal_msgs/msg/ActionTruth")
    region = messages.known_class("sensor_msgs/msg/RegionOfInterest")(0, 0, 0, 0, False)
    with BagWriter(folder / "run") as writer:
        for index in range(COUNT):
            stamp_ns = FIRST_NS + index * PERIOD_NS
            header = messages.header_message(stamp_ns, "camera")
            pixels = np.full(HEIGHT * WIDTH * 3, 20 * index, np.uint8)
            picture = image_type(header, HEIGHT, WIDTH, "rgb8", 0, WIDTH * 3, pixels)
            info = info_type(header, HEIGHT, WIDTH, "plumb_bob", np.zeros(5), K, np.eye(3).ravel(), P, 0, 0, region)
            for topic, message in (
                (IMAGE_TOPIC, picture),
                (CAMERA_INFO_TOPIC, info),
                ("/simulation/action_truth", truth_type(header, "pour", 1)),
                ("/rosout", truth_type(header, "noise", 1)),
            ):
                writer.write(topic, message.__msgtype__, messages.serialise(message), stamp_ns)
    return folder / "run"


def test_what_is_kept_keeps_its_times_and_bytes(tmp_path: Path) -> None:
    source, out = make_recording(tmp_path), tmp_path / "small.mcap"
    assert shrink(source, out, seconds=60.0, quality=90) == COUNT
    truth = "/simulation/action_truth"
    assert list(read_messages(out, {truth})) == list(read_messages(source, {truth}))
    topics = {message.topic for message in read_messages(out)}
    assert topics == {f"{IMAGE_TOPIC}/compressed", CAMERA_INFO_TOPIC, truth}


def test_pictures_are_halved_with_their_stamps(tmp_path: Path) -> None:
    source, out = make_recording(tmp_path), tmp_path / "small.mcap"
    shrink(source, out, seconds=60.0, quality=90)
    for index, message in enumerate(read_messages(out, {f"{IMAGE_TOPIC}/compressed"})):
        content = messages.deserialise(message.type_name, message.data)
        assert messages.to_ns(content.header.stamp) == message.receive_ns == FIRST_NS + index * PERIOD_NS
        rgb = image.compressed_to_rgb(content.data)
        assert rgb.shape == (HEIGHT // 2, WIDTH // 2, 3)
        assert abs(int(rgb.mean()) - 20 * index) <= 2


def test_intrinsics_fit_the_smaller_picture(tmp_path: Path) -> None:
    source, out = make_recording(tmp_path), tmp_path / "small.mcap"
    shrink(source, out, seconds=60.0, quality=90)
    message = next(read_messages(out, {CAMERA_INFO_TOPIC}))
    info = messages.deserialise(message.type_name, message.data)
    assert (info.height, info.width) == (HEIGHT // 2, WIDTH // 2)
    np.testing.assert_allclose(info.k, [40, 0, 16, 0, 40, 12, 0, 0, 1])
    np.testing.assert_allclose(info.p, [40, 0, 16, 0, 0, 40, 12, 0, 0, 0, 1, 0])


def test_only_the_first_seconds_are_taken(tmp_path: Path) -> None:
    source, out = make_recording(tmp_path), tmp_path / "small.mcap"
    shrink(source, out, seconds=0.45, quality=90)
    assert len(list(read_messages(out, {f"{IMAGE_TOPIC}/compressed"}))) == 5


def test_a_recording_without_images_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with BagWriter(tmp_path / "empty"):
        pass
    with pytest.raises(BagError, match="holds no image"):
        shrink(tmp_path / "empty", tmp_path / "small.mcap", 60.0, 90)
    assert main([str(tmp_path / "nowhere"), str(tmp_path / "other.mcap")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
