"""A report says which streams its answers stand on, and shows what their cameras saw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hal_ros.bags.messages import header_message, known_class, serialise
from hal_ros.bags.reader import BagWriter
from hal_ros.core.streams.merge import Source
from hal_ros.offline.recording import Event, LabelAnswer, Recording, Status
from hal_ros.report.page import render, summarise
from hal_ros.report.streams import pictures_of, read_all_pictures, stream_table

START_NS, PERIOD_NS = 1_700_000_000_000_000_000, 100_000_000
WRIST_AGE_NS = 30_000_000


def stamp(tick: int) -> int:
    return START_NS + tick * PERIOD_NS


def inputs(tick: int) -> tuple[Source, ...]:
    """The wrist's camera, first in the card, is a little older than the clock's; the wrench comes to every other."""
    found = [Source("wrist", "/wrist", stamp(tick) - WRIST_AGE_NS), Source("front", "/front", stamp(tick))]
    return (*found, *([Source("wrench", "/wrench", stamp(tick) - 1)] if tick % 2 else []))


def label(tick: int) -> LabelAnswer:
    return LabelAnswer(stamp(tick), stamp(tick), stamp(tick), 0, "reach", 0.9, stamp(tick), "reach", 0.9, inputs(tick))


def status(name: str, level: str = "OK", message: str = "", **values: str) -> Status:
    return Status(f"segmenter: {name}", level, message, {"topics": f"/{name}", **values})


RECORDING = Recording(
    "run",
    tuple(label(tick) for tick in range(10)),
    events=(Event(stamp(4), stamp(8), stamp(8), "", "reach", 0.9, 1),),
    vocabulary=("reach",),
    rate_hz=10.0,
    cameras=frozenset({"/front", "/wrist"}),
    statuses=(
        Status("segmenter: model", "OK", "", {"labels": "10"}),
        status("front", images="15", image_rate_hz="15.04", dropped_not_due="5", dropped_zero="2", missing="0"),
        status("wrench", "WARN", "no message on /wrench", messages="5", message_rate_hz="0.00", missing="5"),
    ),
)


def picture_message(topic: str, grey: int, stamp_ns: int) -> bytes:
    data = np.full(12 * 16 * 3, grey, np.uint8)
    return serialise(known_class("sensor_msgs/msg/Image")(header_message(stamp_ns, ""), 12, 16, "rgb8", 0, 48, data))


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    """Both cameras send a picture of the boundary's very stamp, but the wrist's that went in was an older one."""
    with BagWriter(tmp_path / "run") as writer:
        for topic, grey, stamp_ns in (
            ("/wrist", 20, stamp(4) - WRIST_AGE_NS),
            ("/wrist", 30, stamp(4)),
            ("/front", 40, stamp(4)),
        ):
            writer.write(topic, "sensor_msgs/msg/Image", picture_message(topic, grey, stamp_ns), stamp_ns)
    return tmp_path / "run"


def test_each_stream_has_a_line() -> None:
    front, wrench, wrist = stream_table(RECORDING)
    assert (front.name, front.topics, front.share, front.messages) == ("front", "/front", "100.0 %", "15 images")
    assert (front.rate, front.missing, front.dropped) == ("16.7 Hz", "0", "2")  # over the 0.9 s of the labels
    assert (wrench.share, wrench.messages, wrench.missing) == ("50.0 %", "5 messages", "5")
    assert (wrist.name, wrist.topics, wrist.share, wrist.messages) == ("wrist", "/wrist", "100.0 %", "")


def test_labels_of_0_1_0_name_no_streams() -> None:
    older = replace(RECORDING, labels=tuple(one._replace(inputs=()) for one in RECORDING.labels))
    assert [row.share for row in stream_table(older)] == ["", ""]
    assert stream_table(replace(older, statuses=())) == []
    assert pictures_of(older, older.events[0]) == (Source("", "", stamp(4)),)


def test_a_boundary_shows_what_went_into_its_tick_the_clock_first(bag: Path) -> None:
    (event,) = RECORDING.events
    front, wrist = pictures_of(RECORDING, event)
    assert (front.stream, wrist.stream) == ("front", "wrist")
    pictures = read_all_pictures(bag, RECORDING, [event])
    assert {source.stream: int(pixels[0, 0, 0]) for source, pixels in pictures.items()} == {"front": 40, "wrist": 20}


def test_the_page_shows_both_cameras_and_the_streams(bag: Path) -> None:
    html = render(RECORDING, summarise(RECORDING), read_all_pictures(bag, RECORDING, list(RECORDING.events)))
    assert html.index("picture of front at 0.4 s") < html.index("picture of wrist at 0.4 s")
    assert html.count("data:image/jpeg") == 2
    for part in ("<td>wrench</td>", "no message on /wrench", "16.7 Hz"):
        assert part in html
    assert "no picture recorded" in render(RECORDING, summarise(RECORDING), {})
