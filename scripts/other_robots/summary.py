"""Open every bag of a dataset with `rosbags` and say what is in it: `python -m other_robots.summary FOLDER`.

With --sheet it draws, for the first episodes, four moments of each phase by each camera into FOLDER/EPISODE.png.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader

SHEETS = 4
MOMENTS = (0.15, 0.45, 0.75, 0.97)
GAP_PX = 3


class Topic(NamedTuple):
    """One topic of one bag: its type, how many messages, and receipt minus stamp (least and most, in ms)."""

    type_name: str
    messages: int
    late_ms: tuple[float, float]


class Episode(NamedTuple):
    """What one bag holds; segments are pairs of action and seconds."""

    name: str
    seconds: float
    megabytes: float
    topics: dict[str, Topic]
    segments: tuple[tuple[str, float], ...]


def read_episode(bag: Path) -> Episode:
    """Read all messages of a bag, each of them deserialised. Raises what rosbags raises for a bag that is broken."""
    found: dict[str, list[float]] = {}
    types = {}
    for topic, message, receive_ns in _messages(bag):
        types[topic] = message.__msgtype__
        found.setdefault(topic, []).append((receive_ns - stamp_ns(message)) / 1e6)
    entries = json.loads((bag / "annotation.json").read_text())["segments"]
    segments = tuple((each["action"], (each["end_ns"] - each["start_ns"]) / 1e9) for each in entries)
    topics = {
        topic: Topic(types[topic], len(late_ms), (min(late_ms), max(late_ms))) for topic, late_ms in found.items()
    }
    size = sum(path.stat().st_size for path in bag.iterdir())
    return Episode(bag.name, sum(seconds for _, seconds in segments), size / 1e6, topics, segments)


def _messages(bag: Path) -> Iterator[tuple[str, Any, int]]:
    with AnyReader([bag]) as reader:
        for connection, receive_ns, data in reader.messages():
            yield connection.topic, reader.deserialize(data, connection.msgtype), receive_ns


def stamp_ns(message: Any) -> int:
    """Return when a message's content was measured."""
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def describe(split: str, episodes: list[Episode]) -> list[str]:
    """Return lines about a split: totals, actions and topics."""
    counts = [len(episode.segments) for episode in episodes]
    seconds = [episode.seconds for episode in episodes]
    lines = [
        f"{split}: {len(episodes)} episodes, {sum(seconds):.0f} s ({min(seconds):.0f} to {max(seconds):.0f}), "
        f"{min(counts)} to {max(counts)} segments (mean {np.mean(counts):.1f}), "
        f"{sum(episode.megabytes for episode in episodes):.0f} MB"
    ]
    durations: dict[str, list[float]] = {}
    for episode in episodes:
        for action, length_s in episode.segments:
            durations.setdefault(action, []).append(length_s)
    for action, lengths in sorted(durations.items()):
        lines.append(f"  {action:16} {len(lengths):4} segments {sum(lengths):7.1f} s, each {np.mean(lengths):.1f} s")
    messages: Counter[str] = Counter()
    for episode in episodes:
        messages.update({topic: found.messages for topic, found in episode.topics.items()})
    for topic in sorted(messages):
        those = [episode for episode in episodes if topic in episode.topics]
        rate_hz = messages[topic] / sum(episode.seconds for episode in those)
        late_ms = [limit for episode in those for limit in episode.topics[topic].late_ms]
        lines.append(
            f"  {topic:36} {those[0].topics[topic].type_name:34} {rate_hz:6.1f} Hz in {len(those)} bags, "
            f"{min(late_ms):.1f} to {max(late_ms):.1f} ms late"
        )
    return lines


# --- contact sheets ---------------------------------------------------------------------------------------------------


def draw_sheet(bag: Path) -> NDArray[np.uint8]:
    """Return a picture with one row for each phase: a few moments by each camera."""
    pictures: dict[str, list[tuple[int, Any]]] = {}
    for topic, message, _ in _messages(bag):
        if "Image" in message.__msgtype__:
            pictures.setdefault(topic, []).append((stamp_ns(message), message))
    rows = []
    for segment in json.loads((bag / "annotation.json").read_text())["segments"]:
        row = []
        for _, shots in sorted(pictures.items()):
            stamps = np.array([stamp for stamp, _ in shots])
            for share in MOMENTS:
                moment = segment["start_ns"] + share * (segment["end_ns"] - segment["start_ns"])
                row.append(_bgr(shots[int(np.argmin(np.abs(stamps - moment)))][1]))
        rows.append(_beside(row, segment["action"]))
    return np.concatenate(rows)


def _bgr(message: Any) -> NDArray[np.uint8]:
    if "Compressed" in message.__msgtype__:
        return np.asarray(cv2.imdecode(message.data, cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(message.data.reshape(message.height, message.width, 3)[..., ::-1], np.uint8)


def _beside(pictures: list[NDArray[np.uint8]], title: str) -> NDArray[np.uint8]:
    height = max(len(picture) for picture in pictures)
    padded = [np.pad(each, ((0, height - len(each) + GAP_PX), (0, GAP_PX), (0, 0))) for each in pictures]
    row = np.ascontiguousarray(np.concatenate(padded, axis=1))
    cv2.putText(row, title, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 160, 255), 1, cv2.LINE_AA)
    return row


def main() -> None:
    """Print the summary of a dataset."""
    parser = argparse.ArgumentParser(prog="python -m other_robots.summary", description=__doc__)
    parser.add_argument("folder", type=Path, help="with one folder for each split")
    parser.add_argument("--sheet", action="store_true")
    args = parser.parse_args()
    for split in sorted(path for path in args.folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        bags = sorted(path.parent for path in split.glob("*/metadata.yaml"))
        if not bags:
            continue
        print("\n".join(describe(split.name, [read_episode(bag) for bag in bags])), flush=True)
        for bag in bags[:SHEETS] if args.sheet else ():
            cv2.imwrite(str(args.folder / f"{bag.name}.png"), draw_sheet(bag))


if __name__ == "__main__":
    main()
