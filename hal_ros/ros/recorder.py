"""The node `recorder`: writes what is published into one MCAP file per run, without reading what is in the messages."""

from __future__ import annotations

import importlib
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # Humble defines it there
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rclpy.type_support import check_for_type_support

from hal_ros.bags.background_writer import BackgroundWriter, Recorded, Topic
from hal_ros.bags.messages import schema_text
from hal_ros.bags.reader import qos_profile, qos_text
from hal_ros.core.errors import BagError
from hal_ros.ros.params import declare, parameter, read
from hal_ros.ros.process import can_run, run
from hal_ros.ros.stream_topics import TOPICS, input_topics
from hal_ros.runtime.bundle import bundle_metadata, load_bundle

DISCOVERY_PERIOD_S = 0.1
LAST_REPORT_S = 1.0
"""How long the last report may take to reach those who listen."""
DEPTHS = {"sensor_msgs/msg/Image": 30, "sensor_msgs/msg/PointCloud2": 30}
DEPTH = 1000
"""Messages of a topic that the middleware keeps while the node is busy; large ones are kept for two seconds only."""


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
    diagnostics_period_s: float = parameter(1.0, "Seconds between two messages on /diagnostics.", (0.05, 60.0))


class Recorder(Node):
    """Records from construction to `stop`. Raises ConfigError for a wrong parameter or bundle, BagError by the disk.

    `lost` counts, by topic, what the middleware lost on the way, seen as gaps in a publisher's sequence numbers.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("recorder", **options)
        locked = ""
        declare(self, RecorderParameters, lambda: locked)
        locked = "parameters of the recorder are read once, at its start"
        self.parameters = read(self, RecorderParameters)
        self.lost: Counter[str] = Counter()
        self._refused: set[str] = set()
        self._recorded: dict[str, Any] = {}  # subscriptions by topic
        self._newest: dict[tuple[str, bytes], int] = {}  # sequence numbers by topic and publisher
        self._reported: Counter[str] = Counter()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        name = self.parameters.name or datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        folder = Path(self.parameters.output).expanduser() / name
        topics, metadata = self.parameters.topics, {}
        if self.parameters.model:
            bundle = load_bundle(Path(self.parameters.model).expanduser())
            topics, metadata = (*topics, *input_topics(bundle.card.streams)), bundle_metadata(bundle)
        self._topics = {self.resolve_topic_name(topic) for topic in topics}
        self.recording = BackgroundWriter(folder, metadata, self.parameters.queue_mib << 20)

    def start(self) -> None:
        """Look for publishers and report, from now on."""
        clock = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still, or not be there yet
        self.create_timer(DISCOVERY_PERIOD_S, self._discover, clock=clock)
        self.create_timer(self.parameters.diagnostics_period_s, self._report, clock=clock)
        self.get_logger().info(f"recording to {self.recording.file}")
        self._discover()

    def stop(self) -> None:
        """Write what has arrived and finish the file; a failure is logged, what was written stays readable."""
        for subscription in self._recorded.values():
            self.destroy_subscription(subscription)
        try:
            self.recording.close()
        except BagError as error:
            self.get_logger().error(str(error))
        else:
            count, dropped = self.recording.written.total(), self.recording.dropped.total() + self.lost.total()
            self.get_logger().info(f"{self.recording.file}: {count} messages, {dropped} dropped or lost")

    def _discover(self) -> None:
        """Subscribe to the topics that have got a publisher. Raises BagError once the disk has refused."""
        if self.recording.failure is not None:
            self._report()
            # The process ends now; what is still on its way would be lost with it.
            self._diagnostics.wait_for_all_acked(Duration(seconds=LAST_REPORT_S))
            raise self.recording.failure
        wanted = self._topics
        if self.parameters.all_topics:
            wanted = {topic for topic, _ in self.get_topic_names_and_types()}
        for topic in sorted(wanted - self._recorded.keys() - self._refused):
            publishers = self.get_publishers_info_by_topic(topic)
            if publishers:
                self._record(topic, publishers)

    def _record(self, topic: str, publishers: Sequence[TopicEndpointInfo]) -> None:
        type_name = publishers[0].topic_type
        try:
            kind = message_class(type_name)
            schema = schema_text(type_name)
        except BagError as error:
            self._refused.add(topic)
            self.get_logger().warning(f"{topic} is not recorded: {error}")
            return
        self.recording.announce(Topic(topic, type_name, offered_qos(publishers), schema))
        # rclpy gives the middleware's times to callbacks of two required arguments; Humble's rclpy knows only one.
        take = self._on_message if hasattr(Subscription, "CallbackType") else self._on_bare_message
        callback = partial(take, topic, type_name)
        profile = matching_qos(publishers, DEPTHS.get(type_name, DEPTH))
        self._recorded[topic] = self.create_subscription(kind, topic, callback, profile, raw=True)
        self.get_logger().info(f"recording {topic} ({type_name})")

    def _on_bare_message(self, topic: str, type_name: str, data: bytes) -> None:
        self._on_message(topic, type_name, data, {})

    def _on_message(self, topic: str, type_name: str, data: bytes, info: Any) -> None:
        """Queue one message as it came; the times are the middleware's own where it gives them."""
        receive_ns = info.get("received_timestamp") or time.time_ns()
        publish_ns = info.get("source_timestamp") or receive_ns
        self._count_lost(topic, info)
        self.recording.put(Recorded(topic, type_name, data, receive_ns, publish_ns))

    def _count_lost(self, topic: str, info: Any) -> None:
        number, gid = info.get("publication_sequence_number"), info.get("publisher_gid")
        if number is None or gid is None:  # not every distribution tells
            return
        publisher = (topic, gid["data"])
        self.lost[topic] += max(0, number - self._newest.get(publisher, number - 1) - 1)
        self._newest[publisher] = number

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
        self._reported = gone
        values = {"file": str(recording.file), "written": recording.written.total()}
        values |= {"dropped": recording.dropped.total(), "lost": self.lost.total()}
        values |= {"queued_bytes": recording.queued_bytes}
        values |= {f"written {topic}": count for topic, count in sorted(recording.written.items())}
        status = DiagnosticStatus(
            level=level,
            name=f"{self.get_name()}: file",
            message=text,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def message_class(type_name: str) -> Any:
    """Return rclpy's class of a message type, ready to subscribe with. Raises BagError when it is not installed."""
    package, _, name = type_name.partition("/msg/")
    try:
        kind = getattr(importlib.import_module(f"{package}.msg"), name)
        check_for_type_support(kind)
    except (ImportError, AttributeError) as error:
        raise BagError(f"its type {type_name} is not installed; source or install the package {package}") from error
    return kind


def matching_qos(publishers: Sequence[TopicEndpointInfo], depth: int) -> QoSProfile:
    """Return the strictest quality of service that every publisher of a topic offers, so that all of them match."""
    offered = [publisher.qos_profile for publisher in publishers]
    reliable = all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in offered)
    latched = all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
    return QoSProfile(
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


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
