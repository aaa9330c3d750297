"""The node as others see it: what it publishes for what it hears."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from hal_msgs.msg import ActionLabel, BoundaryEvent
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage
from std_srvs.srv import Trigger

from fakes import COLOURS, FakeBackend, make_card, make_streams, picture
from hal_ros.bags.answer_messages import label_message
from hal_ros.bags.messages import serialise, to_ns
from hal_ros.core.observations import Observation
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.step import StepInput, StepOutput
from hal_ros.core.streams.intake import Intake
from hal_ros.core.streams.merge import StateSample
from hal_ros.core.streams.pictures import TimedPicture
from hal_ros.core.streams.readers import JointReader, Reading
from ros_fakes import DEADLINE_S, PERIOD_NS, START_NS, Rig, image_message, joint_message, runs, to_stamp, values

pytestmark = pytest.mark.ros
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
STORY = ["red"] * 4 + ["blue"] * 5 + ["green"] * 4


def show_all(rig: Rig, story: list[str], first_tick: int = 0) -> None:
    for tick, colour in enumerate(story, first_tick):
        rig.show(colour, tick)


def reset(rig: Rig) -> Any:
    client = rig.robot.create_client(Trigger, "segmenter/reset")
    rig.until(client.service_is_ready)
    future = client.call_async(Trigger.Request())
    rig.until(future.done)
    rig.robot.destroy_client(client)
    return future.result()


def events(boundaries: list[BoundaryEvent]) -> list[tuple[str, int, int]]:
    return [(b.to_label, to_ns(b.header.stamp), b.segment_id) for b in boundaries if b.to_label]


class SlowBackend(FakeBackend):
    """Waits in every step until it is let through."""

    def __init__(self, card: Any) -> None:
        super().__init__(card)
        self.arrived = threading.Semaphore(0)
        self.open = threading.Semaphore(0)

    def step(self, inputs: StepInput, state: Any) -> tuple[StepOutput, Any]:
        self.arrived.release()
        assert self.open.acquire(timeout=DEADLINE_S)
        return super().step(inputs, state)


class BrokenBackend(FakeBackend):
    """Fails from the third tick on."""

    def step(self, inputs: StepInput, state: Any) -> tuple[StepOutput, Any]:
        if len(self.inputs) == 2:
            raise RuntimeError("the engine fell apart")
        return super().step(inputs, state)


# --- answers ----------------------------------------------------------------------------------------------------------


def test_joints_that_arrived_before_an_image_go_in_before_it(rig: Rig) -> None:
    node = rig.active()
    ages_ms = (90, 70, 50, 30, 10)
    for age_ms in ages_ms:  # all wait in the node's queue when the executor turns to the image
        rig.joints.publish(joint_message(START_NS - age_ms * 1_000_000))
    rig.show("red", 0)
    assert to_ns(rig.labels[0].joints_stamp) == START_NS - 10_000_000
    rig.count(node, "joints/received", len(ages_ms))
    assert node.counters["joints/late"] == 0


def test_one_label_for_each_due_image_with_its_stamp_and_frame(rig: Rig) -> None:
    rig.active()
    show_all(rig, STORY)
    assert [to_ns(label.header.stamp) for label in rig.labels] == [START_NS + t * PERIOD_NS for t in range(len(STORY))]
    assert [label.tick for label in rig.labels] == list(range(len(STORY)))
    assert [label.label for label in rig.labels] == STORY
    assert {label.header.frame_id for label in rig.labels} == {"camera"}
    assert all(label.as_of == label.header.stamp and to_ns(label.origin) == START_NS for label in rig.labels)


def test_a_label_says_all_that_its_message_promises(rig: Rig) -> None:
    rig.active()
    show_all(rig, STORY)
    for label in rig.labels:
        assert label.label == COLOURS[label.label_id]
        assert np.isclose(sum(label.probabilities), 1) and np.isclose(max(label.probabilities), label.confidence)
        assert label.confirmed_valid == (label.tick >= 2)  # the lag of the card
        if label.confirmed_valid:
            assert to_ns(label.confirmed_stamp) == to_ns(label.header.stamp) - 2 * PERIOD_NS
            assert label.confirmed_label == STORY[label.tick - 2] == COLOURS[label.confirmed_label_id]
        else:
            assert (label.confirmed_label, label.segment_id) == ("", 0)
            assert label.confirmed_label_id == label.NO_ACTION


def test_events_are_the_changes_of_the_confirmed_labels(rig: Rig) -> None:
    rig.active()
    show_all(rig, STORY)
    assert events(rig.boundaries) == runs(rig.labels) != []
    first, second, *_ = rig.boundaries
    assert (first.from_label, first.from_label_id) == ("", first.NO_ACTION)
    assert second.from_label == "red" and to_ns(second.detected_at) == to_ns(second.header.stamp) + 2 * PERIOD_NS
    assert second.duration.nanosec == 4 * PERIOD_NS


def test_the_newest_causal_joint_sample_goes_in(rig: Rig) -> None:
    node = rig.active()
    rig.joints.publish(joint_message(START_NS - 1, value=1.0))
    rig.joints.publish(joint_message(START_NS + 1, value=2.0))
    rig.count(node, "joints/received", 2)
    rig.show("red", 0)
    assert isinstance(rig.backend, FakeBackend)
    (inputs,) = rig.backend.inputs
    assert inputs.joints.tolist() == [1, 1, 0, 0, 0, 0] and inputs.joints_valid.tolist() == [1, 1, 0, 0, 0, 0]
    assert to_ns(rig.labels[0].joints_stamp) == START_NS - 1


def test_missed_ticks_are_held_and_counted(rig: Rig) -> None:
    node = rig.active()
    show_all(rig, ["red"] * 4)
    rig.show("red", 6)
    assert (rig.labels[-1].tick, rig.labels[-1].held_ticks) == (6, 2)
    assert node.counters["held_ticks"] == 2 and node.counters["labels"] == 5
    assert isinstance(rig.backend, FakeBackend) and len(rig.backend.inputs) == 7


def test_compressed_images_are_labelled_like_raw_ones(rig: Rig) -> None:
    import cv2

    node = rig.segmenter(image_transport="compressed")
    node.trigger_configure()
    node.trigger_activate()
    camera = rig.robot.create_publisher(CompressedImage, "camera/color/image_raw/compressed", 10)
    rig.until(lambda: camera.get_subscription_count() and rig.robot.count_publishers("action_label"))
    data = cv2.imencode(".png", cv2.cvtColor(picture("blue"), cv2.COLOR_RGB2BGR))[1].tobytes()
    message = CompressedImage(format="png", data=data)
    message.header.stamp = to_stamp(START_NS)
    camera.publish(message)
    rig.until(lambda: rig.labels)
    assert rig.labels[0].label == "blue"


def test_published_bytes_are_those_of_the_core_and_of_replay(rig: Rig) -> None:
    """What `hal replay` computes from the same messages, it writes as the same bytes."""
    node = rig.active()
    heard: list[bytes] = []
    rig.robot.create_subscription(ActionLabel, "action_label", heard.append, 50, raw=True)
    rig.until(lambda: rig.robot.count_subscribers("action_label") == 2)
    card, expected = make_card(), []
    intake, segmenter = Intake(card.streams), Segmenter(card, FakeBackend(card))
    reader = JointReader(card.streams.states["joints"])
    state = segmenter.start()
    for tick, colour in enumerate(STORY):
        joints = joint_message(START_NS + tick * PERIOD_NS, value=float(tick))
        rig.joints.publish(joints)
        rig.count(node, "joints/received", tick + 1)
        rig.show(colour, tick)
        reading, stamp_ns = reader.read(joints), START_NS + tick * PERIOD_NS
        assert isinstance(reading, Reading)
        intake.state("joints", StateSample(stamp_ns, "/joint_states", reading.values, reading.present))
        due = intake.picture("camera", TimedPicture(stamp_ns, "/camera/color/image_raw", None))
        assert due is not None
        pictures = {"camera": picture(colour)}
        observation = Observation(due.stamp_ns, due.tick, due.origin_ns, pictures, due.values, due.valid)
        estimate, _, state = segmenter.step(observation, state)
        expected.append(serialise(label_message(estimate, due, card, "camera", node.lifelong.life)))
    rig.until(lambda: len(heard) == len(STORY))
    assert heard == expected
    assert len(set(expected)) == len(STORY)


def test_the_real_synchroniser_may_drive_the_node(rig: Rig) -> None:
    module = pytest.importorskip("message_filters", reason="ROS 2's message_filters is not installed")
    if not hasattr(module, "rclpy"):
        pytest.skip("message_filters is the port of ROS 1")
    node = rig.active(synchroniser="message_filters")
    for tick in range(5):
        rig.joints.publish(joint_message(START_NS + tick * PERIOD_NS - 1))
        rig.count(node, "joints/received", tick + 1)
        rig.show("red", tick)
    rig.show("red", 5, wait=False)
    rig.count(node, "unpaired", 1)
    assert [label.tick for label in rig.labels] == [0, 1, 2, 3, 4]


# --- reset and time jumps ---------------------------------------------------------------------------------------------


def test_reset_closes_the_open_segment_and_reuses_no_id(rig: Rig) -> None:
    rig.active()
    show_all(rig, STORY)
    open_id = rig.labels[-1].segment_id
    answer = reset(rig)
    assert answer.success, answer.message
    rig.until(lambda: rig.boundaries[-1].to_label == "")
    assert (rig.boundaries[-1].to_label_id, rig.boundaries[-1].segment_id) == (65535, 0)
    show_all(rig, STORY, first_tick=len(STORY))
    after = [label for label in rig.labels if to_ns(label.origin) != START_NS]
    assert len(after) == len(STORY) and after[0].tick == 0 and not after[0].confirmed_valid
    assert min(label.segment_id for label in after if label.confirmed_valid) == open_id + 1
    assert events(rig.boundaries) == runs(rig.labels)


def test_reset_needs_an_active_node(rig: Rig) -> None:
    rig.segmenter()
    answer = reset(rig)
    assert not answer.success and answer.message == "unconfigured: nothing to reset"


def test_segment_ids_rise_through_deactivation_and_cleanup(rig: Rig) -> None:
    node = rig.active()
    show_all(rig, STORY)
    node.trigger_deactivate()
    rig.until(lambda: rig.boundaries[-1].to_label == "")
    node.trigger_cleanup()
    node.trigger_configure()
    node.trigger_activate()
    rig.until(rig.matched)
    show_all(rig, STORY, first_tick=100)
    ids = [event[2] for event in events(rig.boundaries)]
    assert ids == list(range(1, len(ids) + 1)) and len(ids) == 6


def test_a_bag_that_is_looped_starts_afresh(rig: Rig) -> None:
    rig.active()
    show_all(rig, STORY)
    rig.show_after_gap(STORY[0], 0)  # the very same stamps
    show_all(rig, STORY[1:], first_tick=1)
    labels = [(label.tick, label.label, label.confirmed_label) for label in rig.labels]
    assert labels[: len(STORY)] == labels[len(STORY) :]
    assert events(rig.boundaries) == runs(rig.labels)


# --- overload and failure ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("max_held_ticks", "held", "overruns"), [(20, 7, 0), (3, 0, 1)])
def test_overload_drops_the_old_and_counts_them(rig: Rig, max_held_ticks: int, held: int, overruns: int) -> None:
    backend = SlowBackend(make_card(streams=make_streams(max_held_ticks=max_held_ticks)))
    node = rig.active(card=backend.card, backend=backend)
    rig.show("red", 0, wait=False)
    rig.until(lambda: backend.arrived.acquire(blocking=False))
    for tick in range(1, 9):
        rig.show("blue", tick, wait=False)
        rig.count(node, "due", tick + 1)
    backend.open.release(100)
    rig.until(lambda: len(rig.labels) == 2)
    assert node.counters["overwritten"] == 7
    assert node.counters["overruns"] == overruns  # more than can be held: the model begins afresh
    assert (rig.labels[-1].tick, rig.labels[-1].held_ticks) == (8, held)
    rig.show("green", 9)
    assert rig.labels[-1].label == "green" and rig.labels[-1].held_ticks == 0


def test_parameters_are_answered_while_the_model_is_busy(rig: Rig) -> None:
    backend = SlowBackend(make_card())
    rig.active(backend=backend)
    rig.show("red", 0, wait=False)
    rig.until(lambda: backend.arrived.acquire(blocking=False))
    rig.status("model", OK)  # comes out of the executor that must not be blocked
    backend.open.release(100)
    rig.until(lambda: rig.labels)


def test_a_failing_model_deactivates_the_node_and_says_why(rig: Rig) -> None:
    node = rig.active(backend=BrokenBackend(make_card()))
    show_all(rig, ["red"] * 2)
    rig.show("red", 2, wait=False)
    status = rig.status("model", ERROR, "the engine fell apart")
    assert node.state == "inactive" and values(status)["state"] == "inactive"
    assert not rig.images.get_subscription_count()
    node.trigger_activate()
    assert node.state == "active"
    rig.status("model", OK)


# --- the rest of the interface ----------------------------------------------------------------------------------------


def test_the_vocabulary_reaches_late_listeners(rig: Rig) -> None:
    node = rig.segmenter()
    node.trigger_configure()
    vocabulary = rig.late_vocabulary()
    assert tuple(vocabulary.labels) == COLOURS and vocabulary.bundle == "colours"
    assert (vocabulary.rate_hz, vocabulary.lag_ticks, vocabulary.max_held_ticks) == (10.0, 2, 3)
    assert len(vocabulary.bundle_hash) == 64


def test_diagnostics_tell_rates_drops_latencies_and_the_backend(rig: Rig) -> None:
    rig.active()
    show_all(rig, STORY)
    rig.joints.publish(joint_message(START_NS))
    model = values(rig.status("model", OK))
    assert (model["backend"], model["backend_reason"]) == ("fake", "by the test")
    assert model["labels"] == str(len(STORY)) and len(model["bundle_sha256"]) == 64
    for stage in ("wait", "convert", "encode", "step", "publish", "total", "latency"):
        p50, p95, p99 = (float(model[f"{stage}_{p}_ms"]) for p in ("p50", "p95", "p99"))
        assert p50 <= p95 <= p99
    camera = values(rig.status("camera", OK))
    assert camera["images"] == str(len(STORY)) and camera["dropped_overwritten"] == "0"


def test_the_node_runs_on_simulated_time_that_stands_still(rig: Rig) -> None:
    node = rig.active(use_sim_time=True, image_timeout_s=0.1)
    clock = rig.robot.create_publisher(Clock, "/clock", 10)
    rig.until(clock.get_subscription_count)
    clock.publish(Clock(clock=to_stamp(START_NS + 30_000_000)))
    rig.until(lambda: node.get_clock().now().nanoseconds == START_NS + 30_000_000)
    rig.show("red", 0)
    status = rig.status("model", OK)
    assert float(values(status)["latency_p50_ms"]) == pytest.approx(30.0)
    rig.status("camera", WARN, "no image on")  # the watch does not run on that clock


def test_names_are_relative_to_the_namespace(rig: Rig) -> None:
    rig.segmenter(model="").destroy_node()
    node = type(rig.nodes.pop())(
        context=rig.context, namespace="left", parameter_overrides=[Parameter("model", value=str(rig.folder))]
    )
    rig.nodes.append(node)
    rig.executor.add_node(node)
    node._open_backend = lambda bundle, *_: (FakeBackend(bundle.card), "by the test")
    node.trigger_configure()
    names = {topic for topic, _ in node.get_topic_names_and_types()}
    rig.until(lambda: {topic for topic, _ in node.get_topic_names_and_types()} >= {"/left/action_label"})
    names = {topic for topic, _ in node.get_topic_names_and_types()}
    assert {"/left/action_label", "/left/action_boundary", "/left/segmenter/vocabulary", "/diagnostics"} <= names


def test_an_image_message_of_another_size_is_resized(rig: Rig) -> None:
    rig.active()
    rig.show("red", 0)
    rig.show_message(image_message("blue", START_NS + PERIOD_NS, size_px=48))
    assert [label.label for label in rig.labels] == ["red", "blue"]
    status = rig.status("camera", OK)
    assert values(status)["image_size_px"] == "48x48"
