"""Every message that the files hold is read, or counted and told: in whatever layout, and whatever metadata say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bag_layouts import LAYOUTS, TYPES, Layout, make_messages, stored_counts
from hal_ros.bags.copying import copy_bag
from hal_ros.bags.reader import METADATA, BagMessage, BagNotes, raw_messages, read_messages, topic_types
from hal_ros.bags.storage.bag import is_complete


def read(bag: Path) -> tuple[list[BagMessage], BagNotes]:
    notes = BagNotes()
    return [message._replace(publish_ns=None) for message in read_messages(bag, notes=notes)], notes


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_as_many_messages_are_read_of_each_topic_as_are_stored(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    (tmp_path / "count").mkdir()
    bag = layout.write(tmp_path / "bag")
    before = {path: path.read_bytes() for path in bag.parent.rglob("*") if path.is_file()}
    stored = stored_counts(bag, tmp_path / "count")
    messages, notes = read(bag)
    assert Counter(message.topic for message in messages) == stored
    assert sum(stored.values()) >= len(make_messages()) if layout.complete else 0 < len(messages) < len(make_messages())
    assert Counter(message.topic for message in raw_messages(bag, BagNotes())) == stored
    assert topic_types(bag).items() >= {topic: TYPES[topic] for topic in stored}.items()
    assert (layout.told in str(notes)) if layout.told else str(notes) == ""
    if layout.complete and "-wal" not in layout.told:
        assert messages == make_messages()
    copied = BagNotes()
    copy_bag(bag, tmp_path / "copy.mcap", copied)
    assert str(copied) == str(notes)
    assert stored_counts(tmp_path / "copy.mcap", tmp_path / "count") == stored
    assert read(tmp_path / "copy.mcap") == (messages, BagNotes())
    assert {path: path.read_bytes() for path in bag.parent.rglob("*") if path.is_file()} == before
    described = bag.is_file() or (bag / METADATA).exists()
    assert is_complete(bag) == (described and not layout.told)
