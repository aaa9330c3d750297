"""A bundle beside baselines that are trained in the same run, scored tick by tick on splits that it never saw.

Or a finished run on feature vectors, scored by itself.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hal_ros.bags.inputs import AskedTopics
from hal_ros.baselines import episode_fit
from hal_ros.baselines.episode_fit import EncodedEpisode
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.arrays import FloatArray
from hal_ros.core.card import ModelCard
from hal_ros.core.errors import ConfigError, DatasetError
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.streams.columns import JointColumns, joints_of
from hal_ros.datasets import episodes, features
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.config import LEAVE_OUT, TRAINING
from hal_ros.datasets.formats.folds import fold_title, read_to_score, unlearned
from hal_ros.experiments.documents import confusion
from hal_ros.experiments.documents.rows import write_rows
from hal_ros.experiments.plan import NAMES
from hal_ros.metrics import scores
from hal_ros.metrics.confusion import count_confusions
from hal_ros.metrics.folds import FoldAnswers, ScoredFolds
from hal_ros.metrics.predictions import CONFIRMED, OutputStream, Prediction, from_labels, from_log_probs
from hal_ros.metrics.scores import Row, Truth, Unscored
from hal_ros.metrics.segmentation import Pair
from hal_ros.offline.episodes import CachedEncoder, features_by_picture, run_segmenter
from hal_ros.outside.progress import tracked
from hal_ros.report import pictures
from hal_ros.report.svg_files import write_svg
from hal_ros.report.timeline import Timeline, standalone_svg
from hal_ros.runtime.backend import open_backend
from hal_ros.runtime.bundle import ENCODER, Bundle, load_bundle

RULE, LOGISTIC = "rule", "logistic"
BASELINES = (RULE, LOGISTIC)
SUPERVISION = "annotations"
"""What the baselines learn from."""

DATASETS, CACHE = Path("datasets"), "cache"
BENCHMARK, HELD_OUT = DATASETS / "tabletop-v1", ("test", "unseen")
RESULTS = Path("runs/evaluation")
"""Where a bundle's rows and pictures go unless told otherwise."""

Predict = Callable[[EncodedEpisode], Prediction]
"""A system ready to run: what it says of one episode."""


@dataclass(frozen=True)
class EvaluationConfig:
    """What is scored, on which episodes, beside what."""

    model: Path  # bundle folder
    data: Path | None  # folder of splits with bags; None: that of datasets/ which the bundle was trained on
    cache: Path | None  # ingested episodes and features; None: the data set's own, or that of datasets/
    topics: AskedTopics
    baselines: Sequence[str]  # of BASELINES
    encode: bool  # run the encoder on every picture, use no cached features
    limit: int | None  # episodes of each split that are scored, the first ones; None: all
    results: Path | None  # rows as JSON, the picture beside; None: RESULTS/bundle-<model>.json


