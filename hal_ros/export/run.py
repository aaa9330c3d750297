"""From the folder of a finished run to a bundle, with temperatures and decoder chosen on the validation split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hal_ros.core.card import DecoderSpec, ModelCard
from hal_ros.core.errors import DatasetError
from hal_ros.core.streams.columns import groups_of
from hal_ros.datasets.config import TRAINING, VALIDATION, DataConfig, draft_card
from hal_ros.datasets.episodes import load
from hal_ros.export.bundle import EncoderPair, Golden, Ingredients, Proof, check_place, write_bundle
from hal_ros.export.to_onnx import StepGraph
from hal_ros.labels import targets as targets_file
from hal_ros.runtime.bundle import Bundle
from hal_ros.train import stages
from hal_ros.train.clips import attended_clips
from hal_ros.train.decoding import best_decoder, calibrate
from hal_ros.train.encoders import build
from hal_ros.train.mixture import decoder_kind
from hal_ros.train.priors import fit_priors
from hal_ros.train.stages import FinishedRun, PreparedSplit

GOLDEN_TICKS = 48


@dataclass(frozen=True)
class ExportOptions:
    """What a bundle is made for, and where it goes."""

    out: Path | None = None  # models/<name>
    target: str = "10"  # the oldest TensorRT that is to take the graphs, one of `runtime.bundle.TARGETS`
    caches: str = "shift"  # one of `runtime.bundle.CACHES`
    reference: bool = False  # add weights.npz, for the torch back end


def export_run(folder: Path, options: ExportOptions = ExportOptions()) -> Bundle:
    """Write the bundle of a run's best epoch. Raises BackendError when an ONNX graph differs from the model.

    Temperatures and decoder are chosen by the labels that lie in the run's folder, or else by the annotations.
    """
    if options.out is not None:
        check_place(options.out)
    run = stages.load_run(folder)
    graph = StepGraph(run.eyes, run.model, options.caches)  # refuses at once what could not be exported in the end
    out = options.out or Path("models") / run.config.name
    check_place(out)  # before the work
    card, trained_on, (training, validation) = stages.ingest(run.config, (TRAINING, VALIDATION))
    decoder = _choose(run, folder, training, validation)
    origin = stages.trained_from(run, folder, training, validation)
    card = replace(card, target=options.target, decoder=decoder, trained_from=origin)
    encoders = None
    if card.encoder is not None:
        dtype = "float32" if options.target == "8.6" else "uint8"
        card = replace(card, encoder=replace(card.encoder, dtype=dtype))
        encoders = _encoders(run.config.data, dtype)
    golden = _golden(validation.folders, card)
    bundle, proof = write_bundle(Ingredients(graph, card, encoders, golden, trained_on), out, options.reference)
    size_mb = sum(path.stat().st_size for path in out.iterdir()) / 1e6
    made_for = f"caches {options.caches}, for TensorRT {options.target} and later"
    print(f"{out}: {size_mb:.1f} MB, {bundle.sha256[:12]}, {made_for}")
    _tell(proof)
    return bundle


def _tell(proof: Proof) -> None:
    for precision, parity in proof.steps.items():
        print(
            f"{precision}: over {parity.ticks} ticks outputs differ from torch by at most {parity.output_error:.1e}, "
            f"state by {parity.state_error:.1e}, equal labels {parity.label_agreement:.1%}"
        )
        if precision in proof.features:
            print(f"{precision}: features differ by {proof.features[precision]:.1e} standard deviations")
    if proof.own_fault:
        print(f"WARNING: TensorRT may not take the encoder, ONNX Runtime does; {proof.own_fault}")
    if proof.half_fault:
        print(f"WARNING: without half-precision graphs, {proof.half_fault}; hal compile needs --precision fp32")


def _encoders(data: DataConfig, dtype: str) -> EncoderPair:
    single = build(data, dtype)
    assert single is not None
    return EncoderPair(single, build(data, dtype, half=True))


def _choose(run: FinishedRun, folder: Path, training: PreparedSplit, validation: PreparedSplit) -> DecoderSpec:
    """Fit the model's temperatures, in place, and return the best decoder of the validation clips."""
    groups = groups_of(draft_card(run.config.data).streams)
    clips = attended_clips(run.eyes, validation.encoded_clips, groups, Path(run.config.data.cache)).clips
    if (folder / targets_file.LABELS).exists():
        labels = targets_file.load_targets(folder)
    else:
        training_targets, held_out = (
            {t.name: t.actions for t in part.encoded_clips} for part in (training, validation)
        )
        labels = targets_file.Targets(training_targets, held_out, {})
    clips = [replace(clip, actions=labels.validation[clip.name]) for clip in clips if clip.name in labels.validation]
    encoded_clips = [encoded for encoded in training.encoded_clips if encoded.name in labels.training]
    found, orders = (
        [labels.training[encoded.name] for encoded in encoded_clips],
        [encoded.transcript for encoded in encoded_clips],
    )
    priors, lag_ticks = fit_priors(found, orders, run.model.config.actions), run.config.data.lag_ticks
    temperatures, answers = calibrate(run.model, clips, lag_ticks)
    actions, transcripts = [clip.actions for clip in clips], [clip.transcript for clip in clips]
    kind = decoder_kind(run.config, validation.encoded_clips)
    chosen = best_decoder(kind, answers, actions, transcripts, lag_ticks, priors)
    print(f"temperatures {temperatures[0]:.2f} and {temperatures[1]:.2f}; {chosen}")
    return chosen.decoder


def _golden(folders: Sequence[Path], card: ModelCard) -> Golden:
    """Take ticks of the first episode from its start: one without any picture, one without states.

    Of several cameras, each is also missing alone at one tick. Raises DatasetError for an episode without ticks.
    """
    episode, cameras = load(folders[0]), card.streams.cameras
    ticks = min(GOLDEN_TICKS, len(episode.stamp_ns))  # a short episode has fewer
    if not ticks:
        raise DatasetError(f"{folders[0]}: has no ticks; expected some to make golden arrays of")
    pictures = [episode.images[name][:ticks] for name in cameras]
    golden = Golden(
        images=np.stack(pictures, 1) if pictures else np.zeros((ticks, 0, 0, 0, 3), np.uint8),
        image_valid=episode.image_valid[:ticks].copy(),
        joints=episode.joints[:ticks].copy(),
        joints_valid=episode.joints_valid[:ticks].copy(),
    )
    golden.image_valid[ticks // 3] = 0
    for camera in range(len(cameras) if len(cameras) > 1 else 0):
        golden.image_valid[(ticks // 3 + 1 + camera) % ticks, camera] = 0
    golden.joints[ticks // 2] = golden.joints_valid[ticks // 2] = 0
    return golden
