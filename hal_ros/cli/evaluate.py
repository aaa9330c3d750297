"""`hal evaluate`: score a bundle beside the baselines, tick by tick, on splits that it was not trained on."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from hal_ros.bags.sensors import SensorTopics
from hal_ros.baselines import gripper_rule
from hal_ros.core.card import ModelCard
from hal_ros.core.errors import ConfigError, DatasetError
from hal_ros.core.segmenter import Segmenter
from hal_ros.datasets import episodes, features
from hal_ros.datasets.episodes import Episode
from hal_ros.experiments.rows import write_rows
from hal_ros.metrics import scores
from hal_ros.metrics.predictions import CONFIRMED, Prediction, from_labels, from_log_probs
from hal_ros.metrics.scores import Truth
from hal_ros.offline.episodes import CachedEncoder, features_by_picture, run_segmenter
from hal_ros.report import pictures
from hal_ros.report.table import results_table
from hal_ros.report.timeline import Timeline, standalone_svg
from hal_ros.runtime.backend import open_backend
from hal_ros.runtime.bundle import ENCODER, Bundle, load_bundle

RULE, LOGISTIC = "rule", "logistic"
TRAINING_SPLIT = "train"
FILE_WIDTH = 120
"""Columns of the tables where the output is no terminal."""


class Sample(NamedTuple):
    """One episode and its camera features (T, D)."""

    episode: Episode
    features: NDArray[np.floating]


Predict = Callable[[Sample], Prediction]
"""A system ready to run: what it says of one episode."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", type=Path, default=Path("models/tabletop"), help="bundle folder")
    parser.add_argument("--data", type=Path, default=Path("datasets/tabletop-v1"), help="folder of splits with bags")
    parser.add_argument(
        "--splits", nargs="+", default=["test", "unseen"], help="splits to score (default: test unseen)"
    )
    parser.add_argument("--cache", type=Path, default=Path("datasets/cache"), help="ingested episodes and features")
    parser.add_argument("--camera-topic", help="default: the usual one, or the only one in the bag")
    parser.add_argument("--joint-topic", help="likewise")
    parser.add_argument(
        "--baselines",
        nargs="*",
        choices=(RULE, LOGISTIC),
        default=[RULE, LOGISTIC],
        help="baselines trained and scored in the same run (logistic needs torch)",
    )
    parser.add_argument(
        "--encode", action="store_true", help="run the encoder on every picture, use no cached features"
    )
    parser.add_argument("--limit", type=int, help="score only the first N episodes of each split")
    parser.add_argument(
        "--results", type=Path, help="rows as JSON (default: docs/results/bundle-<model>.json; picture beside)"
    )


def run(args: argparse.Namespace) -> int:
    """Print one table a split, and write all rows and the timeline picture."""
    if args.limit is not None and args.limit < 1:
        raise ConfigError(f"--limit is {args.limit}; expected 1 or more")
    bundle = load_bundle(args.model)
    if LOGISTIC in args.baselines and importlib.util.find_spec("torch") is None:
        raise ConfigError("the logistic baseline needs torch, which is not installed; or choose --baselines rule")
    topics = SensorTopics(args.camera_topic, args.joint_topic)
    console = Console()
    if not console.is_terminal:
        console = Console(width=FILE_WIDTH)
    systems = [_segmenter(bundle, args.encode)]
    if args.baselines:
        training = _samples(args.data, TRAINING_SPLIT, bundle, topics, args.cache, None)
        systems += _baselines(args.baselines, list(training), bundle.card)
    rows, timelines = [], []
    for split in args.splits:
        samples = _samples(args.data, split, bundle, topics, args.cache, args.limit)
        split_rows, split_timelines = _score(split, samples, systems, bundle.card)
        rows += split_rows
        timelines += split_timelines
        console.print(results_table(split, split_rows))
    results = args.results or Path("docs/results") / f"bundle-{bundle.card.name}.json"
    write_rows(results, rows)
    picture = results.with_suffix(".svg")
    picture.write_text(standalone_svg(timelines, bundle.card.vocabulary), encoding="utf-8")
    console.print(f"rows: {results}   timelines: {picture}", soft_wrap=True)
    return 0


