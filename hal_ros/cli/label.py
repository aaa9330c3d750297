"""`hal label`: a bag again, with the labels and boundaries that the node would publish in it."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from hal_ros.cli import backends


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="an .mcap or .db3 file, or a rosbag2 folder")
    parser.add_argument(
        "--out", type=Path, help="a new .mcap file, or a new folder (default: BAG-labelled beside the bag)"
    )
    parser.add_argument("--replace", action="store_true", help="leave the answers out that are in the bag already")
    parser.add_argument("--camera-topic", help="camera topic (default: the usual one, or the only one)")
    parser.add_argument("--joint-topic", help="joint state topic (default: the usual one, or the only one)")
    backends.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Check, label, report."""
    from hal_ros.bags.sensors import SensorTopics
    from hal_ros.cli.replay import open_segmenter, summarise
    from hal_ros.core.errors import BagError
    from hal_ros.offline.labelling import answer_topics, label

    out = args.out or _beside(args.bag)
    if out.exists() or out.suffix == ".db3":
        raise BagError(f"{out}: {'exists' if out.exists() else 'is no MCAP'}; expected a new .mcap file or folder")
    held = answer_topics(args.bag)
    if held and not args.replace:
        raise BagError(f"{args.bag}: holds {', '.join(held)} already; expected none of them, or --replace")
    bundle, segmenter = open_segmenter(args)
    started = time.perf_counter()
    done = label(args.bag, out, bundle, segmenter, SensorTopics(args.camera_topic, args.joint_topic))
    print(f"{args.bag}: camera {done.topics.camera or 'not used'}, joints {done.topics.joints or 'none'}")
    if held:
        print(f"{args.bag}: {', '.join(held)} left out")
    if str(done.notes):
        print(f"{args.bag}: {done.notes}")
    summarise(done.answers, time.perf_counter() - started, done.counters)
    print(f"{out}: written, {done.copied} messages of the bag and the answers")
    return 0


def _beside(bag: Path) -> Path:
    """Return where the labelled bag goes that nobody named: of a lone MCAP file one file, else a folder."""
    bag = bag.resolve() if bag.name in ("", "..") else bag
    suffix = ".mcap" if bag.suffix == ".mcap" and not bag.is_dir() else ""
    return bag.with_name(f"{bag.stem if bag.is_file() else bag.name}-labelled{suffix}")
