"""Law: replaying a recording of a live run gives the bytes that the live node published."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from fakes import FakeBackend, make_card
from hal_ros.bags.frames import due_frames
from hal_ros.bags.reader import BagMessage, BagWriter, read_messages, topic_types
from hal_ros.bags.sensors import SensorTopics, find_topics
from hal_ros.core.segmenter import Segmenter
from hal_ros.offline.labelling import ANSWER_TOPICS, label
from hal_ros.offline.replay import (
    BOUNDARY_TOPIC,
    LABEL_TOPIC,
    compare,
    named_frames,
    named_ticks,
    replay,
)
from hal_ros.ros.recorder import Recorder
from hal_ros.runtime.bundle import Bundle
from ros_fakes import PERIOD_NS, START_NS, Rig, image_message, joint_message

pytestmark = pytest.mark.ros

STORY = ["red"] * 5 + ["blue"] * 6 + ["green"] * 5
TOPICS = ("camera/color/image_raw", "joint_states", "action_label", "action_boundary")


@pytest.fixture
def record(rig: Rig, tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """Record everything from now on; calling the fixture's value ends it and returns the folder."""
    values = {"output": str(tmp_path), "name": "run", "topics": list(TOPICS)}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    recorder = Recorder(context=rig.context, parameter_overrides=overrides)
    rig.executor.add_node(recorder)
    recorder.start()
    ended: list[bool] = []

    def end() -> Path:
        rig.until(lambda: recorder.recording.written["/action_label"] >= len(rig.labels))
        rig.until(lambda: recorder.recording.written["/action_boundary"] >= len(rig.boundaries))
        recorder.stop()
        ended.append(True)
        assert not recorder.lost.total()
        return tmp_path / "run"

    yield end
    if not ended:
        recorder.stop()
    rig.executor.remove_node(recorder)
    recorder.destroy_node()


def all_recorded(rig: Rig) -> bool:
    return all(len(rig.robot.get_subscriptions_info_by_topic("/" + topic)) >= 2 for topic in TOPICS)


def show(rig: Rig, tick: float, colour: str, wait: bool = True) -> None:
    """Joints at the image's stamp, arrived before it, as they do when a picture takes time to take."""
    stamp_ns = START_NS + round(tick * PERIOD_NS)
    node, count = rig.nodes[0], rig.nodes[0].counters["joint_samples"]
    rig.joints.publish(joint_message(stamp_ns, value=float(tick)))
    rig.until(lambda: node.counters["joint_samples"] > count)
    rig.show_message(image_message(colour, stamp_ns), wait)


def answers(folder: Path, plain: bool) -> tuple[list[BagMessage], list[BagMessage]]:
    """What was recorded, and what replay makes of it: of every due image, or of the recorded labels' ticks."""
    card = make_card()
    topics = find_topics(topic_types(folder), card)
    recorded = [m for m in read_messages(folder) if m.topic in (LABEL_TOPIC, BOUNDARY_TOPIC)]
    segmenter = Segmenter(card, FakeBackend(card))
    messages = read_messages(folder)
    if plain:
        return recorded, list(replay(due_frames(messages, card, topics, Counter()), segmenter))
    ticks, segments = named_ticks([m for m in recorded if m.topic == LABEL_TOPIC], card)
    return recorded, list(replay(named_frames(messages, ticks, card, topics, Counter()), segmenter, segments))


def equal(folder: Path, plain: bool) -> bool:
    recorded, replayed = answers(folder, plain)
    results = [compare(recorded, replayed, topic) for topic in (LABEL_TOPIC, BOUNDARY_TOPIC)]
    assert all(result.recorded for result in results)
    return all(result.holds for result in results)


def test_a_run_that_lost_nothing_is_repeated(rig: Rig, record: Callable[[], Path]) -> None:
    rig.active()
    rig.until(lambda: all_recorded(rig))
    for tick, colour in enumerate(STORY):
        show(rig, tick, colour)
    folder = record()
    assert equal(folder, plain=True)
    assert equal(folder, plain=False)


def test_a_recording_without_its_answers_gets_them_back(rig: Rig, record: Callable[[], Path], tmp_path: Path) -> None:
    rig.active()
    rig.until(lambda: all_recorded(rig))
    for tick, colour in enumerate(STORY):
        show(rig, tick, colour)
    folder, card = record(), make_card()
    bundle = Bundle(card, rig.folder, "0" * 64)
    for name, broken in (("as_it_was", False), ("control", True)):
        with BagWriter(tmp_path / name) as bag:
            for topic, type_name, receive_ns, data in read_messages(folder):
                if topic not in ANSWER_TOPICS:
                    bag.write(topic, type_name, data[:-1] + b"!" if broken else data, receive_ns)
        segmenter = Segmenter(card, FakeBackend(card))
        label(tmp_path / name, tmp_path / f"{name}-labelled", bundle, segmenter, SensorTopics(None, None))
        recorded, written = (list(read_messages(path)) for path in (folder, tmp_path / f"{name}-labelled"))
        results = [compare(recorded, written, topic) for topic in (LABEL_TOPIC, BOUNDARY_TOPIC)]
        assert all(result.recorded for result in results)
        assert all(result.holds for result in results) != broken


class SlowBackend(FakeBackend):
    """Takes its time in one step, until it is told to go on."""

    def __init__(self, card: Any) -> None:
        super().__init__(card)
        self.waits, self.go_on = threading.Event(), threading.Event()

    def step(self, inputs: Any, state: Any) -> Any:
        if len(self.inputs) == 4:
            self.waits.set()
            assert self.go_on.wait(20)
        return super().step(inputs, state)


def test_a_run_that_dropped_images_is_repeated_by_its_labels_alone(rig: Rig, record: Callable[[], Path]) -> None:
    backend = SlowBackend(make_card())
    node = rig.active(backend=backend)
    rig.until(lambda: all_recorded(rig))
    for tick, colour in enumerate(STORY[:4]):
        show(rig, tick, colour)
    show(rig, 4, STORY[4], wait=False)
    rig.until(backend.waits.is_set)  # the worker has taken this image, so that the next ones meet in the mailbox
    for tick, colour in enumerate(STORY[5:8], 5):
        show(rig, tick, colour, wait=False)
        rig.until(partial(lambda shown: node.counters["images"] == shown, tick + 1))
    backend.go_on.set()
    rig.until(lambda: len(rig.labels) == 6)
    for tick, colour in enumerate(STORY[8:], 8):
        show(rig, tick, colour)
    assert node.counters["overwritten"] == 2
    folder = record()
    assert equal(folder, plain=False)
    assert not equal(folder, plain=True)


def test_a_run_that_was_reset_is_repeated_by_its_labels_alone(rig: Rig, record: Callable[[], Path]) -> None:
    rig.active()
    rig.until(lambda: all_recorded(rig))
    for tick, colour in enumerate(STORY[:8]):
        show(rig, tick, colour)
    client = rig.robot.create_client(Trigger, "segmenter/reset")
    rig.until(client.service_is_ready)
    future = client.call_async(Trigger.Request())
    rig.until(future.done)
    for tick, colour in enumerate(STORY[8:], 8):
        show(rig, tick + 0.1, colour)
    folder = record()
    assert equal(folder, plain=False)
    assert not equal(folder, plain=True)
