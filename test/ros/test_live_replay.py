"""Law: replaying a recording of a live run gives the bytes that the live node published."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hal_msgs.srv import SetPlan
from rclpy.parameter import Parameter
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from fakes import FakeBackend, make_card
from hal_ros.bags.definitions import BagTypes
from hal_ros.bags.frames import due_frames
from hal_ros.bags.inputs import AS_IN_THE_CARD, find_inputs
from hal_ros.bags.messages import to_ns
from hal_ros.bags.reader import BagMessage, BagWriter, read_messages
from hal_ros.core.card import ModelCard
from hal_ros.core.segmenter import Segmenter
from hal_ros.offline.followed_plans import FOLLOWED_TOPIC, FollowedPlans, recorded_plans
from hal_ros.offline.labelling import ANSWER_TOPICS, label
from hal_ros.offline.named_ticks import named_frames, named_ticks
from hal_ros.offline.replay import BOUNDARY_TOPIC, LABEL_TOPIC, PLAN_TOPIC, compare, replay
from hal_ros.ros.recorder import Recorder
from hal_ros.runtime.bundle import Bundle
from ros_fakes import PERIOD_NS, START_NS, Rig, image_message, joint_message, robot_card, wrench_message

pytestmark = pytest.mark.ros

STORY = ["red"] * 5 + ["blue"] * 6 + ["green"] * 5


class Recording:
    """A recorder that takes all that the model needs, in the rig's process."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        self._rig, self.folder, self._ended = rig, folder / "run", False
        values = {"output": str(folder), "name": "run", "model": str(rig.folder)}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self._recorder = Recorder(context=rig.context, parameter_overrides=overrides)
        rig.executor.add_node(self._recorder)
        self._recorder.start()
        rig.until(self.hears_all)

    def hears_all(self) -> bool:
        topics = [publisher.topic_name for publisher in self._rig.awaited]
        heard = self._rig.robot.get_subscriptions_info_by_topic
        names = {"recorder", "segmenter"}
        answered = all(len(heard(topic)) >= 2 for topic in ("/action_label", "/action_boundary"))
        return answered and all(names <= {info.node_name for info in heard(topic)} for topic in topics)

    def until_written(self, topic: str, count: int) -> None:
        self._rig.until(lambda: self._recorder.recording.written[topic] >= count)

    def end(self) -> Path:
        """Write what has come; returns the folder."""
        rig, written = self._rig, self._recorder.recording.written
        rig.until(lambda: written["/action_label"] >= len(rig.labels))
        rig.until(lambda: written["/action_boundary"] >= len(rig.boundaries))
        self.close()
        assert not self._recorder.lost.total()
        return self.folder

    def close(self) -> None:
        """Stop; a second time does nothing."""
        if not self._ended:
            self._ended = True
            self._recorder.stop()
            self._rig.executor.remove_node(self._recorder)
            self._recorder.destroy_node()


@pytest.fixture
def record(rig: Rig, tmp_path: Path) -> Iterator[Callable[[], Recording]]:
    """Call the fixture's value once the node is active, to record everything from then on."""
    begun: list[Recording] = []

    def begin() -> Recording:
        begun.append(Recording(rig, tmp_path))
        return begun[-1]

    yield begin
    for recording in begun:
        recording.close()


def show(rig: Rig, tick: float, colour: str, wait: bool = True) -> None:
    """Joints at the image's stamp, arrived before it, as they do when a picture takes time to take."""
    stamp_ns = START_NS + round(tick * PERIOD_NS)
    rig.send("joints", rig.joints, joint_message(stamp_ns, value=float(tick)))
    rig.show_message(image_message(colour, stamp_ns), wait)


def answers(folder: Path, plain: bool, card: ModelCard) -> tuple[list[BagMessage], list[BagMessage], BagTypes]:
    """What was recorded, and what replay makes of it: of every due tick, or of the recorded labels' ticks."""
    inputs = find_inputs(folder, card.streams, card.name)
    assert not inputs.problems
    recorded = [m for m in read_messages(folder) if m.topic in (LABEL_TOPIC, BOUNDARY_TOPIC)]
    segmenter = Segmenter(card, FakeBackend(card))
    messages = read_messages(folder)
    if plain:
        return recorded, list(replay(due_frames(messages, inputs, Counter()), segmenter)), inputs.types
    ticks, segments = named_ticks([m for m in recorded if m.topic == LABEL_TOPIC], card, inputs.types)
    frames = named_frames(messages, ticks, inputs, Counter())
    return recorded, list(replay(frames, segmenter, segments)), inputs.types


