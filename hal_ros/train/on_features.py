"""Training on a folder of feature vectors in one of the field's layouts: labels, student, scores on its test clips.

There is no robot behind such vectors, so there is no bundle for the node: what comes out are the checkpoint, the
aligned labels and the predictions, one file a clip and one label a frame, as the layouts themselves have it. A finished
run's folder answers new clips.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.card import DecoderSpec
from hal_ros.core.errors import DatasetError
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.formats.folds import TEST, TRAIN, VALIDATION, Fold, actions_of, fold_names, fold_title, read_fold
from hal_ros.datasets.formats.layout_features import ORIENTATIONS
from hal_ros.datasets.formats.layouts import to_full_length
from hal_ros.fit import checkpoint
from hal_ros.labels.doubt_files import closing_lines, write_doubts
from hal_ros.labels.targets import Targets, load_targets
from hal_ros.metrics.answer_files import ClipAnswers
from hal_ros.metrics.decoded import streams
from hal_ros.metrics.folds import FoldAnswers, ScoredFolds, fold_rows
from hal_ros.metrics.predictions import CONFIRMED, OutputStream
from hal_ros.metrics.scores import Row, RowKey, Unscored
from hal_ros.nn.hal import CausalHal, HalConfig
from hal_ros.nn.restoring import restored
from hal_ros.outside import outputs
from hal_ros.outside.reading import MIB, Expected, read_json, reading
from hal_ros.runtime import card_json
from hal_ros.train.chain import RunSettings, train_on_clips
from hal_ros.train.clips import AttendedClips, Columns, Data
from hal_ros.train.config import TrainConfig, config_from_saved
from hal_ros.train.decoding import best_decoder, calibrated, fit_both_temperatures
from hal_ros.train.mixture import agreement, decoder_kind
from hal_ros.train.priors import fit_priors
from hal_ros.train.stages import settings_sha256
from hal_ros.train.student import answer

ALIGNED, PREDICTIONS = "aligned", "predictions"
ABOUT = "features.json"
"""What a finished run knows beside its weights; the sign that a folder is one."""
FEATURE_RUN = Expected(DatasetError, "a finished run of `hal train` on features", 64 * MIB)


@dataclass(frozen=True)
class FeatureRun:
    """One run: what was read, and where its results go."""

    config: TrainConfig
    fold: Fold
    folder: Path


@dataclass(frozen=True)
class FeatureModel:
    """A finished run, ready to answer clips of its width."""

    config: TrainConfig
    vocabulary: tuple[str, ...]
    learned: tuple[int, ...]  # ids of the actions that training shows
    unscored: Unscored
    width: int  # D
    orientation: str  # of the files that it learned from
    decoder: DecoderSpec
    temperatures: tuple[float, float]
    model: CausalHal

    @property
    def period_ns(self) -> int:
        """Time between two ticks."""
        return round(1e9 / self.config.data.rate_hz)

    def answer(self, clip: Clip) -> ClipAnswers:
        """Return the calibrated answers to a clip at the rate of the ticks; DatasetError where they are no numbers."""
        said = answer(self.model, clip)
        if spoilt := int(np.isnan(said.log_probs).any(1).sum()):
            raise DatasetError(
                f"clip {clip.name}: the model gives no number at {spoilt} of {clip.ticks} ticks; expected finite "
                "weights, and features of the size that it learned from"
            )
        decoded = calibrated(said, self.temperatures)
        nothing = np.zeros(0, np.int64)
        return ClipAnswers(clip.name, clip.actions, nothing, clip.transcript, *vars(decoded).values())

    def outputs(self, answers: ClipAnswers) -> dict[str, OutputStream]:
        """Return the provisional and the confirmed output of one clip."""
        return streams(answers, {CONFIRMED: self.decoder}, self.config.data.lag_ticks, self.period_ns)

    def labels(self, features: NDArray[np.floating[Any]], name: str = "") -> list[str]:
        """Return one confirmed action's name for each frame of features (T, D) at their full rate."""
        stride = self.config.data.stride
        inputs = features[::stride]
        clip = Clip(name, inputs, np.zeros(len(inputs), np.int64), ())
        ticks = self.outputs(self.answer(clip))[CONFIRMED].labels
        full = to_full_length(ticks, len(features), stride, take="previous")
        return [self.vocabulary[action] for action in full.tolist()]


@dataclass(frozen=True)
class FeaturePredictions:
    """What a trained student says of the test clips."""

    run: FeatureRun
    model: FeatureModel
    said: FoldAnswers

    @property
    def scored(self) -> ScoredFolds:
        """How the test clips are scored."""
        return scored_folds(self.model, [self.said])

    @property
    def rows(self) -> list[Row]:
        """Its scores."""
        return [one.row for one in fold_rows(self.scored)]

    def write_labels(self) -> None:
        """Write <run>/predictions/<clip>.txt, one action's name a frame."""
        pairs = zip(self.said.clips, self.said.outputs, strict=True)
        _write_labels(self.run, PREDICTIONS, (TEST,), {clip.name: said[CONFIRMED].labels for clip, said in pairs})


