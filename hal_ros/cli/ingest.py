"""`hal ingest`: bags become training episodes in the cache."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hal_ros.core.types import ModelCard
    from hal_ros.train.config import DataConfig, TrainConfig
    from hal_ros.train.stages import Material


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", type=Path, help="settings, e.g. config/train.yaml")
    parser.add_argument("--splits", nargs="+", default=["train", "validation"], help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
    """Ingest and encode what is not in the cache yet."""
    from hal_ros.train.config import load_config

    config = load_config(args.config)
    _, _, materials = ingest(config, args.splits)
    for split, material in zip(args.splits, materials, strict=True):
        ticks = sum(track.ticks for track in material.tracks)
        print(f"{split}: {len(material.folders)} episodes, {ticks} ticks, {material.sha256[:12]}")
    return 0


def ensure_episodes(data: DataConfig, splits: Sequence[str]) -> None:
    """Simulate the benchmark's episodes that are missing; a folder of another name is the user's own data."""
    from hal_ros.sim.benchmark import VERSION

    if Path(data.folder).name != VERSION:
        return
    from hal_ros.cli import sim

    parser = argparse.ArgumentParser()
    sim.add_arguments(parser)
    jobs = min(data.processes, sim.MAX_JOBS)
    sim.run(parser.parse_args(["--out", data.folder, "--jobs", str(jobs), "--splits", *splits]))


def ingest(config: TrainConfig, splits: Sequence[str]) -> tuple[ModelCard, Path, list[Material]]:
    """Return the drafted card, the encoder and each split's material."""
    from hal_ros.train import stages

    card = stages.draft_card(config)
    encoder = stages.ensure_encoder(config.data)
    return card, encoder, [stages.prepare(config.data, card, split, encoder) for split in splits]
