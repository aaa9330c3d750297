"""The live view: listens to a running segmenter (and, where there is one, to the simulated robot) and shows it.

`state` gathers, `render` draws; here is only what touches ROS and the terminal.
"""

from __future__ import annotations

import io
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from hal_msgs.msg import ActionLabel, ActionTruth, BoundaryEvent, Option, Vocabulary
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from rich.live import Live
from sensor_msgs.msg import CameraInfo

from hal_ros.bags.messages import to_ns
from hal_ros.outside import outputs
from hal_ros.outside.console import PrintableConsole
from hal_ros.ros.view.render import plain_line, render
from hal_ros.ros.view.state import LabelSeen, ViewState, ViewTracker

REFRESH_S = 0.125
PLAIN_PERIOD_S = 1.0
IS_PICTURE = outputs.has_mark("hal&#160;demo")  # its title, as rich writes it
PICTURE_SIZE = (110, 27)  # of the exported picture, in characters
KEPT = ("not_due", "late")
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Listener:
    """A node of its own context that feeds a ViewTracker; a context manager. Callbacks run inside spin()."""

    def __init__(self, tracker: ViewTracker, args: list[str] | None = None) -> None:
        self.tracker = tracker
        self._args = args
        self._notices: dict[str, str] = {}  # by status; '' while all is well
        self._drops: dict[str, dict[str, int]] = {}  # likewise, by cause

    def __enter__(self) -> Listener:
        self._context = Context()
        # Without signal handlers: who shows the view decides what Ctrl-C means.
        rclpy.init(args=self._args, context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = Node("view", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        subscribe = self.node.create_subscription
        subscribe(ActionLabel, "action_label", self._on_label, 50)
        subscribe(BoundaryEvent, "action_boundary", self._on_boundary, 50)
        subscribe(Vocabulary, "segmenter/vocabulary", self._on_vocabulary, LATCHED)
        subscribe(Option, "option", self._on_option, LATCHED)
        subscribe(ActionTruth, "simulation/action_truth", self._on_truth, 50)
        subscribe(CameraInfo, "camera/color/camera_info", self._on_camera_info, qos_profile_sensor_data)
        subscribe(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def spin(self, duration_s: float) -> None:
        """Handle messages for this long."""
        end = time.monotonic() + duration_s
        while (remaining_s := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=remaining_s)

    def _on_label(self, message: ActionLabel, info: Any = None) -> None:
        seen = LabelSeen(
            stamp_ns=to_ns(message.header.stamp),
            action=message.label,
            confidence=message.confidence,
            confirmed_stamp_ns=to_ns(message.confirmed_stamp) if message.confirmed_valid else None,
            confirmed_action=message.confirmed_label,
            confirmed_confidence=message.confirmed_confidence,
        )
        self.tracker.on_label(seen, received_ns(info))

    def _on_boundary(self, message: BoundaryEvent, info: Any = None) -> None:
        stamp_ns = to_ns(message.header.stamp)
        self.tracker.on_boundary(stamp_ns, message.from_label, message.to_label, received_ns(info))

    def _on_vocabulary(self, message: Vocabulary) -> None:
        self.tracker.vocabulary = tuple(message.labels)

    def _on_option(self, message: Option) -> None:
        self.tracker.on_option(message.option)

    def _on_truth(self, message: ActionTruth) -> None:
        self.tracker.on_truth(to_ns(message.header.stamp), message.label)

    def _on_camera_info(self, _: CameraInfo, info: Any = None) -> None:
        self.tracker.on_image(received_ns(info))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        tracker = self.tracker
        for status in message.status:
            values = {entry.key: entry.value for entry in status.values}
            tracker.backend = values.get("backend", tracker.backend)
            if "real_time_factor" in values:
                tracker.real_time_factor = float(values["real_time_factor"])
            if (rate_hz := values.get("image_rate_hz") or values.get("message_rate_hz")) is not None:
                tracker.streams_hz[status.name.rpartition(": ")[2]] = float(rate_hz)
            if drops := dropped(values):
                self._drops[status.name] = drops
                tracker.dropped = dict(sum(map(Counter, self._drops.values()), Counter[str]()))
            self._notices[status.name] = status.message if status.level != DiagnosticStatus.OK else ""
        tracker.notice = next(filter(None, self._notices.values()), "")


def received_ns(info: Any) -> int:
    """Return when the middleware received a message; now, where rclpy does not tell (Humble)."""
    return int((info or {}).get("received_timestamp") or time.time_ns())


def dropped(values: Mapping[str, str]) -> dict[str, int]:
    """Return by cause what a diagnostic status says was dropped; what is between two ticks, or only late, is not."""
    counts = {key.removeprefix("dropped_"): int(value) for key, value in values.items() if key.startswith("dropped_")}
    return {cause.replace("_", " "): count for cause, count in counts.items() if cause not in KEPT}


class Screen:
    """Shows states: full-screen in a terminal, one plain line a second elsewhere. A context manager."""

    def __init__(self, console: PrintableConsole | None = None) -> None:
        self._console = console or PrintableConsole()
        self._live: Live | None = None
        self._next_line_s = 0.0

    def __enter__(self) -> Screen:
        if self._console.is_terminal:
            self._live = Live(console=self._console, screen=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, state: ViewState) -> None:
        """Show one state, at once or with the next line."""
        if self._live is not None:
            self._live.update(render(state, self._console.width, self._console.height), refresh=True)
        elif state.elapsed_s >= self._next_line_s:
            self._next_line_s = state.elapsed_s + PLAIN_PERIOD_S
            self._console.print(plain_line(state), highlight=False, markup=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Print a line of its own where there is no full screen."""
        if self._live is None:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def save_picture(state: ViewState, path: Path) -> None:
    """Write what the view shows as an SVG that needs nothing from the network."""
    width, height = PICTURE_SIZE
    console = PrintableConsole(
        width=width, height=height, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(render(state, width, height), end="")
    svg = console.export_svg(title="hal demo")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    outputs.replace_text(path, svg, IS_PICTURE, "a picture of the view")


def main(args: list[str] | None = None) -> int:
    """Watch what runs in this ROS domain until a signal comes."""
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: stopped.append(received))
    tracker = ViewTracker("watching")
    started = time.monotonic()
    with Listener(tracker, args) as listener, Screen() as screen:
        while not stopped:
            listener.spin(REFRESH_S)
            screen.show(tracker.state(time.monotonic() - started, time.time_ns()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
