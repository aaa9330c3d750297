"""Stamp, sending and arrival of picture and label divide the latency without a rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hal_ros.bags.answer_messages import LABEL_TYPE
from hal_ros.bags.messages import header_message, serialise
from hal_ros.bags.sensors import IMAGE
from hal_ros.bags.writer import BagWriter
from hal_ros.bench.pictures.walk import walk_rows, walks
from hal_ros.sim.messages import image

MS = 1_000_000
START_NS = 1_700_000_000_000_000_000


def stamped(type_name: str, stamp_ns: int) -> bytes:
    """A message of which nothing but its stamp matters."""
    header = header_message(stamp_ns, "")
    return serialise(image(np.zeros((2, 2, 3), np.uint8), header) if type_name == IMAGE else header) + bytes(16)


def record(path: Path, labels_only: bool = False) -> Path:
    with BagWriter(path) as bag:
        for number in range(3):
            stamp_ns = START_NS + number * 100 * MS
            if not (labels_only or number == 2):
                bag.write("/image", IMAGE, stamped(IMAGE, stamp_ns), stamp_ns + 18 * MS, stamp_ns + 16 * MS)
            bag.write("/label", LABEL_TYPE, stamped(LABEL_TYPE, stamp_ns), stamp_ns + 25 * MS, stamp_ns + 24 * MS)
    return path


def test_the_shares_of_each_label_whose_picture_is_there(tmp_path: Path) -> None:
    found = walks(record(tmp_path / "run"))
    assert found == [pytest.approx((16.0, 8.0, 1.0))] * 2
    rows = {row.name: row.value for row in walk_rows(found, 5.0)}
    assert rows["of this, simulator, stamp to picture sent, p50"] == pytest.approx(16)
    assert rows["of this, picture on its way and in queues, p50"] == pytest.approx(3)
    assert "of this, picture on its way and in queues, p50" not in {row.name for row in walk_rows(found, None)}


def test_without_pictures_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert walk_rows(walks(record(tmp_path / "run", labels_only=True)), 5.0) == []
