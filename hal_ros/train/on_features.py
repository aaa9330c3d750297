"""Training on a folder of feature vectors in one of the field's layouts: labels, student, scores on its test clips.

There is no robot behind such vectors, so there is no bundle for the node: what comes out are the checkpoint, the
aligned labels and the predictions, one file a clip and one label a frame, as the layouts themselves have it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hal_ros.core.card import DecoderSpec
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.formats.layouts import Dataset, read_dataset, subsample, to_full_length
from hal_ros.datasets.hold_out import hold_out_every_nth
from hal_ros.labels.doubt_files import closing_lines, write_doubts
from hal_ros.labels.targets import Targets, load_targets
from hal_ros.metrics.answer_files import ClipAnswers
from hal_ros.metrics.decoded import score_clips, streams
from hal_ros.metrics.predictions import CONFIRMED
from hal_ros.metrics.scores import Row
from hal_ros.nn.hal import CausalHal
from hal_ros.train.chain import RunSettings, train_on_clips
from hal_ros.train.clips import AttendedClips, Columns, Data
from hal_ros.train.config import TRANSCRIPTS, TrainConfig
from hal_ros.train.decoding import best_of_each_kind, calibrated, fit_both_temperatures
from hal_ros.train.priors import fit_priors
from hal_ros.train.stages import settings_sha256
from hal_ros.train.student import answer

TRAIN, VALIDATION, TEST = "train", "val", "test"
ALIGNED, PREDICTIONS = "aligned", "predictions"


@dataclass(frozen=True)
class FeatureRun:
    """One run: what was read, and where its results go."""

    config: TrainConfig
    dataset: Dataset
    training: list[Clip]
    validation: list[Clip]
    folder: Path


@dataclass(frozen=True)
class FeaturePredictions:
    """What a trained student says of the test clips."""

    run: FeatureRun
    rows: list[Row]  # its scores
    labels: Mapping[str, Any]  # (T,) confirmed actions by clip

    def write_labels(self) -> None:
        """Write <run>/predictions/<clip>.txt, one action's name a frame."""
        _write_labels(self.run, PREDICTIONS, TEST, self.labels)


def train_on_features(config: TrainConfig, folder: Path | None = None) -> FeaturePredictions | None:
    """Train on the split's training clips, choose on held-out ones; returns what is said of test clips, if any."""
    return train_on(read_features(config, folder, config.supervision == TRANSCRIPTS))


def train_on(run: FeatureRun) -> FeaturePredictions | None:
    """Do what `train_on_features` does with what has been read."""
    config = run.config
    width, actions = run.training[0].inputs.shape[1], len(run.dataset.vocabulary)
    print(f"run {run.folder}: {len(run.training)} training, {len(run.validation)} held-out clips, {width} values")
    data = Data(actions, Columns(0, width), AttendedClips(run.training, {}), AttendedClips(run.validation, {}))
    trained = train_on_clips(RunSettings(config, run.folder), data)
    print(f"best epoch {trained.epoch + 1}: {trained.accuracy:.4f} of held-out ticks right (lagged head)")
    labels = load_targets(run.folder)
    write_doubts(run.folder, run.dataset.vocabulary, 1 / config.data.rate_hz)
    for line in closing_lines(run.folder):
        print(line)
    _write_labels(run, ALIGNED, TRAIN, {**labels.training, **labels.validation})
    test = [_at_rate(clip, config) for clip in run.dataset.subsets.get(TEST, ())]
    if not test:
        return None
    decoder, temperatures = _decoder(run, trained.model, labels)
    return _scored(run, [_answers(trained.model, clip, temperatures) for clip in test], decoder)


# --- what is read -----------------------------------------------------------------------------------------------------