def _score(
    split: str, samples: Iterable[Sample], systems: Sequence[Predict], card: ModelCard
) -> tuple[list[scores.Row], list[Timeline]]:
    truths: list[Truth] = []
    said: list[list[Prediction]] = [[] for _ in systems]
    for sample in samples:
        episode = sample.episode
        assert episode.actions is not None  # _samples refuses others
        truths.append(Truth(episode.name, episode.stamp_ns, episode.actions))
        for system, predictions in zip(systems, said, strict=True):
            predictions.append(system(sample))
    rows = [row for predictions in said for row in scores.rows(split, truths, [predictions], card.period_ns)]
    timelines = []
    for title, index in zip(("median", "worst"), pictures.median_and_worst(truths, said[0], CONFIRMED), strict=True):
        accuracy = scores.frame_accuracy(truths[index], said[0][index].streams[CONFIRMED])
        heading = f"{split}, {title} episode: {truths[index].episode} (confirmed MoF {accuracy:.1f} %)"
        beneath = [predictions[index] for predictions in said]
        timelines.append(pictures.episode_timeline(heading, truths[index], beneath, card.period_ns, card.vocabulary))
    return rows, timelines


def _samples(
    data: Path, split: str, bundle: Bundle, topics: SensorTopics, cache: Path, limit: int | None
) -> Iterable[Sample]:
    """Yield a split's episodes, ingesting and encoding what the cache lacks."""
    bags = episodes.find_bags(data, split)[:limit]
    for bag in track(bags, description=f"{split:<12}", transient=True):
        folder = episodes.cached(bag, bundle.card, topics, cache)
        episode = episodes.load(folder)
        if episode.actions is None:
            raise DatasetError(f"{bag}: has no {episodes.ANNOTATION}; expected annotated episodes to score against")
        if bundle.card.image is None:
            yield Sample(episode, np.zeros((len(episode.stamp_ns), 1), np.float32))
        else:
            yield Sample(episode, features.load(features.cached(folder, bundle.path(ENCODER))))


def _segmenter(bundle: Bundle, encode: bool) -> Predict:
    backend, _ = open_backend(bundle, "onnxruntime")  # figures stay comparable, whatever else is here

    def predict(sample: Sample) -> Prediction:
        known = {} if encode else features_by_picture(sample.episode.images, sample.features)
        return run_segmenter(Segmenter(bundle.card, CachedEncoder(backend, known)), sample.episode)

    return predict


def _baselines(chosen: Sequence[str], training: Sequence[Sample], card: ModelCard) -> list[Predict]:
    found: list[Predict] = []
    if RULE in chosen and card.joints is not None:
        found.append(_gripper_rule(training, card.joints.names))
    if LOGISTIC in chosen:
        found.append(_logistic(training, card))
    return found


def _gripper_rule(training: Sequence[Sample], joint_names: Sequence[str]) -> Predict:
    recordings = [(e.joints, e.joints_valid, _actions(e)) for e, _ in training]
    rule = gripper_rule.train(recordings, gripper_rule.gripper_index(joint_names))

    def predict(sample: Sample) -> Prediction:
        episode = sample.episode
        labels = rule.predict(episode.joints, episode.joints_valid)
        return from_labels("gripper rule", "annotations", episode.stamp_ns, labels)

    return predict


def _logistic(training: Sequence[Sample], card: ModelCard) -> Predict:
    from hal_ros.baselines import logistic  # late: the only part that needs torch

    channels = _channels(card)

    def inputs(sample: Sample) -> NDArray[np.float32]:
        e = sample.episode
        return logistic.frame_inputs(sample.features, e.image_valid, e.joints, e.joints_valid, channels)

    labels = [_actions(sample.episode) for sample in training]
    model = logistic.train([inputs(sample) for sample in training], labels, len(card.vocabulary))

    def predict(sample: Sample) -> Prediction:
        log_probs = model.log_probs(inputs(sample))
        return from_log_probs("logistic", "annotations", sample.episode.stamp_ns, log_probs, card.decoder)

    return predict


def _channels(card: ModelCard) -> int:
    """Return how many numbers a cell of the feature map holds; all of them, if the encoder is not the project's own."""
    from hal_ros.nn.encoder import feature_shape  # late: it needs onnx

    if card.image is None:
        return 1
    rows, columns, channels = feature_shape(card.image.size_px)
    return channels if rows * columns * channels == card.feature_dim else card.feature_dim


def _actions(episode: Episode) -> NDArray[np.int64]:
    assert episode.actions is not None  # _samples refuses others
    return episode.actions
