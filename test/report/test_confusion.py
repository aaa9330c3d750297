"""The confusion table as a picture."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np

from hal_ros.report.confusion import confusion_svg

COUNTS = np.array([[8, 2, 0, 0], [0, 0, 0, 0], [1, 0, 5, 4]])
ACTIONS = ("reach & <grasp>", "pour", "wipe")


def test_what_happened_has_a_row_and_what_was_answered_a_column() -> None:
    svg = confusion_svg(COUNTS, ACTIONS, "student")
    texts = [element.text for element in ET.fromstring(svg).iter() if element.tag.endswith("text")]
    assert texts[:3] == ["student", "reach & <grasp> (10)", "wipe (10)"]
    assert texts[3:7] == ["reach & <grasp>", "pour", "wipe", "no answer"]
    assert texts[7:] == ["80", "20", "10", "50", "40"], "shares of rows; nothing where there is nothing"
    assert svg.count("<rect") == 2 * 4


def test_the_picture_holds_all_of_it() -> None:
    names = tuple(f"a rather long name of an action {number}" for number in range(30))
    svg = confusion_svg(np.eye(30, 31, dtype=np.int64), names, "student")
    found = re.search(r'viewBox="0 0 (\d+) (\d+)"', svg)
    assert found is not None
    width, height = map(int, found.groups())
    ends = [(float(x) + 33, float(y) + 33) for x, y in re.findall(r'<rect x="([\d.]+)" y="([\d.]+)"', svg)]
    assert max(x for x, _ in ends) < width and max(y for _, y in ends) < height


def test_nothing_to_show_is_a_picture_too() -> None:
    assert "<rect" not in confusion_svg(np.zeros((3, 4), np.int64), ACTIONS, "student")
