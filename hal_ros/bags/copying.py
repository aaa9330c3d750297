"""Writing a bag again: the one way that label, recover and whoever else copies messages go.

What is written lies aside until it is whole. Messages keep their bytes, times, order, encodings and schemas, and
attachments and metadata records come along; what can't be read is counted.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mcap.records import Attachment

from hal_ros.bags.storage.bag import BagNotes, metadata_records, profile_of, raw_messages, raw_topics
from hal_ros.bags.storage.parts import SUFFIXES
from hal_ros.bags.storage.stored import RawMessage
from hal_ros.bags.writer import BagWriter
from hal_ros.core.errors import BagError
from hal_ros.outside import outputs

UNFINISHED = ".unfinished-"


@dataclass(frozen=True)
class Changes:
    """What a copy has that its bag has not, and the other way round.

    `added` comes by time; `begin` is called with the time of the first message, before it is written.
    """

    without: Collection[str] = ()  # topics
    added: Iterable[RawMessage] = ()
    records: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # in place of those of the same names
    begin: Callable[[BagWriter, int], None] | None = None


class Copied(NamedTuple):
    """How many messages and attachments of a bag were written."""

    messages: int
    attachments: int


def copy_bag(bag: Path, out: Path, notes: BagNotes, changes: Changes | None = None) -> Copied:
    """Write all that a bag holds to `out`, one .mcap file or a new rosbag2 folder. Memory does not grow with the bag.

    Raises BagError when nothing of the bag can be read, or the new one not be written.
    """
    changes = changes or Changes()
    attachments = copied = 0
    begun = changes.begin is None
    with BagWriter(out, changes.records, profile=profile_of(bag)) as writer:
        for record in metadata_records(bag):
            if record.name not in changes.records:
                writer.add_record(record.name, record.metadata)
        for topic, form in raw_topics(bag).items():
            if topic not in changes.without:
                writer.copy_topic(topic, form)

        def attach(attachment: Attachment) -> None:
            nonlocal attachments
            writer.attach(attachment)
            attachments += 1

        kept = (one for one in raw_messages(bag, notes, attach=attach) if one.topic not in changes.without)
        # of equal times the bag's own message comes first: an answer follows its image
        for is_added, message in _merged(kept, changes.added):
            if changes.begin is not None and not begun:
                changes.begin(writer, message.receive_ns)
                begun = True
            writer.copy(message)
            copied += not is_added
    return Copied(copied, attachments)


def _merged(kept: Iterable[RawMessage], added: Iterable[RawMessage]) -> Iterator[tuple[bool, RawMessage]]:
    """Yield messages by time, and whether they were added."""
    return heapq.merge(_marked(kept, False), _marked(added, True), key=lambda pair: pair[1].receive_ns)


def _marked(messages: Iterable[RawMessage], is_added: bool) -> Iterator[tuple[bool, RawMessage]]:
    for message in messages:
        yield is_added, message


def beside(bag: Path, ending: str, suffix: str = "") -> Path:
    """Return where a new bag goes that nobody named: beside the old one, whose name it bears with another ending."""
    bag = bag.resolve() if bag.name in ("", "..") else bag
    name = bag.name
    if not bag.is_dir():
        name = next((name.removesuffix(one) for one in SUFFIXES if name.endswith(one) and name != one), name)
    return bag.with_name(f"{name}{ending}{suffix}")


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """Give a place beside `out` to write to, of its own for each call; it becomes `out` if all goes well, or goes.

    What killed calls left of the same name is removed. Raises BagError where `out` is there already or can't be made.
    """
    if out.exists() or out.is_symlink():
        raise BagError(f"{out}: exists; expected a new file or folder to write")
    with ExitStack() as stack:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(outputs.staging(out.parent, out.name + UNFINISHED))
        except OSError as error:
            raise BagError(f"{out}: can't be made ({error.strerror}); expected a new file or folder") from error
        try:
            yield folder / out.name
            if out.exists():
                raise BagError(f"{out}: exists by now; expected a new file or folder to write")
            (folder / out.name).rename(out)
        except OSError as error:
            raise BagError(f"{out}: can't be written ({error.strerror}); expected a new file or folder") from error