class Evaluation:
    """The systems, ready to be scored split by split; what was found so far."""

    def __init__(self, config: EvaluationConfig) -> None:
        """Open the bundle and train the baselines.

        Raises CardError, BackendError or DatasetError for what can't be read, ConfigError where torch is missing.
        """
        self.config, self.bundle = config, load_bundle(config.model)
        self.data = config.data or _usual_data(self.bundle)
        self.cache = config.cache or (self.data if (self.data / CACHE).is_dir() else DATASETS) / CACHE
        if LOGISTIC in config.baselines and importlib.util.find_spec("torch") is None:
            raise ConfigError("the logistic baseline needs torch, which is not installed; or choose --baselines rule")
        self.systems = [_segmenter(self.bundle, config.encode)]
        if config.baselines:
            training = list(self._load(TRAINING, None))
            self.systems += _baselines(config.baselines, training, self.bundle.card)
        self.confusions = count_confusions([], len(self.bundle.card.vocabulary))
        self.rows: list[Row] = []
        self.timelines: list[Timeline] = []

    def usual_splits(self) -> list[str]:
        """Return which of the splits that nobody learns from there are. Raises DatasetError where there is none."""
        found = [split for split in HELD_OUT if (self.data / split).is_dir()]
        if not found:
            raise DatasetError(f"{self.data}: has none of the splits {', '.join(HELD_OUT)}; expected one, or --splits")
        return found

    def score(self, split: str) -> list[Row]:
        """Run all systems on a split; returns its rows. Raises DatasetError for an episode without annotation."""
        card = self.bundle.card
        truths: list[Truth] = []
        by_system: list[list[Prediction]] = [[] for _ in self.systems]
        for encoded in self._load(split, self.config.limit):
            truths.append(Truth(encoded.episode.name, encoded.episode.stamp_ns, encoded.actions))
            for predict, predictions in zip(self.systems, by_system, strict=True):
                predictions.append(predict(encoded))
        rows = [row for predictions in by_system for row in scores.rows(split, truths, [predictions], card.period_ns)]
        said = (prediction.streams[CONFIRMED].labels for prediction in by_system[0])
        pairs = [Pair(truth.labels, labels) for truth, labels in zip(truths, said, strict=True)]
        self.confusions += count_confusions(pairs, len(card.vocabulary))
        self.rows += rows
        self.timelines += _timelines(split, truths, by_system, card)
        return rows

    def write(self) -> tuple[Path, Path]:
        """Write all rows and the picture of the timelines; returns both paths."""
        card = self.bundle.card
        results = self.config.results or RESULTS / f"bundle-{card.name}.json"
        write_rows(results, self.rows)
        picture = results.with_suffix(".svg")
        write_svg(picture, standalone_svg(self.timelines, card.vocabulary))
        place = results.with_name(f"{results.stem}-confusion.svg")
        confusion.draw(self.confusions, card.vocabulary, f"{card.name}, {CONFIRMED}", place)
        return results, picture

    def worst_pairs(self) -> list[str]:
        """Return lines on which action the bundle takes for which, over all splits that were scored."""
        return confusion.worst_lines(self.confusions, self.bundle.card.vocabulary)

    def _load(self, split: str, limit: int | None) -> Iterator[EncodedEpisode]:
        """Yield a split's episodes, ingesting and encoding what the cache lacks."""
        card, config = self.bundle.card, self.config
        cameras = tuple(card.streams.cameras)
        bags = episodes.find_bags(self.data, split)[:limit]
        for bag in tracked(bags, split, len(bags)):
            folder = episodes.cached(bag, card, config.topics, self.cache)
            episode = episodes.load(folder)
            if episode.actions is None:
                why = (
                    "to train baselines on; --baselines alone leaves these out"
                    if split == TRAINING
                    else "to score against"
                )
                raise DatasetError(f"{bag}: has no {episodes.ANNOTATION}; expected annotated episodes {why}")
            paths = features.cached(folder, self.bundle.path(ENCODER), cameras) if cameras else ()
            yield EncodedEpisode(episode, tuple(map(features.load, paths)))


def _usual_data(bundle: Bundle) -> Path:
    """Return the folder in datasets/ of the name that the card says, the benchmark where it says none.

    Raises DatasetError where it is not there: scores on another data set would look like those that were asked for.
    """
    name = bundle.card.trained_from.get("dataset", "")
    folder = DATASETS / name if name else BENCHMARK
    if not folder.is_dir():
        raise DatasetError(f"{folder}: is not there, and {bundle.card.name} was trained on it; expected --data FOLDER")
    return folder


@dataclass(frozen=True)
class FeatureEvaluation:
    """A finished run on features, scored on clips that it was not trained on."""

    run: Path
    data: Path | None  # a folder in one of the layouts; None: the run's own
    limit: int | None  # clips that are scored, the first ones; None: all

    def score(self, subset: str) -> ScoredFolds:
        """Answer and score the clips of a subset; of a folder without the run's split, all with a ground truth.

        Actions that the run does not know are counted, said, and scored as errors. Raises DatasetError for features of
        another width, and for what can't be read.
        """
        from hal_ros.train.on_features import load_feature_model, scored_folds

        model = load_feature_model(self.run)
        data = model.config.data
        if self.data is not None and self.data.resolve() != Path(data.folder).resolve():
            data = dataclasses.replace(data, folder=str(self.data), split=data.split.split(LEAVE_OUT)[-1])
        dataset, clips = read_to_score(data, subset)
        vocabulary = (*model.vocabulary, *(name for name in dataset.vocabulary if name not in model.vocabulary))
        ids = np.array([vocabulary.index(name) for name in dataset.vocabulary])
        clips = [_renamed(clip, ids, model.width) for clip in clips[: self.limit]]
        unknown = unlearned(clips, model.learned, lambda action: vocabulary[action])
        print(*filter(None, (*dataset.notes, unknown)), sep="\n")
        answers = [model.answer(clip) for clip in clips]
        outputs = [{name: _widened(said, len(vocabulary)) for name, said in model.outputs(a).items()} for a in answers]
        said = FoldAnswers(fold_title(model.config.data.split), model.config.seed, answers, outputs)
        parts = (dataset.background, dataset.unscored)
        unscored = Unscored(*(tuple(int(ids[action]) for action in part) for part in parts))
        return dataclasses.replace(scored_folds(model, [said], subset), vocabulary=vocabulary, unscored=unscored)

    def results(self, subset: str) -> Path:
        """Return where rows go unless it is said."""
        return self.run / f"{self.data.resolve().name if self.data else 'own'}-{subset}.json"


