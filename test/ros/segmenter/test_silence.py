"""When the clock falls silent the open segment is closed, once, on the node's ROS clock; the next image starts anew."""

from __future__ import annotations

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from hal_msgs.msg import BoundaryEvent
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock

from fakes import make_streams
from hal_ros.bags.messages import to_ns
from hal_ros.ros.segmenter.silence import SilenceWatch, silence_s
from ros_fakes import PERIOD_NS, START_NS, Rig, to_stamp, values

S = 1_000_000_000
ros = pytest.mark.ros


def test_silence_outlasts_the_ticks_that_are_held() -> None:
    spec = make_streams(rate_hz=2.0, max_held_ticks=5)
    assert silence_s(spec, 2.0, 9.0) == 3.0  # six periods
    assert silence_s(spec, 4.0, 9.0) == 4.0
    assert silence_s(make_streams(camera=None, rate_hz=10.0), 9.0, 2.0) == 2.0


def test_silence_is_told_once_until_a_tick_is_answered() -> None:
    watch = SilenceWatch(2.0)
    found = [
        (watch.look(answered, now_ns), watch.stale)
        for answered, now_ns in (
            (0, 0),  # the clock of a simulation that is not there yet
            (0, 100 * S),
            (5, 101 * S),
            (5, 103 * S),
            (5, 103 * S + 1),
            (5, 200 * S),
            (6, 201 * S),
            (6, 204 * S),
        )
    ]
    assert found == [(False, False)] * 4 + [(True, True), (False, True), (False, False), (True, True)]


def test_a_clock_that_is_paused_or_turned_back_makes_no_silence() -> None:
    watch = SilenceWatch(2.0)
    assert not any(watch.look(5, 100 * S) for _ in range(100))
    assert not watch.look(5, 10 * S) and not watch.look(5, 12 * S)
    assert watch.look(5, 12 * S + 1)


@ros
def test_the_open_segment_is_closed_once_and_the_next_image_starts_a_fresh_grid(rig: Rig) -> None:
    node = rig.active(image_timeout_s=0.5)
    for tick in range(4):
        rig.show("red", tick)
    rig.until(lambda: rig.boundaries and rig.boundaries[-1].to_label == "")
    closing = rig.boundaries[-1]
    end_ns = to_ns(rig.labels[-1].confirmed_stamp) + PERIOD_NS
    assert to_ns(closing.header.stamp) == to_ns(closing.detected_at) == end_ns
    assert closing.header.frame_id == "camera" and closing.segment_id == 0
    status = rig.status("model", DiagnosticStatus.WARN, "stale: no tick for")
    assert values(status)["stale"] == "true" and values(status)["silences"] == "1"
    rig.show("blue", 4)  # at once, though its stamp would go on the old grid
    assert (rig.labels[-1].tick, to_ns(rig.labels[-1].origin)) == (0, START_NS + 4 * PERIOD_NS)
    assert not rig.labels[-1].confirmed_valid
    assert node.counters["silences"] >= 1 and node.counters["restarts"] == 2
    assert [event.to_label for event in rig.boundaries].count("") == 1  # nothing was open since


@ros
def test_on_simulated_time_silence_is_of_that_time(rig: Rig) -> None:
    clock = rig.robot.create_publisher(Clock, "/clock", 10)
    node = rig.segmenter(image_timeout_s=0.5)
    node.set_parameters([Parameter("use_sim_time", value=True)])
    node.trigger_configure()
    node.trigger_activate()
    rig.until(rig.matched)

    def set_clock(seconds: float) -> None:
        clock.publish(Clock(clock=to_stamp(round(seconds * S))))
        rig.until(lambda: node.get_clock().now().nanoseconds == round(seconds * S))

    set_clock(5.0)
    for tick in range(4):
        rig.show("red", tick)
    for _ in range(40):  # real time passes, and a second of it is more than the timeout
        rig.executor.spin_once(timeout_sec=0.025)
    assert node.counters["silences"] == 0
    moments = iter(range(1, 200))

    def later() -> int:
        set_clock(5.0 + 0.05 * next(moments))
        return node.counters["silences"]

    rig.until(later)
    rig.until(lambda: rig.boundaries and rig.boundaries[-1].to_label == "")


@ros
def test_who_comes_late_hears_the_newest_event(rig: Rig) -> None:
    rig.active()
    for tick in range(4):
        rig.show("red", tick)
    heard: list[BoundaryEvent] = []
    latched = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
    rig.robot.create_subscription(BoundaryEvent, "action_boundary", heard.append, latched)
    rig.until(lambda: heard)
    assert [event.to_label for event in heard] == ["red"]
