"""Where the time from a picture's stamp to its label goes: the simulator, the way and the queues, the node itself.

From a recording alone: its middleware wrote down when each message was sent and when it arrived.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from hal_ros.bags.answer_messages import LABEL_TYPE
from hal_ros.bags.messages import header_stamp_ns
from hal_ros.bags.reader import read_messages
from hal_ros.bags.sensors import COMPRESSED, IMAGE
from hal_ros.bench.rows import BenchRow, baseline


class Walk(NamedTuple):
    """One label's picture and itself, in ms."""

    simulator: float  # from the picture's stamp until it is sent
    answer: float  # until its label is sent
    back: float  # until the recorder has that


def walks(recording: Path) -> list[Walk]:
    """Return those of all labels whose picture was recorded; none where the bag does not say when messages were sent.

    Raises BagError when it can't be read.
    """
    sent: dict[int, int] = {}  # of pictures, by stamp
    labels: list[tuple[int, int, int]] = []
    for message in read_messages(recording):
        stamp_ns = header_stamp_ns(message.data) if message.type_name in (IMAGE, COMPRESSED, LABEL_TYPE) else None
        if stamp_ns is None or message.publish_ns is None:
            continue
        if message.type_name == LABEL_TYPE:
            labels.append((stamp_ns, message.publish_ns, message.receive_ns))
        else:
            sent[stamp_ns] = message.publish_ns
    times_ns = [(stamp_ns, sent[stamp_ns], *after) for stamp_ns, *after in labels if stamp_ns in sent]
    return [Walk(*(np.diff(one) * 1e-6).tolist()) for one in times_ns]


def walk_rows(found: list[Walk], node_p50_ms: float | None) -> list[BenchRow]:
    """Return the shares; `node_p50_ms` is what the node itself says that it takes from a picture to its label."""
    if not found:
        return []
    parts = np.array(found)
    (robot_50, answer_50, back_50), (robot_99, answer_99, _) = np.percentile(parts, (50, 99), axis=0).tolist()
    rows = [
        baseline("of this, simulator, stamp to picture sent, p50", robot_50, "ms"),
        baseline("of this, simulator, stamp to picture sent, p99", robot_99, "ms"),
        baseline("of this, picture sent to label sent, p50", answer_50, "ms"),
        baseline("of this, picture sent to label sent, p99", answer_99, "ms"),
        baseline("of this, label on its way to the recorder, p50", back_50, "ms"),
    ]
    if node_p50_ms is not None:
        rows.append(baseline("of this, picture on its way and in queues, p50", answer_50 - node_p50_ms, "ms"))
    return rows
