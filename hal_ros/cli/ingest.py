"""`hal ingest`: bags become training episodes, those of a dataset folder or the user's own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hal_ros.core.card import ModelCard
    from hal_ros.train.config import TrainConfig
    from hal_ros.train.stages import Material

USAGE = """
       hal ingest CONFIG [--splits SPLIT ...]
       hal ingest BAG ... --transcripts DIR [--out FOLDER | --config CONFIG] [--split SPLIT] [--copy]
                          [--camera-topic TOPIC] [--joint-topic TOPIC] [--partial] [--replace]"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of both forms."""
    parser.usage = USAGE.lstrip("\n ")
    parser.add_argument(
        "sources",
        nargs="+",
        type=Path,
        metavar="CONFIG | BAG",
        help="settings, e.g. config/train.yaml; or bags: .mcap and .db3 files, rosbag2 folders, folders of them",
    )
    parser.add_argument("--splits", nargs="+", help="with CONFIG: splits of its folder (default: train validation)")
    own = parser.add_argument_group("your own bags")
    own.add_argument("--transcripts", type=Path, metavar="DIR", help="folder with <bag name>.txt, one action a line")
    own.add_argument("--out", type=Path, metavar="FOLDER", help="dataset to make or add to (default: datasets/mine)")
    own.add_argument("--config", type=Path, help="settings to follow (default: FOLDER/train.yaml, written if absent)")
    own.add_argument("--split", help="where the bags go (default: every fifth to validation, the others to train)")
    own.add_argument("--camera-topic", metavar="TOPIC", help="default: the usual one, or the only one")
    own.add_argument("--joint-topic", metavar="TOPIC", help="default: the usual one, or the only one")
    own.add_argument("--copy", action="store_true", help="copy the bags into the dataset instead of linking to them")
    own.add_argument("--partial", action="store_true", help="leave transcripts out that belong to no bag given")
    own.add_argument("--replace", action="store_true", help="put a bag in the place of another one of its name")


def run(args: argparse.Namespace) -> int:
    """Ingest what is not in the cache yet."""
    from hal_ros.core.errors import ConfigError

    if args.transcripts is not None:
        from hal_ros.datasets import build as own_bags

        if args.splits:
            raise ConfigError(f"--splits {' '.join(args.splits)}: is for settings; expected --split for bags")
        return own_bags.ingest(args)
    own = (args.out, args.config, args.split, args.camera_topic, args.joint_topic)
    if any(own) or args.copy or args.partial or args.replace:
        raise ConfigError("--transcripts is missing; expected the folder with <bag name>.txt for each bag")
    config_file, *more = args.sources
    if more or config_file.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"{config_file}: is no settings file; expected one .yaml, or bags with --transcripts DIR")
    return _ingest_config(config_file, args.splits or ["train", "validation"])


def _ingest_config(config_file: Path, splits: Sequence[str]) -> int:
    from hal_ros.train.config import load_config

    config = load_config(config_file)
    _, _, materials = ingest(config, splits)
    for split, material in zip(splits, materials, strict=True):
        ticks = sum(track.ticks for track in material.tracks)
        print(f"{split}: {len(material.folders)} episodes, {ticks} ticks, {material.sha256[:12]}")
    return 0


def ingest(config: TrainConfig, splits: Sequence[str]) -> tuple[ModelCard, Path, list[Material]]:
    """Return the drafted card, the encoder and each split's material."""
    from hal_ros.train import stages

    card = stages.draft_card(config)
    encoder = stages.ensure_encoder(config.data)
    return card, encoder, [stages.prepare(config.data, card, split, encoder) for split in splits]
