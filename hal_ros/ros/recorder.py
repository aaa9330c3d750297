"""The node `recorder`: writes what is published into one MCAP file per run, without reading what is in the messages."""

from __future__ import annotations

import importlib
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # Humble defines it there
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rclpy.type_support import check_for_type_support

from hal_ros.bags.background_writer import BackgroundWriter, Recorded, Topic
from hal_ros.bags.messages import schema_text
from hal_ros.bags.reader import qos_profile, qos_text
from hal_ros.bags.writer import COMPRESSIONS, ZSTD
from hal_ros.core.errors import BagError
from hal_ros.ros.params import check_overrides, declare, full_name, read, resolve_topic
from hal_ros.ros.printable_logs import PrintableLogs
from hal_ros.ros.process import can_run, run
from hal_ros.ros.segmenter_parameters import parameter
from hal_ros.ros.stream_topics import TOPICS, input_topics
from hal_ros.ros.topic_listener import TopicListener, has_room
from hal_ros.runtime.bundle import bundle_metadata, load_bundle

DISCOVERY_PERIOD_S = 0.1
LAST_REPORT_S = 1.0
"""How long the last report may take to reach those who listen."""
DEPTHS = {"sensor_msgs/msg/Image": 30, "sensor_msgs/msg/PointCloud2": 30}
DEPTH = 1000
"""Messages of a topic that the middleware keeps while the node is busy; large ones are kept for two seconds only."""
REFIT_ROUNDS = 10
"""Every how many looks all publishers are looked at again; those that a subscription does not fit are told at once."""
LOSSES = 3
"""Exit code of a run whose file is whole, but lacks messages or topics that were asked for."""


@dataclass(frozen=True)
class RecorderParameters:
    """What a user sets."""

    output: str = parameter("recordings", "Folder that gets one folder per run.")
    name: str = parameter("", "Name of the run's folder; when empty, date and time of the start.")
    topics: tuple[str, ...] = parameter(TOPICS, "Topics to record, as soon as somebody publishes on them.")
    all_topics: bool = parameter(False, "Record every topic that somebody publishes on.")
    model: str = parameter(
        "", "Folder of a model bundle: its card goes into the file, and the topics that it names are recorded, too."
    )
    queue_mib: int = parameter(
        256, "MiB of messages that may wait to be written; what comes beyond is dropped and counted.", (1, 16384)
    )
    compression: str = parameter(
        ZSTD,
        "Of the file's chunks. none for raw pictures: they hardly shrink, and zstd takes a core for 90 MB a second.",
        choices=COMPRESSIONS,
    )
    diagnostics_period_s: float = parameter(1.0, "Seconds between two messages on /diagnostics.", (0.05, 60.0))


