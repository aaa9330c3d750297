"""Publishes the segmenter's /diagnostics, and logs what turns bad or good again."""

from __future__ import annotations

import time
from collections import Counter

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import LifecycleNode

from hal_ros.ros.params import SegmenterParameters
from hal_ros.ros.segmenter import diagnostics
from hal_ros.ros.segmenter.diagnostics import NodeSnapshot, SilenceLimits
from hal_ros.ros.segmenter.session import Configured, Session

REPEAT_LOG_S = 10.0
"""A status that flickers is logged at most this often."""


class Reporter:
    """Makes a report from the node's parts whenever it is asked to."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._before: Counter[str] = Counter()
        self._reported_ns = time.perf_counter_ns()
        self._levels: dict[str, tuple[bytes, int]] = {}

    def restart(self) -> None:
        """Begin anew with the zeroed counters of an activation."""
        self._before.clear()
        self._levels.clear()
        self._reported_ns = time.perf_counter_ns()

    def publish(
        self,
        state: str,
        failure: str,
        parameters: SegmenterParameters,
        configured: Configured | None,
        session: Session | None,
    ) -> None:
        """Publish one report."""
        now_ns = time.perf_counter_ns()
        snapshot = self._snapshot(now_ns, state, failure, configured, session)
        limits = SilenceLimits(
            session.subscriptions.image_topic if session else parameters.image_topic,
            parameters.image_timeout_s,
            session.subscriptions.joint_topic if session else parameters.joint_topic,
            parameters.joint_timeout_s,
        )
        card = None if configured is None else configured.bundle.card
        message = DiagnosticArray(status=diagnostics.report(self._node.get_name(), snapshot, card, limits))
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
        for status in message.status:
            self._log_change(now_ns, status.name, status.level, status.message)
        self._reported_ns, self._before = now_ns, snapshot.counters

    def _snapshot(
        self, now_ns: int, state: str, failure: str, configured: Configured | None, session: Session | None
    ) -> NodeSnapshot:
        period_s = (now_ns - self._reported_ns) / 1e9
        facts = {} if configured is None else _facts(configured)
        if session is None:
            return NodeSnapshot(state, period_s, 0.0, failure=failure, facts=facts)
        inputs, pipeline, subscriptions = session.inputs, session.pipeline, session.subscriptions
        if pipeline.image_size is not None:
            facts["image_size_px"] = "{}x{}".format(*pipeline.image_size)
        return NodeSnapshot(
            state=state,
            period_s=period_s,
            active_s=(now_ns - session.since_ns) / 1e9,
            counters=session.counters(),
            before=self._before,
            image_age_s=_age_s(inputs.last_image_ns, now_ns),
            joints_age_s=_age_s(inputs.last_joints_ns, now_ns),
            image_error=pipeline.last_error,
            image_qos_error=subscriptions.image_qos_error,
            joints_qos_error=subscriptions.joints_qos_error,
            image_source=lambda: subscriptions.image_source(inputs.last_image_ns is not None),
            joint_names_seen=inputs.joint_names_seen,
            failure=failure,
            facts=facts,
            stages_ms=pipeline.stopwatch.percentiles(),
        )

    def _log_change(self, now_ns: int, name: str, level: bytes, message: str) -> None:
        before, since_ns = self._levels.get(name, (diagnostics.OK, now_ns - round(REPEAT_LOG_S * 1e9)))
        if level == before or now_ns - since_ns < REPEAT_LOG_S * 1e9:
            return
        self._levels[name] = (level, now_ns)
        logger = self._node.get_logger()
        text = f"{name.rpartition(': ')[2]}: {message}"
        if level == diagnostics.OK:  # rclpy refuses two severities in one line of code
            logger.info(text)
        else:
            logger.warning(text)


def _facts(configured: Configured) -> dict[str, str]:
    bundle, opened = configured.bundle, configured.opened
    facts = {"bundle": bundle.card.name, "bundle_sha256": bundle.sha256}
    if opened is None:
        return {**facts, "backend": "none"}
    return {
        **facts,
        "backend": opened.segmenter.backend.name,
        "backend_reason": opened.reason,
        **{f"backend_{name}": value for name, value in opened.about.items()},
    }


def _age_s(received_ns: int | None, now_ns: int) -> float | None:
    return None if received_ns is None else (now_ns - received_ns) / 1e9
