"""What a recording holds of a run is read back, and a recording that holds none is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hal_ros.bags.answer_messages import LABEL_TYPE
from hal_ros.bags.messages import header_stamp_ns
from hal_ros.bags.reader import BagWriter, read_messages
from hal_ros.core.errors import BagError
from hal_ros.offline.bundle import ANSWERS, OFFLINE
from hal_ros.offline.recording import read_pictures, read_recording
from recordings import PERIOD_NS, START_NS, Story, draw, put_image, write_story

WORDS = ("reach", "grasp", "lift")
TRUE = "A" * 10 + "B" * 10 + "C" * 10
STORY = Story(WORDS, truth=TRUE, provisional=TRUE, confirmed=TRUE)


def test_what_was_recorded_is_read(tmp_path: Path) -> None:
    recording = read_recording(write_story(tmp_path / "run", STORY))
    assert recording.vocabulary == WORDS
    assert (recording.bundle, recording.bundle_hash) == ("demo", "ab" * 32)
    assert (recording.rate_hz, recording.lag_ticks) == (10, 4)
    assert len(recording.labels) == len(recording.truth) == 30
    assert [(event.from_action, event.to_action) for event in recording.events] == [
        ("", "reach"),
        ("reach", "grasp"),
        ("grasp", "lift"),
    ]
    assert recording.events[1].detected_ns - recording.events[1].stamp_ns == 4 * PERIOD_NS
    assert [status.level for status in recording.statuses] == ["OK", "WARN"]
    assert recording.statuses[1].values == {"lost": "3"}
    assert recording.topics["/action_label"] == 30


def test_a_recording_without_labels_is_refused(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "run") as bag:
        put_image(bag, STORY, 0, START_NS)
    with pytest.raises(BagError, match="ActionLabel"):
        read_recording(tmp_path / "run")
    with pytest.raises(BagError, match="nowhere"):
        read_recording(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["raw", "compressed"])
def test_pictures_are_found_by_their_stamp(tmp_path: Path, kind: str) -> None:
    path = write_story(tmp_path / "run", STORY._replace(images=kind))
    wanted = [START_NS + tick * PERIOD_NS for tick in (3, 12)]
    pictures = read_pictures(path, [*wanted, START_NS + 1])
    assert sorted(pictures) == wanted
    for tick, stamp in zip((3, 12), wanted, strict=True):
        assert np.abs(pictures[stamp].astype(int) - draw(tick // 10, tick)).mean() < 3


@pytest.mark.parametrize("told", [True, False])
def test_labels_that_were_made_offline_have_no_latency(tmp_path: Path, told: bool) -> None:
    """By the bag's record, or by labels that were received with their very images, as earlier versions wrote them."""
    words = "A" * 10
    path = write_story(tmp_path / "live", Story(("reach",), truth=words, provisional=words, confirmed=words))
    live = read_recording(path)
    assert not live.offline
    with BagWriter(tmp_path / "offline", {ANSWERS: {"made": OFFLINE}} if told else {}) as writer:
        for message in read_messages(path):
            received_ns = message.receive_ns
            if message.type_name == LABEL_TYPE and not told:
                received_ns = live.images_received_ns[header_stamp_ns(message.data) or 0]
            writer.write(message.topic, message.type_name, message.data, received_ns)
    assert read_recording(tmp_path / "offline").offline
