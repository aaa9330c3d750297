"""Publishes the segmenter's /diagnostics, and logs what turns bad, is bad for another cause, or turns good again."""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from functools import partial

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import LifecycleNode

from hal_ros.core.streams import counts
from hal_ros.ros.params import full_name
from hal_ros.ros.segmenter import diagnostics
from hal_ros.ros.segmenter.diagnostics import NodeSnapshot, Silence, StreamSnapshot
from hal_ros.ros.segmenter.session import Configured, Session
from hal_ros.ros.segmenter_parameters import SegmenterParameters

REPEAT_LOG_S = 10.0
"""A status that flickers is logged at most this often."""
S_NS = 1_000_000_000
NAMESAKE_S = 5.0
"""So long another node of this name has to be there; one that was killed may be seen for half a minute."""
MOST_KEPT = 20
"""Counters of so many moments are kept to look back to."""
RECENT_S = 10.0
"""What comes now and then, such as restarts, is a fault for so long."""


class Reporter:
    """Makes a report from the node's parts whenever it is asked to."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._before: Counter[str] = Counter()
        self._earlier: deque[tuple[int, Counter[str]]] = deque()  # at most RECENT_S, the oldest first
        self._labels, self._answered_ns = 0, time.perf_counter_ns()
        self._alone_ns = self._asked_ns = time.perf_counter_ns()  # when no other node had this one's name
        self._has_other = False
        self._reported_ns = time.perf_counter_ns()
        self._logged: dict[str, tuple[bytes, str, int]] = {}  # level, cause and time by status

    def restart(self) -> None:
        """Begin anew with the zeroed counters of an activation."""
        self._before.clear()
        self._earlier.clear()
        self._logged.clear()
        self._labels = 0
        self._answered_ns = self._reported_ns = time.perf_counter_ns()

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
        silence = Silence(parameters.image_timeout_s, parameters.joint_timeout_s)
        card = None if configured is None else configured.bundle.card
        model = None if card is None else (card.name, card.streams)
        message = DiagnosticArray(status=diagnostics.report(full_name(self._node), snapshot, model, silence))
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
        namesake = self._has_namesake(now_ns)
        if session is None:
            return NodeSnapshot(state, period_s, 0.0, failure=failure, facts=facts, namesake=namesake)
        counters = session.counters()
        earlier_ns, earlier = self._look_back(now_ns, session.since_ns, counters)
        return NodeSnapshot(
            state=state,
            period_s=period_s,
            active_s=(now_ns - session.since_ns) / 1e9,
            counters=counters,
            before=self._before,
            earlier=earlier,
            earlier_s=(now_ns - earlier_ns) / 1e9,
            unanswered_s=(now_ns - self._answered_ns) / 1e9,
            stale=session.silence.stale,
            namesake=namesake,
            streams={name: _stream(name, session, now_ns) for name in session.inputs.sights},
            failure=failure,
            facts=facts,
            stages_ms=session.pipeline.stopwatch.percentiles(),
        )

    def _look_back(self, now_ns: int, since_ns: int, counters: Counter[str]) -> tuple[int, Counter[str]]:
        """Return when, and what was counted, RECENT_S ago or at the activation; keep what is counted now."""
        if counters[counts.LABELS] != self._labels:
            self._labels, self._answered_ns = counters[counts.LABELS], now_ns
        oldest_ns = now_ns - round(RECENT_S * 1e9)
        while len(self._earlier) > 1 and self._earlier[1][0] <= oldest_ns:
            self._earlier.popleft()
        if not self._earlier or now_ns - self._earlier[-1][0] >= RECENT_S * 1e9 / MOST_KEPT:
            self._earlier.append((now_ns, counters))
        return self._earlier[0] if self._earlier[0][0] <= oldest_ns else (since_ns, Counter())

    def _has_namesake(self, now_ns: int) -> bool:
        """Whether another node of this name is there; one that has just ended is still seen for a while."""
        if now_ns - self._asked_ns > S_NS:  # the graph is not asked more often, however fast reports come
            self._asked_ns = now_ns
            own = self._node.get_name(), self._node.get_namespace()
            self._has_other = self._node.get_node_names_and_namespaces().count(own) > 1
        if not self._has_other:
            self._alone_ns = now_ns
        return now_ns - self._alone_ns > NAMESAKE_S * S_NS

    def _log_change(self, now_ns: int, name: str, level: bytes, message: str) -> None:
        never = (diagnostics.OK, "", now_ns - round(REPEAT_LOG_S * 1e9))
        before, cause_before, since_ns = self._logged.get(name, never)
        cause = "" if level == diagnostics.OK else _cause(message)
        if (level, cause) == (before, cause_before) or now_ns - since_ns < REPEAT_LOG_S * 1e9:
            return
        self._logged[name] = (level, cause, now_ns)
        logger = self._node.get_logger()
        text = f"{name.rpartition(': ')[2]}: {message}"
        if level == diagnostics.OK:  # rclpy refuses two severities in one line of code
            logger.info(text)
        else:
            logger.warning(text)


def _cause(message: str) -> str:
    """Return what a message says, without its numbers and without what the answers stand on meanwhile."""
    return re.sub(r"\d+(\.\d+)?", "", message.partition("; running on ")[0])


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


def _stream(name: str, session: Session, now_ns: int) -> StreamSnapshot:
    sight, converter, subscriptions = session.inputs.sights[name], session.pipeline.converter, session.subscriptions
    topics = tuple(subscriptions.topics_of(name))
    return StreamSnapshot(
        topics=topics,
        age_s=_age_s(sight.last_ns, now_ns),
        problem=sight.problem,
        qos_error=next((subscriptions.qos_errors[topic] for topic in topics if topic in subscriptions.qos_errors), ""),
        image_error=converter.last_errors.get(name, ""),
        size_px=converter.sizes_px.get(name),
        names_seen=sight.names_seen,
        names_unseen=session.inputs.names_unseen(name),
        malformed=sight.malformed,
        source=partial(subscriptions.source, name),
    )


def _age_s(received_ns: int | None, now_ns: int) -> float | None:
    return None if received_ns is None else (now_ns - received_ns) / 1e9
