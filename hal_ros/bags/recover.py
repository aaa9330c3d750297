"""Finishing a recording whose process was killed: index, summary and metadata.yaml are made anew."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from hal_ros.bags.mcap_files import McapFile
from hal_ros.bags.writer import METADATA, BagWriter
from hal_ros.core.errors import BagError


class Recovered(NamedTuple):
    """What was written to `folder`, and how much of the old file could not be: damaged chunks, messages not in CDR."""

    folder: Path
    messages: int
    damaged: int
    skipped: int


def recover(path: Path, out: Path | None = None) -> Recovered | None:
    """Write a finished rosbag2 folder with all that a cut-off recording holds; the old file stays as it is.

    `path` is an .mcap file or the folder of one; `out` defaults to `<path>-recovered` beside it. Schemas, times,
    quality of service and metadata records are kept. Returns None when nothing is missing. Raises BagError when the
    file can't be read or the new one not written.
    """
    source = _cut_file(path)
    with McapFile(source) as file:
        if not file.cut_off and not file.damaged and (not path.is_dir() or (path / METADATA).exists()):
            return None
        out = path.with_name(f"{path.stem}-recovered") if out is None else out
        metadata = {record.name: record.metadata for record in file.metadata}
        messages = skipped = 0
        with BagWriter(out, metadata) as bag:
            for schema, channel, message in file.messages():
                if schema is None or channel.message_encoding != "cdr":
                    skipped += 1
                    continue
                if channel.topic not in bag.topics:
                    qos = channel.metadata.get("offered_qos_profiles", "")
                    bag.add_topic(channel.topic, schema.name, qos, schema.data.decode(errors="replace"))
                bag.write(channel.topic, schema.name, message.data, message.log_time, message.publish_time)
                messages += 1
        return Recovered(out, messages, file.damaged, skipped)


def _cut_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.mcap"))
    if len(files) != 1:
        raise BagError(f"{path}: holds {len(files)} .mcap files; expected one, or the path of a file")
    return files[0]
