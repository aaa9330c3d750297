"""Finishing a recording that was killed or is damaged: index, summary and metadata.yaml are made anew."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from hal_ros.bags.copying import beside, copy_bag, whole
from hal_ros.bags.storage.bag import BagNotes, is_complete
from hal_ros.core.errors import BagError


class Recovered(NamedTuple):
    """What was written to `folder`, and in `notes` how much of the old bag could not be."""

    folder: Path
    messages: int
    attachments: int
    notes: BagNotes


def recover(path: Path, out: Path | None = None) -> Recovered | None:
    """Write a finished rosbag2 folder with all that a bag holds which is cut off or damaged; the old one stays.

    `path` is a file or folder as `read_messages` takes, of several parts too; `out` defaults to `<path>-recovered`
    beside it. Messages, attachments and metadata records stay as they were. Returns None when nothing is missing.
    Raises BagError when nothing can be read or the new bag not be written.
    """
    out = beside(path, "-recovered") if out is None else out
    if out.suffix == ".db3":
        raise BagError(f"{out}: is no MCAP; expected a new .mcap file or folder")
    if is_complete(path):
        return None
    notes = BagNotes()
    with whole(out) as unfinished:
        copied = copy_bag(path, unfinished, notes)
    if notes.cut_off:
        notes.cut_off = False
        notes.remarks.insert(0, "was cut off; what is behind the cut is lost")
    return Recovered(out, *copied, notes)
