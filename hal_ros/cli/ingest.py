"""`hal ingest`: bags become training episodes, those of a dataset folder or the user's own."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from hal_ros.core.errors import ConfigError
from hal_ros.datasets.look.asked import read_asked
from hal_ros.train.config import load_config

OWN = ("out", "config", "split", "groups", "copy", "partial", "replace", "marks", "unlabelled")
ASKED = ("camera", "state", "camera_topic", "joint_topic")
USAGE = """hal ingest CONFIG [--splits SPLIT ...]
       hal ingest BAG ... --transcripts DIR [--marks DIR] [--unlabelled] [--out FOLDER | --config CONFIG] [--copy]
           [--split SPLIT | --groups FILE] [--partial] [--replace]
           [--camera [NAME=]TOPIC ...] [--state NAME=TOPIC[:FIELD,...] ...]"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of both forms."""
    parser.usage = USAGE
    text = "settings, e.g. config/train.yaml; or bags: .mcap and .db3 files, rosbag2 folders, folders of them"
    parser.add_argument("sources", nargs="+", type=Path, metavar="CONFIG | BAG", help=text)
    parser.add_argument("--splits", nargs="+", help="with CONFIG: splits of its folder (default: train validation)")
    own = parser.add_argument_group("your own bags")
    own.add_argument("--transcripts", type=Path, metavar="DIR", help="folder with <bag name>.txt, one action a line")
    own.add_argument("--marks", type=Path, metavar="DIR", help="folder with <bag name>.csv, known moments of some bags")
    own.add_argument("--unlabelled", action="store_true", help="take bags without a transcript as well")
    own.add_argument("--out", type=Path, metavar="FOLDER", help="dataset to make or add to (default: datasets/mine)")
    own.add_argument("--config", type=Path, help="settings to follow (default: FOLDER/train.yaml, written if absent)")
    own.add_argument("--split", help="where the bags go (default: every fifth to validation, the others to train)")
    own.add_argument("--groups", type=Path, metavar="FILE", help="who is in which bag: groups are not split")
    text = "only the streams that are named are taken, the first camera is the clock (default: those that are likely)"
    for option, form in (("--camera", "[NAME=]TOPIC"), ("--state", "NAME=TOPIC[:FIELD,...]")):
        own.add_argument(option, action="append", default=[], metavar=form, help=text)
    own.add_argument("--camera-topic", default="", metavar="TOPIC", help="the one camera; states are found as without")
    own.add_argument("--joint-topic", default="", metavar="TOPIC", help="the joints; cameras are found as without")
    own.add_argument("--copy", action="store_true", help="copy the bags into the dataset instead of linking to them")
    own.add_argument("--partial", action="store_true", help="leave transcripts out that belong to no bag given")
    own.add_argument("--replace", action="store_true", help="put a bag in the place of another one of its name")


def run(args: argparse.Namespace) -> int:
    """Ingest what is not in the cache yet: of bags say what was done, or all problems and that nothing was."""
    if args.transcripts is None:
        return _ingest_config(args)
    if args.splits:
        raise ConfigError(f"--splits {' '.join(args.splits)}: is for settings; expected --split for bags")
    from hal_ros.datasets import build, plan, summary

    own = {name: getattr(args, name) for name in OWN if getattr(args, name) is not None}
    streams = read_asked(*(vars(args)[n] for n in ASKED))
    asked = plan.Request(tuple(args.sources), args.transcripts, **own, asked=streams)
    if asked.config is not None or asked.config_path.exists():
        asked = dataclasses.replace(asked, data=load_config(asked.config_path).data)
    planned = plan.plan(asked)
    built = planned if isinstance(planned, plan.Problems) else build.build(planned)
    if isinstance(built, plan.Problems):
        for line in (*built.lines, f"nothing was added to {built.out}"):
            print(f"hal ingest: {line}", file=sys.stderr)
        return 1
    print(*summary.summary(built), sep="\n")
    return 0


def _ingest_config(args: argparse.Namespace) -> int:
    if any(getattr(args, name) for name in (*OWN, *ASKED)):
        raise ConfigError("--transcripts is missing; expected the folder with <bag name>.txt for each bag")
    config_file, *more = args.sources
    if more or config_file.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"{config_file}: is no settings file; expected one .yaml, or bags with --transcripts DIR")
    config, splits = load_config(config_file), args.splits or ["train", "validation"]
    from hal_ros.train import stages  # late: a wrong setting is told without loading torch

    for split, (clips, folders, sha256) in zip(splits, stages.ingest(config, splits).prepared, strict=True):
        print(f"{split}: {len(folders)} episodes, {sum(clip.ticks for clip in clips)} ticks, {sha256[:12]}")
    return 0
