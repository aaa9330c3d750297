"""What the live view shows is a function of what was heard: rows, rates, latencies, at every terminal size."""

from __future__ import annotations

import io
import time
import xml.etree.ElementTree
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from hal_ros.ros.view.render import colour, plain_line, render, timeline_row
from hal_ros.ros.view.state import (
    BOUNDARIES_KEPT,
    LATENCY_SAMPLES,
    WINDOW_S,
    LabelSeen,
    Mark,
    Rate,
    TimelineRow,
    ViewState,
    ViewTracker,
    cells,
)

S = 1_000_000_000
NOW = 1_000 * S
ACTIONS = ("reach_cup", "pour", "press_button", "place_on_plate")
SIZES = [(80, 24), (120, 40), (60, 20), (40, 12), (200, 60)]


def drawn(state: ViewState, width: int, height: int) -> list[str]:
    console = Console(
        width=width, height=height, file=io.StringIO(), record=True, color_system=None, legacy_windows=False
    )
    console.print(render(state, width, height), end="")
    return console.export_text().splitlines()


def tracked(ticks: int = 100, lag: int = 4) -> ViewTracker:
    """Hear `ticks` labels at 10 Hz whose confirmed answer lies `lag` ticks back, each 12 ms late, and the truth."""
    tracker = ViewTracker("tabletop", 60.0)
    tracker.vocabulary = ACTIONS
    for tick in range(ticks):
        stamp_ns = NOW + tick * S // 10
        action, before = (ACTIONS[max(index, 0) // 20 % 4] for index in (tick, tick - lag))
        confirmed = stamp_ns - lag * S // 10 if tick >= lag else None
        tracker.on_image(stamp_ns)
        tracker.on_truth(stamp_ns, action)
        tracker.on_label(LabelSeen(stamp_ns, action, 0.9, confirmed, before, 0.8), stamp_ns + 12_000_000)
    return tracker


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("heard", [0, 1, 100])
def test_every_line_fits_the_terminal(width: int, height: int, heard: int) -> None:
    tracker = tracked(heard)
    tracker.notice = "no image on /camera/color/image_raw since activation; " * 5
    tracker.dropped = {"overwritten": 3, "unreadable": 123456}
    tracker.on_boundary(NOW, "", "a_very_long_action_name_that_fits_nowhere", NOW)
    lines = drawn(tracker.state(3.0, NOW), width, height)
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)


def test_a_small_terminal_shows_all_that_matters() -> None:
    tracker = tracked()
    tracker.backend, tracker.real_time_factor, tracker.dropped = "onnx", 0.97, {"overwritten": 3, "zero": 0}
    tracker.on_boundary(NOW, "pour", "press_button", NOW + S // 2)
    text = "\n".join(drawn(tracker.state(12.0, NOW + 10 * S), 80, 24))
    for part in (
        "R E A C H   C U P", "0.90", "confirmed 0.4 s ago", "truth", "provisional", "00:12 / 01:00",
        "pour → press button", "0.50 s", "10.0 Hz", "100 in all", "p50 12 ms, p99 12 ms", "0.97", "onnx",
        "overwritten 3",
    ):  # fmt: skip
        assert part in text
    assert "zero" not in text  # a cause that dropped nothing is not shown


def test_the_same_state_draws_the_same_characters() -> None:
    state = tracked().state(1.0, NOW + 10 * S)
    assert drawn(state, 80, 24) == drawn(state, 80, 24)
    assert drawn(state, 80, 24) != drawn(tracked(50).state(1.0, NOW + 10 * S), 80, 24)


@given(st.lists(st.tuples(st.integers(0, 40 * 10), st.sampled_from(("", *ACTIONS))), max_size=30), st.integers(1, 200))
def test_a_cell_shows_the_action_at_its_centre(changes: list[tuple[int, str]], count: int) -> None:
    marks = [Mark(tenth * S // 10, action) for tenth, action in sorted(dict(changes).items())]
    end_ns = 40 * S
    shown = cells(marks, end_ns, WINDOW_S, count)
    assert len(shown) == count
    for cell, action in enumerate(shown):
        centre_ns = end_ns - round((count - cell - 0.5) * WINDOW_S * 1e9 / count)
        known = [mark.action for mark in marks if mark.stamp_ns <= centre_ns]
        assert action == (known[-1] if known else "")


@given(st.integers(1, 150))
def test_a_row_is_as_wide_as_asked(width: int) -> None:
    state = tracked().state(1.0, NOW + 10 * S)
    assert timeline_row(state.truth, state, width).cell_len == width


def test_the_confirmed_row_lies_behind_by_the_lag() -> None:
    state = tracked().state(1.0, NOW + 10 * S)
    assert state.lag_s == pytest.approx(0.4)
    assert state.provisional[-1].stamp_ns - state.confirmed[-1].stamp_ns == 4 * S // 10
    assert [mark.action for mark in state.provisional] == [mark.action for mark in state.truth]


def test_silence_is_shown_as_a_gap() -> None:
    row = TimelineRow()
    row.add(0, "pour", gap_ns=S)
    row.add(5 * S, "pour", gap_ns=S)
    shown = cells(row.marks(), 5 * S + 1, 5.0, 5)
    assert shown == ["pour", "", "", "", ""]
    row.add(2 * S, "pour", gap_ns=S)  # time jumped back: what was known speaks of another time
    assert row.marks()[0] == Mark(2 * S, "pour")


def test_memory_is_bounded() -> None:
    tracker = tracked(5_000)
    for index in range(1_000):
        tracker.on_boundary(NOW + index, "pour", "reach_cup", NOW + index)
    state = tracker.state(1.0, NOW + 500 * S)
    assert len(state.boundaries) == BOUNDARIES_KEPT
    assert state.boundary_count == 1_000
    assert state.label_count == 5_000
    assert max(len(state.truth), len(state.provisional), len(state.confirmed)) < 40
    assert len(tracker._latency_ms) == LATENCY_SAMPLES


def test_a_rate_counts_the_last_seconds_and_falls_to_zero() -> None:
    rate = Rate()
    assert rate.hz(0) is None
    for index in range(100):
        rate.add(index * S // 20)
    assert rate.hz(5 * S) == pytest.approx(20.0)
    assert rate.hz(60 * S) == 0.0


def test_a_plain_line_says_the_same() -> None:
    tracker = tracked()
    tracker.dropped = {"overwritten": 3, "unreadable": 4}
    line = plain_line(tracker.state(12.0, NOW + 10 * S))
    assert "\n" not in line
    for part in ("12.0 s", "reach_cup", "0.90", "10.0", "12/12 ms", "dropped 7"):
        assert part in line


def test_each_stream_has_its_rate() -> None:
    tracker = tracked()
    tracker.streams_hz = {"front": 15.02, "wrist": 14.9, "arm": 500.0}
    state = tracker.state(1.0, NOW)
    assert "front 15, wrist 14.9, arm 500, labels" in plain_line(state)
    assert "front 15, wrist 14.9" in "\n".join(drawn(state, 120, 40))


def test_neighbours_in_the_vocabulary_differ_in_colour() -> None:
    vocabulary = [f"action_{index}" for index in range(16)]
    assert len({colour(action, vocabulary) for action in vocabulary}) == 16
    assert colour("unheard_of", vocabulary) == colour("unheard_of", vocabulary)


def test_the_picture_is_whole_and_needs_no_network(tmp_path: Path) -> None:
    view = pytest.importorskip("hal_ros.ros.view.main", exc_type=ImportError)
    path = tmp_path / "view.svg"
    view.save_picture(tracked().state(1.0, NOW + 10 * S), path)
    text = path.read_text(encoding="utf-8")
    xml.etree.ElementTree.fromstring(text)
    assert "@font-face" not in text
    assert "url(http" not in text
    assert "provisional" in text


def test_drops_are_named_and_what_is_between_two_ticks_is_none() -> None:
    view = pytest.importorskip("hal_ros.ros.view.main", exc_type=ImportError)
    values = {"dropped_not_due": "50", "dropped_late": "3", "dropped_too_slow": "2", "images": "9"}
    assert view.dropped(values) == {"too slow": 2}


@pytest.mark.ros
def test_what_is_published_is_shown(ros_domain_id: int) -> None:
    """Over real ROS: every message that the view listens to changes its state."""
    pytest.importorskip("rclpy")
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
    from hal_msgs.msg import ActionLabel, ActionTruth, BoundaryEvent, Vocabulary
    from sensor_msgs.msg import CameraInfo

    from hal_ros.ros.view.main import LATCHED, Listener

    status = DiagnosticStatus(level=DiagnosticStatus.WARN, name="segmenter: camera", message="too slow")
    status.values = [KeyValue(key="dropped_overwritten", value="2"), KeyValue(key="backend", value="onnx")]
    others = [
        DiagnosticStatus(name=f"segmenter: {name}", values=[KeyValue(key=k, value=v) for k, v in values.items()])
        for name, values in {
            "wrist": {"image_rate_hz": "14.98", "dropped_repeated": "1"},
            "arm": {"message_rate_hz": "500.20", "dropped_repeated": "3"},
        }.items()
    ]
    label = ActionLabel(label="pour", confidence=0.75, confirmed_valid=True, confirmed_label="reach_cup")
    label.header.stamp.sec, label.confirmed_stamp.sec = 100, 99
    truth = ActionTruth(label="press_button")
    truth.header.stamp.sec = 100
    published = {
        "action_label": (label, 10),
        "action_boundary": (BoundaryEvent(from_label="pour", to_label="reach_cup"), 10),
        "segmenter/vocabulary": (Vocabulary(labels=list(ACTIONS)), LATCHED),
        "simulation/action_truth": (truth, 10),
        "camera/color/camera_info": (CameraInfo(), 10),
        "/diagnostics": (DiagnosticArray(status=[status, *others]), 10),
    }
    tracker = ViewTracker("test")

    def complete(state: ViewState) -> bool:
        return all((state.action, state.boundaries, state.vocabulary, state.truth, state.image_hz, state.dropped))

    with Listener(tracker) as listener:
        node = listener.node
        publishers = [node.create_publisher(type(m), topic, qos) for topic, (m, qos) in published.items()]  # type: ignore[arg-type]
        while not complete(state := tracker.state(0.0, time.time_ns())):  # ended by the test's own time limit
            for publisher, (message, _) in zip(publishers, published.values(), strict=True):
                publisher.publish(message)
            listener.spin(0.05)
    assert (state.action, state.confidence, state.confirmed_action, state.lag_s) == ("pour", 0.75, "reach_cup", 1.0)
    assert (state.backend, state.notice) == ("onnx", "too slow")
    assert state.dropped == {"overwritten": 2, "repeated": 4}  # of all streams together
    assert state.streams_hz == {"wrist": 14.98, "arm": 500.2}
    assert state.truth[0].action == "press_button"
    assert state.vocabulary == ACTIONS
    assert state.latency_p50_ms is not None
    assert state.latency_p50_ms > 1e6  # the label's stamp is of 1970


def test_a_planners_options_are_a_row_of_the_timeline() -> None:
    tracker = ViewTracker("planner")
    for tick in range(20):
        if tick == 10:
            tracker.on_option("pick_red")
        tracker.on_label(LabelSeen(10**9 + tick * 10**8, "move", 0.9, None, "", 0.0), 0)
    state = tracker.state(1.0, 0)
    assert [mark.action for mark in state.options] == ["", "pick_red", ""]
    assert state.options[1].stamp_ns == 2 * 10**9