def equal(folder: Path, plain: bool, card: ModelCard | None = None) -> bool:
    recorded, replayed, types = answers(folder, plain, card or make_card())
    results = [compare(recorded, replayed, topic, types) for topic in (LABEL_TOPIC, BOUNDARY_TOPIC)]
    assert all(result.recorded for result in results)
    return all(result.holds for result in results)


def test_a_run_that_lost_nothing_is_repeated(rig: Rig, record: Callable[[], Recording]) -> None:
    rig.active()
    recording = record()
    for tick, colour in enumerate(STORY):
        show(rig, tick, colour)
    folder = recording.end()
    assert equal(folder, plain=True)
    assert equal(folder, plain=False)


def test_a_recording_without_its_answers_gets_them_back(
    rig: Rig, record: Callable[[], Recording], tmp_path: Path
) -> None:
    rig.active()
    recording = record()
    for tick, colour in enumerate(STORY):
        show(rig, tick, colour)
    folder, card = recording.end(), make_card()
    bundle = Bundle(card, rig.folder, "0" * 64)
    for name, broken in (("as_it_was", False), ("control", True)):
        with BagWriter(tmp_path / name) as bag:
            for topic, type_name, receive_ns, data, publish_ns in read_messages(folder):
                if topic not in ANSWER_TOPICS:
                    bag.write(topic, type_name, data[:-1] + b"!" if broken else data, receive_ns, publish_ns)
        segmenter = Segmenter(card, FakeBackend(card))
        label(tmp_path / name, tmp_path / f"{name}-labelled", bundle, segmenter, AS_IN_THE_CARD)
        recorded, written = (list(read_messages(path)) for path in (folder, tmp_path / f"{name}-labelled"))
        results = [compare(recorded, written, topic, BagTypes()) for topic in (LABEL_TOPIC, BOUNDARY_TOPIC)]
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


def test_a_run_that_dropped_images_is_repeated_by_its_labels_alone(rig: Rig, record: Callable[[], Recording]) -> None:
    backend = SlowBackend(make_card())
    node = rig.active(backend=backend)
    recording = record()
    for tick, colour in enumerate(STORY[:4]):
        show(rig, tick, colour)
    show(rig, 4, STORY[4], wait=False)
    rig.until(backend.waits.is_set)  # the worker has taken this image, so that the next ones meet in the mailbox
    for tick, colour in enumerate(STORY[5:8], 5):
        show(rig, tick, colour, wait=False)
        rig.until(partial(lambda shown: node.counters["camera/received"] == shown, tick + 1))
    backend.go_on.set()
    rig.until(lambda: len(rig.labels) == 6)
    for tick, colour in enumerate(STORY[8:], 8):
        show(rig, tick, colour)
    assert node.counters["overwritten"] == 2
    folder = recording.end()
    assert equal(folder, plain=False)
    assert not equal(folder, plain=True)


def test_a_run_that_was_reset_is_repeated_by_its_labels_alone(rig: Rig, record: Callable[[], Recording]) -> None:
    rig.active()
    recording = record()
    for tick, colour in enumerate(STORY[:8]):
        show(rig, tick, colour)
    client = rig.robot.create_client(Trigger, "segmenter/reset")
    rig.until(client.service_is_ready)
    future = client.call_async(Trigger.Request())
    rig.until(future.done)
    for tick, colour in enumerate(STORY[8:], 8):
        show(rig, tick + 0.1, colour)
    folder = recording.end()
    assert equal(folder, plain=False)
    assert not equal(folder, plain=True)