def scored_folds(model: FeatureModel, folds: Sequence[FoldAnswers], split: str = TEST) -> ScoredFolds:
    """Return answers with what scores need to know of the model that gave them."""
    key = RowKey(model.config.name, model.config.supervision, split, "", "")
    return ScoredFolds(key, folds, model.vocabulary, model.period_ns, model.unscored)


def train_folds(config: TrainConfig, folder: Path | None = None) -> tuple[Path, list[FeaturePredictions]]:
    """Train on each split that the settings stand for; returns the folder of all, and what is said of test clips.

    One split alone is `train_on_features`. Of several, each has the run's folder that it has alone, or one in `folder`.
    """
    names = fold_names(config.data)
    found, places = [], []
    for name in names:
        one = dataclasses.replace(config, data=dataclasses.replace(config.data, split=name))
        if len(names) > 1:
            print(f"fold {fold_title(name)}")
        place = folder / re.sub(r"[^\w.-]+", "-", name) if folder and len(names) > 1 else folder
        run = read_features(one, place)
        places.append(run.folder)
        if predictions := train_on(run):
            found.append(predictions)
    if len(names) == 1:
        return places[0], found
    digest = hashlib.sha256("\n".join(str(place) for place in places).encode()).hexdigest()
    return folder or Path("runs") / f"{config.name}-folds-{digest[:8]}", found


def train_on_features(config: TrainConfig, folder: Path | None = None) -> FeaturePredictions | None:
    """Train on the split's training clips, choose on held-out ones; returns what is said of test clips, if any."""
    return train_on(read_features(config, folder))


def train_on(run: FeatureRun) -> FeaturePredictions | None:
    """Do what `train_on_features` does with what has been read; ConfigError where another call is at it."""
    with outputs.alone_in(run.folder):
        return _train_alone(run)


def _train_alone(run: FeatureRun) -> FeaturePredictions | None:
    config, fold = run.config, run.fold
    width, actions = fold.training[0].inputs.shape[1], len(fold.dataset.vocabulary)
    print(f"run {run.folder}: {len(fold.training)} training, {len(fold.validation)} held-out clips, {width} values")
    data = Data(actions, Columns(0, width), AttendedClips(fold.training, {}), AttendedClips(fold.validation, {}))
    settings = RunSettings(config, run.folder, vocabulary=fold.dataset.vocabulary)
    trained = train_on_clips(settings, data)
    print(f"best epoch {trained.epoch + 1}: {agreement(trained.accuracy, config.supervision, fold.validation)}")
    labels = load_targets(run.folder)
    write_doubts(run.folder, fold.dataset.vocabulary, 1 / config.data.rate_hz)
    for line in closing_lines(run.folder, is_bags=False):
        print(line)
    _write_labels(run, ALIGNED, (TRAIN, VALIDATION), {**labels.training, **labels.validation})
    model = _finished(run, trained.model, labels)
    if not fold.test:
        return None
    answers = [model.answer(clip) for clip in fold.test]
    said = FoldAnswers(fold_title(config.data.split), config.seed, answers, [model.outputs(one) for one in answers])
    return FeaturePredictions(run, model, said)


# --- what is read -----------------------------------------------------------------------------------------------------


def read_features(config: TrainConfig, folder: Path | None, derive_transcripts: bool = False) -> FeatureRun:
    """Read a split; what has no transcript gets that of its ground truth, if asked for or learned from."""
    data = config.data
    fold = read_fold(data, config.supervision, derive_transcripts=derive_transcripts)
    for note in fold.notes:
        print(note)
    print(f"rate: {data.rate_hz:g} ticks a second, one in {data.stride} frames")
    if all(clip.ticks <= data.lag_ticks for clip in fold.validation):
        raise DatasetError(
            f"none of {len(fold.validation)} held-out clips is longer than the lag of {data.lag_ticks} ticks; expected "
            "one, or a smaller data.lag_ticks"
        )
    return FeatureRun(config, fold, folder or _run_folder(config, [*fold.training, *fold.validation]))


def _run_folder(config: TrainConfig, clips: Sequence[Clip]) -> Path:
    """Return runs/<name>-<hash>, of the settings and of every clip's length, first and last values."""
    digest = hashlib.sha256(settings_sha256(config).encode())
    for clip in clips:
        digest.update(f"{clip.name} {clip.inputs.shape} {clip.transcript}".encode())
        digest.update(clip.inputs[:1].tobytes() + clip.inputs[-1:].tobytes())
    return Path("runs") / f"{config.name}-{digest.hexdigest()[:8]}"


# --- a finished run ---------------------------------------------------------------------------------------------------