class Recorder(PrintableLogs, Node):
    """Records from construction to `stop`. Raises ConfigError for a wrong parameter or bundle, BagError by the disk."""

    def __init__(self, **options: Any) -> None:
        super().__init__("recorder", **options)
        locked = ""
        declare(self, RecorderParameters, lambda: locked)
        locked = "parameters of the recorder are read once, at its start"
        self.parameters = read(self, RecorderParameters)
        check_overrides(self, {})
        self._refused: dict[tuple[str, str], str] = {}  # why a topic's messages of a type are not recorded
        self._deaf: dict[tuple[str, str], str] = {}  # likewise, as nothing of them can arrive
        self._listeners: dict[str, TopicListener] = {}
        self._types: dict[str, str] = {}  # by recorded topic
        self._rounds = 0
        self._reported: Counter[str] = Counter()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        name = self.parameters.name or datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        folder = Path(self.parameters.output).expanduser() / name
        topics, metadata = self.parameters.topics, {}
        self._topics = {resolve_topic(self, topic, "parameter topics") for topic in topics}
        if self.parameters.model:
            bundle = load_bundle(Path(self.parameters.model).expanduser())
            metadata = bundle_metadata(bundle)
            named = input_topics(bundle.card.streams)
            self._topics |= {resolve_topic(self, topic, f"the card of {bundle.card.name}") for topic in named}
        self.recording = BackgroundWriter(
            folder, metadata, self.parameters.queue_mib << 20, self.parameters.compression
        )
        self._inode = self.recording.file.stat().st_ino

    @property
    def lost(self) -> Counter[str]:
        """What did not arrive, by topic."""
        return Counter({topic: listener.lost for topic, listener in self._listeners.items()})

    def start(self) -> None:
        """Look for publishers and report, from now on."""
        clock = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still, or not be there yet
        self.create_timer(DISCOVERY_PERIOD_S, self._discover, clock=clock)
        self.create_timer(self.parameters.diagnostics_period_s, self._report, clock=clock)
        self.get_logger().info(f"recording to {self.recording.file}")
        self._discover()

    def stop(self) -> int:
        """Write what has arrived and finish the file; returns the exit code.

        It is 1 where the file could not be written, which stays readable as far as it was, and LOSSES where it lacks
        something.
        """
        self._check_room()  # while it is as it was
        for listener in self._listeners.values():
            listener.close()
        try:
            self._check_file()
            self.recording.close()
            self._check_file()
        except BagError as error:
            self.get_logger().error(str(error))
            return 1
        count, gone = self.recording.written.total(), self.recording.dropped.total() + self.lost.total()
        self.get_logger().info(f"{self.recording.file}: {count} messages, {gone} dropped or lost")
        reasons = {**self._refused, **self._deaf}.values()
        if reasons:
            self.get_logger().warning("not recorded: " + "; ".join(reasons))
        if empty := [topic for topic in self._listeners if not self.recording.written[topic]]:
            self.get_logger().info(f"nothing was sent, or nothing came, on {', '.join(sorted(empty))}")
        return LOSSES if gone or reasons else 0

    def _check_file(self) -> None:
        """Raise BagError where the file is no longer there: what is written to it now is lost with its name."""
        try:
            gone = self.recording.file.stat().st_ino != self._inode
        except OSError:
            gone = True
        if gone:
            raise BagError(f"{self.recording.file}: was removed or replaced while it was written; expected it to stay")

    def _check_room(self) -> None:
        """Find the topics whose publishers are not heard, where memory is too short to hear them."""
        silent = {topic: one.silent for topic, one in self._listeners.items() if one.silent}
        if silent and has_room():
            silent = {}
        before, short = self._deaf, "memory is too short to take what others send; expected more address space"
        self._deaf = {
            (topic, self._types[topic]): f"{topic}: nothing comes from {count} of its publishers: {short}"
            for topic, count in silent.items()
        }
        for key in self._deaf.keys() - before.keys():
            self.get_logger().warning(self._deaf[key])

    def _discover(self) -> None:
        """Subscribe to the topics that have got a publisher. Raises BagError once the disk has refused."""
        if self.recording.failure is not None:
            self._report()
            # The process ends now; what is still on its way would be lost with it.
            self._diagnostics.wait_for_all_acked(Duration(seconds=LAST_REPORT_S))
            raise self.recording.failure
        self._check_file()
        wanted = self._topics
        if self.parameters.all_topics:
            wanted = {topic for topic, _ in self.get_topic_names_and_types()}
        self._rounds += 1
        again = self._rounds % REFIT_ROUNDS == 0
        if again:
            self._check_room()
        for topic in sorted(wanted):
            listener = self._listeners.get(topic)
            if listener is None or listener.unfit or again:
                self._listen(topic, self.get_publishers_info_by_topic(topic))

    def _listen(self, topic: str, publishers: Sequence[TopicEndpointInfo]) -> None:
        if not publishers:
            return
        listener = self._listeners.get(topic) or self._listener(topic, publishers)
        if listener is None:
            return
        kept = self._types[topic]
        for other in {publisher.topic_type for publisher in publishers} - {kept}:
            self._refuse(topic, other, f"{topic} is recorded as {kept}, and not what others publish there as {other}")
        if listener.fit([publisher for publisher in publishers if publisher.topic_type == kept]):
            self.get_logger().info(f"recording {topic} ({kept})")

    def _listener(self, topic: str, publishers: Sequence[TopicEndpointInfo]) -> TopicListener | None:
        """Return who takes the messages of a topic that is new; None where its type can't be recorded."""
        type_name = publishers[0].topic_type
        try:
            kind = message_class(type_name)
            schema = schema_text(type_name)
        except BagError as error:
            self._refuse(topic, type_name, f"{topic} is not recorded: {error}")
            return None
        self.recording.announce(Topic(topic, type_name, offered_qos(publishers), schema))
        take = partial(self._on_message, topic, type_name)
        self._types[topic] = type_name
        self._listeners[topic] = TopicListener(self, topic, kind, DEPTHS.get(type_name, DEPTH), take)
        return self._listeners[topic]

    def _refuse(self, topic: str, type_name: str, reason: str) -> None:
        if (topic, type_name) not in self._refused:
            self._refused[topic, type_name] = reason
            self.get_logger().warning(reason)

    def _on_message(self, topic: str, type_name: str, data: bytes, info: Mapping[str, Any]) -> None:
        """Queue one message as it came; the times are the middleware's own where it gives them."""
        receive_ns = info.get("received_timestamp") or time.time_ns()
        publish_ns = info.get("source_timestamp") or receive_ns
        self.recording.put(Recorded(topic, type_name, data, receive_ns, publish_ns))

    def _report(self) -> None:
        recording = self.recording
        gone = recording.dropped + self.lost
        level, text = DiagnosticStatus.OK, f"{recording.written.total()} messages in {recording.file}"
        if recording.failure is not None:
            level, text = DiagnosticStatus.ERROR, str(recording.failure)
        elif new := gone - self._reported:
            level = DiagnosticStatus.WARN
            text = "dropped or lost: " + ", ".join(f"{count} of {topic}" for topic, count in sorted(new.items()))
            self.get_logger().warning(text)
        elif reasons := {**self._refused, **self._deaf}:
            level, text = DiagnosticStatus.WARN, f"not recorded: {'; '.join(reasons.values())}"
        self._reported = gone
        values = {"file": str(recording.file), "written": recording.written.total()}
        values |= {"dropped": recording.dropped.total(), "lost": self.lost.total()}
        values |= {
            "queued_bytes": recording.queued_bytes,
            "not_recorded": " ".join(sorted({topic for topic, _ in (*self._refused, *self._deaf)})),
        }
        values |= {f"written {topic}": count for topic, count in sorted(recording.written.items())}
        values |= {f"dropped or lost {topic}": count for topic, count in sorted(gone.items()) if count}
        status = DiagnosticStatus(
            level=level,
            name=f"{full_name(self)}: file",
            hardware_id=str(recording.file),
            message=text,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def message_class(type_name: str) -> Any:
    """Return rclpy's class of a message type, ready to subscribe with. Raises BagError when it is not installed."""
    package, kind_of, name = type_name.partition("/msg/")
    if not kind_of:
        raise BagError(f"its type {type_name} is of a service or an action, and no message; `ros2 bag record` takes it")
    try:
        kind = getattr(importlib.import_module(f"{package}.msg"), name)
        check_for_type_support(kind)
    except (ImportError, AttributeError) as error:
        raise BagError(f"its type {type_name} is not installed; source or install the package {package}") from error
    return kind


def offered_qos(publishers: Sequence[TopicEndpointInfo]) -> str:
    """Return what the publishers offer, as rosbag2 stores it."""
    profiles = (publisher.qos_profile for publisher in publishers)
    return qos_text(
        [
            qos_profile(int(qos.reliability), int(qos.durability), qos.depth, qos.deadline.nanoseconds)
            for qos in profiles
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Record until SIGINT or SIGTERM; 1 and one line when that is impossible."""
    return run(Recorder, arguments) if can_run() else 1


if __name__ == "__main__":
    sys.exit(main())
