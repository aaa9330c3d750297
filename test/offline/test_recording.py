"""What a recording holds of a run is read back, and a recording that holds none is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hal_ros.bags.reader import BagWriter
from hal_ros.core.errors import BagError
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