def _renamed(clip: Clip, ids: NDArray[np.int64], width: int) -> Clip:
    """Return a clip with the run's ids of its actions. Raises DatasetError for features of another width."""
    if clip.inputs.shape[1] != width:
        raise DatasetError(f"{clip.name}: {clip.inputs.shape[1]} values a frame; expected {width}, as the run learned")
    known = clip.actions != NO_ACTION
    actions = np.where(known, ids[np.where(known, clip.actions, 0)], NO_ACTION)
    return dataclasses.replace(clip, actions=actions, transcript=())


def _widened(said: OutputStream, actions: int) -> OutputStream:
    """Return an output that gives no chance to the actions that its system does not know."""
    if said.log_probs is None or said.log_probs.shape[1] == actions:
        return said
    never = np.full((len(said.log_probs), actions - said.log_probs.shape[1]), -np.inf, np.float32)
    return dataclasses.replace(said, log_probs=np.concatenate([said.log_probs, never], 1))


def _timelines(
    split: str, truths: Sequence[Truth], by_system: Sequence[Sequence[Prediction]], card: ModelCard
) -> list[Timeline]:
    """Return the split's median and worst episode by the bundle's confirmed answers, with those of all systems."""
    found, ours = [], by_system[0]
    for title, index in zip(("median", "worst"), pictures.median_and_worst(truths, ours, CONFIRMED), strict=True):
        accuracy = scores.frame_accuracy(truths[index], ours[index].streams[CONFIRMED])
        heading = f"{split}, {title} episode: {truths[index].episode} (confirmed MoF {accuracy:.1f} %)"
        shown = [predictions[index] for predictions in by_system]
        found.append(pictures.episode_timeline(heading, truths[index], shown, card.period_ns, card.vocabulary))
    return found


# --- systems ----------------------------------------------------------------------------------------------------------


def _segmenter(bundle: Bundle, encode: bool) -> Predict:
    backend, _ = open_backend(bundle, "onnxruntime")  # figures stay comparable, whatever else is here

    def predict(encoded: EncodedEpisode) -> Prediction:
        known: dict[bytes, FloatArray] = {}
        if not encode:
            for images, feature in zip(encoded.episode.images.values(), encoded.features, strict=True):
                known |= features_by_picture(images, feature)
        return run_segmenter(Segmenter(bundle.card, CachedEncoder(backend, known)), encoded.episode)

    return predict


def _baselines(chosen: Sequence[str], training: Sequence[EncodedEpisode], card: ModelCard) -> list[Predict]:
    found: list[Predict] = []
    joints = joints_of(card.streams)
    if RULE in chosen and joints.names:
        found.append(_rule(training, joints))
    if LOGISTIC in chosen:
        found.append(_logistic(training, card))
    return found


def _rule(training: Sequence[EncodedEpisode], joints: JointColumns) -> Predict:
    label = episode_fit.fit_rule(training, joints)
    return lambda encoded: from_labels(NAMES[RULE], SUPERVISION, encoded.episode.stamp_ns, label(encoded))


def _logistic(training: Sequence[EncodedEpisode], card: ModelCard) -> Predict:
    log_probs = episode_fit.fit_logistic(training, card)

    def predict(encoded: EncodedEpisode) -> Prediction:
        stamp_ns = encoded.episode.stamp_ns
        return from_log_probs(NAMES[LOGISTIC], SUPERVISION, stamp_ns, log_probs(encoded), card.decoder)

    return predict