def read_features(config: TrainConfig, folder: Path | None, derive_transcripts: bool) -> FeatureRun:
    """Read a split; what has no transcript gets that of its ground truth, if asked for."""
    data = config.data
    weak = config.supervision == TRANSCRIPTS
    dataset = read_dataset(Path(data.folder), data.split, data.layout, data.orientation, derive_transcripts)
    for note in dataset.notes:
        print(note)
    if weak and (bare := sum(not clip.transcript for clip in dataset.subsets[TRAIN])):
        print(f"{bare} training clips without a transcript are left out")
    training = [_at_rate(clip, config) for clip in dataset.subsets[TRAIN] if clip.transcript or not weak]
    validation = [_at_rate(clip, config) for clip in dataset.subsets.get(VALIDATION, ()) if clip.transcript or not weak]
    if not validation:
        training, validation = hold_out_every_nth(training, data.validation)
    return FeatureRun(config, dataset, training, validation, folder or _run_folder(config, [*training, *validation]))


def _at_rate(clip: Clip, config: TrainConfig) -> Clip:
    return subsample(clip, config.data.stride)


def _run_folder(config: TrainConfig, clips: Sequence[Clip]) -> Path:
    """Return runs/<name>-<hash>, of the settings and of every clip's length, first and last values."""
    digest = hashlib.sha256(settings_sha256(config).encode())
    for clip in clips:
        digest.update(f"{clip.name} {clip.inputs.shape} {clip.transcript}".encode())
        digest.update(clip.inputs[:1].tobytes() + clip.inputs[-1:].tobytes())
    return Path("runs") / f"{config.name}-{digest.hexdigest()[:8]}"


# --- what is said -----------------------------------------------------------------------------------------------------


def _decoder(run: FeatureRun, model: CausalHal, labels: Targets) -> tuple[DecoderSpec, tuple[float, float]]:
    """Return the decoder and the temperatures that the held-out clips choose."""
    lag_ticks, held_out = run.config.data.lag_ticks, run.validation
    answers = [answer(model, clip) for clip in held_out]
    right = [labels.validation[clip.name] for clip in held_out]
    temperatures = fit_both_temperatures(answers, right, lag_ticks)
    training_targets, orders = [labels.training[c.name] for c in run.training], [c.transcript for c in run.training]
    priors = fit_priors(training_targets, orders, model.config.actions)
    answers = [calibrated(one, temperatures) for one in answers]
    kind, orders = run.config.decoder, [clip.transcript for clip in held_out]
    chosen = best_of_each_kind(answers, right, orders, lag_ticks, (kind,), priors)[kind]
    print(f"on the held-out clips: {chosen}")
    return chosen.decoder, temperatures


def _answers(model: CausalHal, clip: Clip, temperatures: tuple[float, float]) -> ClipAnswers:
    decoded = calibrated(answer(model, clip), temperatures)
    nothing = np.zeros(0, np.int64)
    return ClipAnswers(clip.name, clip.actions, nothing, clip.transcript, *vars(decoded).values())


def _scored(run: FeatureRun, clips: Sequence[ClipAnswers], decoder: DecoderSpec) -> FeaturePredictions:
    """Decode the test clips' answers, and score them."""
    data = run.config.data
    period_ns = round(1e9 / data.rate_hz)
    decoded = [streams(clip, {CONFIRMED: decoder}, data.lag_ticks, period_ns) for clip in clips]
    rows = [
        Row(run.config.name, run.config.supervision, TEST, output, metric, value, None, 1)
        for output, metrics in score_clips(clips, decoded, period_ns).items()
        for metric, value in metrics.items()
    ]
    return FeaturePredictions(
        run, rows, {clip.name: one[CONFIRMED].labels for clip, one in zip(clips, decoded, strict=True)}
    )


def _write_labels(run: FeatureRun, kind: str, subset: str, labels: Mapping[str, Any]) -> None:
    """Write <run>/<kind>/<clip>.txt, one action's name a frame."""
    folder, vocabulary, stride = run.folder / kind, run.dataset.vocabulary, run.config.data.stride
    folder.mkdir(parents=True, exist_ok=True)
    subsets = (subset, VALIDATION) if subset == TRAIN else (subset,)
    for clip in (clip for name in subsets for clip in run.dataset.subsets.get(name, ())):
        if clip.name in labels:
            full = to_full_length(labels[clip.name], clip.ticks, stride, take="previous")
            text = "".join(f"{vocabulary[action]}\n" for action in full)
            (folder / f"{clip.name}.txt").write_text(text, encoding="utf-8")
    print(f"{folder}: {len(labels)} clips, one label a frame")