def _finished(run: FeatureRun, model: CausalHal, labels: Targets) -> FeatureModel:
    """Fit temperatures and decoder on the held-out clips, and write what makes the folder a finished run."""
    dataset = run.fold.dataset
    decoder, temperatures = _decoder(run, model, labels)
    known = FeatureModel(
        run.config,
        dataset.vocabulary,
        tuple(sorted({action for clip in run.fold.training for action in actions_of(clip)})),
        Unscored(dataset.background, dataset.unscored),
        dataset.subsets[TRAIN][0].inputs.shape[1],
        dataset.orientation,
        decoder,
        temperatures,
        model,
    )
    values = {field.name: getattr(known, field.name) for field in dataclasses.fields(known)}
    del values["config"], values["model"]  # both are in the checkpoint
    values |= {"unscored": known.unscored._asdict(), "decoder": dataclasses.asdict(decoder)}
    outputs.write_whole_text(run.folder / ABOUT, json.dumps(values, indent=1))
    return known


def load_feature_model(folder: Path) -> FeatureModel:
    """Read a finished run's folder. Raises DatasetError or CardError where it is none, or does not fit together."""
    path = folder / ABOUT
    about = card_json.read_part(read_json(path, FEATURE_RUN), _About, path)
    saved = checkpoint.load(folder)
    with reading(folder / checkpoint.FILE, checkpoint.CHECKPOINT):
        model = restored(CausalHal, HalConfig.from_json(saved.about["hal"]), saved.part("best"))
        config = config_from_saved(saved.about["config"])
    with reading(path, FEATURE_RUN):
        _check_about(about, model, config.data.lag_ticks, path)
    unscored, first, second = Unscored(**vars(about.unscored)), *about.temperatures
    known = (about.vocabulary, about.learned, unscored, about.width, about.orientation, about.decoder, (first, second))
    return FeatureModel(config, *known, model.eval())


@dataclass(frozen=True)
class _Ids:
    frames: tuple[int, ...]
    segments: tuple[int, ...]


@dataclass(frozen=True)
class _About:
    """What stands in features.json."""

    vocabulary: tuple[str, ...]
    learned: tuple[int, ...]
    unscored: _Ids
    width: int
    orientation: str
    decoder: DecoderSpec
    temperatures: tuple[float, ...]


def _check_about(about: _About, model: CausalHal, lag_ticks: int, path: Path) -> None:
    """Refuse what does not fit the model; ValueError or CardError for the first thing."""
    actions, names = model.config.actions, about.vocabulary
    card_json.check_decoder(about.decoder, actions, lag_ticks, path)
    ids = {*about.learned, *about.unscored.frames, *about.unscored.segments}
    plain = all(len(name.splitlines()) == 1 for name in names)
    for key, value, fits in (
        ("vocabulary", names, plain and len(names) == len(set(names)) == actions),
        ("learned and unscored", sorted(ids), ids <= set(range(actions))),
        ("width", about.width, about.width == model.config.joint_values),
        ("orientation", about.orientation, about.orientation in ORIENTATIONS),
        ("temperatures", about.temperatures, len(about.temperatures) == 2 and min(about.temperatures) > 0),
    ):
        if not fits:
            raise ValueError(f"{key} is {value}; expected what fits a model of {actions} actions")


def _decoder(run: FeatureRun, model: CausalHal, labels: Targets) -> tuple[DecoderSpec, tuple[float, float]]:
    """Return the decoder and the temperatures that the held-out clips choose."""
    lag_ticks, held_out = run.config.data.lag_ticks, [c for c in run.fold.validation if c.name in labels.validation]
    answers = [answer(model, clip) for clip in held_out]
    right = [labels.validation[clip.name] for clip in held_out]
    temperatures = fit_both_temperatures(answers, right, lag_ticks)
    training = run.fold.training
    training_targets, orders = [labels.training[c.name] for c in training], [c.transcript for c in training]
    priors = fit_priors(training_targets, orders, model.config.actions)
    answers = [calibrated(one, temperatures) for one in answers]
    kind, orders = decoder_kind(run.config, run.fold.validation), [clip.transcript for clip in held_out]
    chosen = best_decoder(kind, answers, right, orders, lag_ticks, priors)
    print(f"on the held-out clips: {chosen}")
    return chosen.decoder, temperatures


def _write_labels(run: FeatureRun, kind: str, subsets: Iterable[str], labels: Mapping[str, Any]) -> None:
    """Write <run>/<kind>/<clip>.txt, one action's name a frame."""
    folder, dataset, stride = run.folder / kind, run.fold.dataset, run.config.data.stride
    folder.mkdir(parents=True, exist_ok=True)
    for clip in (clip for name in subsets for clip in dataset.subsets.get(name, ())):
        if clip.name in labels:
            full = to_full_length(labels[clip.name], clip.ticks, stride, take="previous")
            text = "".join(f"{dataset.vocabulary[action]}\n" for action in full)
            outputs.write_whole_text(folder / f"{clip.name}.txt", text)
    print(f"{folder}: {len(labels)} clips, one label a frame")