def test_plans_that_were_set_meanwhile_are_followed_again(rig: Rig, record: Callable[[], Recording]) -> None:
    """Across a reset and an activation, and after a plan was cleared; a replay without them says something else."""
    node = rig.active(plan="red, green")
    recording = record()
    recording.until_written(FOLLOWED_TOPIC, 1)  # latched, one deep: the next one would take its place
    client = rig.robot.create_client(SetPlan, "segmenter/set_plan")
    rig.until(client.service_is_ready)
    for tick, colour in enumerate(STORY * 2):
        if (plan := {3: ["red", "blue", "green"], 18: [], 22: ["blue", "green"]}.get(tick)) is not None:
            done = client.call_async(SetPlan.Request(labels=plan))
            rig.until(done.done)
            assert done.result().success
        if tick == 9:
            assert node._session is not None
            assert node._session.reset()
        if tick == 26:
            node.trigger_deactivate()
            rig.until(lambda: rig.images.get_subscription_count() == 1)  # the recorder
            node.trigger_activate()
            rig.until(recording.hears_all)
        show(rig, tick + 0.1 * (tick >= 9), colour)
    card = make_card()
    placed = len(STORY) * 2 - 3 * card.lag_ticks - 4  # not while nothing is confirmed, or no plan is followed
    recording.until_written(PLAN_TOPIC, placed)
    folder = recording.end()
    inputs = find_inputs(folder, card.streams, card.name)
    recorded = list(read_messages(folder))
    ticks, segments = named_ticks([m for m in recorded if m.topic == LABEL_TOPIC], card, inputs.types)
    changes = recorded_plans(folder, [FOLLOWED_TOPIC], card)
    assert len(changes) == 4

    def holds(plans: FollowedPlans) -> bool:
        frames = named_frames(read_messages(folder), ticks, inputs, Counter())
        replayed = list(replay(frames, Segmenter(card, FakeBackend(card)), segments, plans))
        progress = compare(recorded, replayed, PLAN_TOPIC, inputs.types)
        assert progress.recorded == placed
        return progress.holds and progress.replayed == progress.recorded

    assert holds(FollowedPlans(changes=changes))
    assert not holds(FollowedPlans(changes[0].tracker))


# --- any robot --------------------------------------------------------------------------------------------------------


class AnyRobot:
    """Two cameras, drivers that take turns on one topic and on their own, a wrench, and a topic without header."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.wrist, self.gripper, self.wrench = rig.robot_streams()
        self.load = rig.load()
        self.card = robot_card("front", "wrist", "arm", "gripper", "wrench", "load")
        self.start_ns = time.time_ns() + PERIOD_NS  # of the wall's clock, by which the middleware stamps

    def stamp(self, tick: float) -> int:
        return self.start_ns + round(tick * PERIOD_NS)

    def show(self, tick: int, colour: str) -> None:
        """All that comes around one tick; not every stream says something each time."""
        rig = self.rig
        rig.until(lambda: time.time_ns() >= self.stamp(tick))
        if tick % 3:
            rig.send("wrist", self.wrist, image_message(STORY[-tick % 16], self.stamp(tick - 0.3)))
        for number, name in enumerate("aba"[: 2 + tick % 2]):  # the first of them names "b" as well, now and then
            names = ("a", "b") if tick % 5 == 0 and number == 0 else (name,)
            rig.send("arm", rig.joints, joint_message(self.stamp(tick - 0.2 + number / 100), names, tick + number / 10))
        if tick % 4 == 0:
            rig.send("gripper", self.gripper, joint_message(self.stamp(tick - 0.1), ("finger",), tick / 7))
        rig.send("wrench", self.wrench, wrench_message(self.stamp(tick), tick / 3))
        if tick % 2 == 0:
            rig.send("load", self.load, Float64MultiArray(data=[0.0, tick / 11]))
        rig.show_message(image_message(colour, self.stamp(tick)))


def test_a_run_of_any_robot_is_repeated_byte_for_byte(rig: Rig, record: Callable[[], Recording]) -> None:
    robot = AnyRobot(rig)
    rig.active(card=robot.card)
    recording = record()
    for tick, colour in enumerate(STORY):
        robot.show(tick, colour)
    folder = recording.end()
    named = Counter(one.stream for label in rig.labels for one in label.inputs)
    assert set(named) == set(robot.card.streams.names)
    assert named["arm"] > len(STORY) + 5  # two drivers went in at once
    assert equal(folder, plain=True, card=robot.card)
    assert equal(folder, plain=False, card=robot.card)


def test_the_recorder_writes_when_a_message_was_sent(rig: Rig, record: Callable[[], Recording]) -> None:
    """The negative control of the law: other times of sending make other labels, and replay sees it."""
    robot = AnyRobot(rig)
    rig.active(card=robot.card)
    recording = record()
    for tick, colour in enumerate(STORY):
        robot.show(tick, colour)
    folder = recording.end()
    sent = [m.publish_ns for m in read_messages(folder, ["/load"])]
    said = {to_ns(one.stamp) for label in rig.labels for one in label.inputs if one.stream == "load"}
    assert len(said) > 4 and said <= set(sent)  # one that the next overtook before a tick is in none
    other = folder.with_name("other")
    with BagWriter(other) as bag:
        for topic, type_name, receive_ns, data, publish_ns in read_messages(folder):
            moved_ns = receive_ns if publish_ns is None else publish_ns + 1000 * (topic == "/load")
            bag.write(topic, type_name, data, receive_ns, moved_ns)
    assert not equal(other, plain=True, card=robot.card)
