"""A trained model becomes a bundle: graphs in both precisions, golden arrays, card; parity is proven on the way."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx

from hal_ros.core.arrays import ByteArray, FloatArray
from hal_ros.core.card import ModelCard
from hal_ros.core.errors import BackendError, CardError, ConfigError
from hal_ros.core.step import StepOutput
from hal_ros.export.half_precision import halved
from hal_ros.export.operators import check_graph
from hal_ros.export.parity import Parity, Reference, prove, prove_encoder
from hal_ros.export.to_onnx import StepGraph, export_step
from hal_ros.nn.cameras import numbered
from hal_ros.outside.progress import Progress, progress
from hal_ros.runtime.backend import open_backend
from hal_ros.runtime.bundle import (
    CARD,
    ENCODER,
    ENCODER_FP16,
    FILES,
    GOLDEN,
    STEP,
    STEP_FP16,
    WEIGHTS,
    Bundle,
    file_sha256,
    graph_files,
    load_bundle,
    read_card,
    save_card,
)
from hal_ros.runtime.golden import LIMITS, check_golden, gate, stream
from hal_ros.runtime.step_state import input_names

WEIGHTS_FORMAT = 1
PARTS = 8
"""Of what an export does: encoder, step and proof in two precisions, golden arrays checked in either."""
MARK = ".hal_ros-export"
"""What tells an export's unfinished folder from anybody else's."""


class Golden(NamedTuple):
    """Real inputs of N ticks, from which the reference outputs are made."""

    images: ByteArray  # (N, C, S, S, 3)
    image_valid: FloatArray  # (N, C)
    joints: FloatArray  # (N, V)
    joints_valid: FloatArray  # (N, V)


class EncoderPair(NamedTuple):
    """One image encoder in both precisions, taking pictures of the card's dtype."""

    fp32: onnx.ModelProto
    fp16: onnx.ModelProto | None  # None for a user's own, of which nobody knows what half precision does to it


@dataclass(frozen=True)
class Ingredients:
    """What a bundle is made of."""

    graph: StepGraph
    card: ModelCard  # its target and the encoder's dtype decide what the graphs are checked for
    encoders: EncoderPair | None  # None without cameras
    golden: Golden
    trained_on: Path | None = None  # whose features the model learned from, where it is another file than fp32's


class Proof(NamedTuple):
    """What was found on the way, by precision."""

    steps: dict[str, Parity]
    features: dict[str, float]  # largest difference from the encoder of training, in standard deviations, if any
    half_fault: str = ""  # why the half-precision graphs were left out, if they were
    own_fault: str = ""  # what TensorRT's parser might refuse in a user's own encoder, if anything


@dataclass(frozen=True)
class _Halved(Bundle):
    """The same bundle with its half-precision graphs in the places of the others, for back ends that know no half."""

    def path(self, name: str) -> Path:
        return super().path({ENCODER: ENCODER_FP16, STEP: STEP_FP16}.get(name, name))


def write_bundle(made_of: Ingredients, folder: Path, reference: bool = False) -> tuple[Bundle, Proof]:
    """Write a bundle folder; what stood there under the same names is replaced, once all is proven.

    With `reference` the weights go along for the torch back end. What the card says of the caches, the graph decides.
    Half-precision graphs that are too far off are left out, and the proof says why: they are for engines alone.
    Raises BackendError naming the file, and the node or tensor, that is not what it should be; that file then lies in
    `<folder>.unfinished`.
    """
    folder = folder.absolute()
    check_place(folder)
    unfinished = _unfinished(folder)
    unfinished.mkdir(parents=True, exist_ok=True)
    (unfinished / MARK).touch()
    _clear(unfinished)
    own_fault = _own_fault(made_of, folder)
    if reference:
        write_weights(made_of.graph, unfinished / WEIGHTS)
    with progress("export", PARTS) as shown:
        proof = _write_proven(made_of, unfinished, shown)
    return _put_in_place(unfinished, folder), proof._replace(own_fault=own_fault)


def _write_proven(made_of: Ingredients, folder: Path, shown: Progress) -> Proof:
    """Write graphs, golden arrays and card, each proven as soon as it is there."""
    card, proof = _as_the_graph_says(made_of.card, made_of.graph), Proof({}, {})
    work = _Work(made_of, folder, Reference(made_of.graph), shown, proof)
    _write_graphs("fp32", work)
    shown.begin("golden arrays")
    write_golden(save_card(card, folder), made_of.golden)
    check_golden(bundle := save_card(card, folder), open_backend(bundle, "onnxruntime")[0])
    try:
        _write_graphs("fp16", work)
        shown.begin("golden arrays in half precision")
        _check_half(save_card(card, folder))
    except BackendError as error:
        for name in (ENCODER_FP16, STEP_FP16):
            (folder / name).unlink(missing_ok=True)
        for found in (proof.steps, proof.features):
            found.pop("fp16", None)
        save_card(card, folder)
        return proof._replace(half_fault=str(error))
    return proof


def _own_fault(made_of: Ingredients, folder: Path) -> str:
    """Return why TensorRT might not take a user's own encoder; the project's must pass, and are checked as written."""
    if made_of.encoders is None or made_of.encoders.fp16 is not None:
        return ""
    try:
        check_graph(made_of.encoders.fp32, made_of.card.target, str(folder / ENCODER))
    except BackendError as error:
        return str(error)
    return ""


def _as_the_graph_says(card: ModelCard, graph: StepGraph) -> ModelCard:
    """Raise BackendError for a card of other cameras or values than the graph's."""
    config, told = graph.model.config, (len(card.streams.cameras), card.streams.value_count)
    if told != (config.eyes, config.joint_values):
        raise BackendError(
            f"the model takes {config.eyes} cameras and {config.joint_values} state values; the card says "
            f"{told[0]} and {told[1]}"
        )
    encoder = None if card.encoder is None else replace(card.encoder, feature_dim=graph.feature_dim)
    return replace(card, encoder=encoder, window_ticks=config.window_ticks, caches=graph.caches)


def check_place(folder: Path) -> None:
    """Refuse a bundle's folder where files of a bundle's names lie that no export wrote; ConfigError naming one.

    An older bundle's card says which files are its own. What has other names is neither touched nor minded.
    """
    folder = folder.absolute()
    unfinished = _unfinished(folder)
    if os.path.lexists(unfinished) and not (unfinished / MARK).is_file():
        raise ConfigError(f"{unfinished}: is there already, and no export left it; expected it to be moved away")
    known = _hashes(folder) | (_hashes(unfinished) if unfinished.is_dir() else set())  # a killed export moved some
    for name in FILES:
        path = folder / name
        if os.path.lexists(path) and not (path.is_file() and file_sha256(path) in known):
            raise ConfigError(f"{path}: is no file of the bundle there, or was changed; expected another --out")
    if os.path.lexists(folder / CARD):
        with suppress(CardError):
            read_card(folder)
            return
        raise ConfigError(f"{folder / CARD}: is no card of a bundle; expected another --out")


def _unfinished(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.unfinished")


def _hashes(folder: Path) -> set[str]:
    """Return the hashes of the files that a folder's card names; none where there is no card."""
    with suppress(CardError):
        return set(read_card(folder).files.values())
    return set()


def _put_in_place(unfinished: Path, folder: Path) -> Bundle:
    """Move the files over, the card last; until then the files are refused by whoever loads them with the old one."""
    check_place(folder)  # it took minutes
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if (unfinished / name).exists():
            (unfinished / name).replace(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)  # an older export's, which would be taken for this one's
    (unfinished / CARD).replace(folder / CARD)
    (unfinished / MARK).unlink(missing_ok=True)
    with suppress(OSError):
        unfinished.rmdir()
    return load_bundle(folder)


def _clear(folder: Path) -> None:
    for name in (CARD, *FILES):
        (folder / name).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Work:
    """What is written into a folder, what is found meanwhile, and who sees how far it is."""

    made_of: Ingredients
    folder: Path
    reference: Reference
    shown: Progress
    proof: Proof


def _write_graphs(precision: str, work: _Work) -> None:
    """Write encoder, if any, and step, and what was found: how far they are from those of training and of torch."""
    made_of, folder, proof = work.made_of, work.folder, work.proof
    graph, target = made_of.graph, made_of.card.target
    encoder, step = (folder / name for name in graph_files(precision))
    work.shown.begin(f"encoder, {precision}")
    if made_of.encoders is not None:
        model: onnx.ModelProto | None = getattr(made_of.encoders, precision)
        if model is None:
            raise BackendError("as there is none of the user's own encoder")
        if made_of.encoders.fp16 is not None:
            check_graph(model, target, str(encoder))
        encoder.write_bytes(model.SerializeToString(deterministic=True))
        images = made_of.golden.images
        pictures = images.reshape(-1, *images.shape[2:])
        proof.features[precision] = prove_encoder(made_of.trained_on or folder / ENCODER, encoder, pictures, precision)
    work.shown.begin(f"step, {precision}")
    export_step(graph if precision == "fp32" else halved(graph), step, target)
    work.shown.begin(f"proof of the step, {precision}")
    proof.steps[precision] = prove(graph, step, precision, work.reference)


def _check_half(bundle: Bundle) -> None:
    """Stream the golden inputs through the half-precision pair: real pictures give other features than random ones."""
    half = _Halved(bundle.card, bundle.folder, bundle.sha256)
    backend, single = (open_backend(each, "onnxruntime")[0] for each in (half, bundle))
    verdict = gate(bundle, backend, single, LIMITS["fp16"])
    if not verdict.holds:
        raise BackendError(f"{bundle.path(STEP_FP16)}: on golden inputs, {verdict.fault}")


def write_golden(bundle: Bundle, golden: Golden) -> None:
    """Run the inputs through the default back end and store them with its outputs."""
    backend, _ = open_backend(bundle, "onnxruntime")
    outputs = stream(backend, zip(*golden, strict=True))
    takes = input_names(len(bundle.card.streams.cameras), bundle.card.streams.value_count)
    names = ["images" if name == "feature" else name for name in takes]  # features are made from pictures
    arrays: dict[str, Any] = {**{name: getattr(golden, name) for name in names}, **_stacked(outputs)}
    np.savez_compressed(bundle.folder / GOLDEN, **arrays)


def _stacked(outputs: Sequence[StepOutput]) -> dict[str, FloatArray]:
    return {name: np.stack([getattr(o, name) for o in outputs]).astype(np.float32) for name in StepOutput._fields}


def write_weights(graph: StepGraph, path: Path) -> None:
    """Write what rebuilds eyes and model: `about`, JSON of their configurations, and the tensors eye/… and model/….

    The eyes of further cameras, of the same configuration, are eye_1/… and so on; without cameras there is none.
    Nothing in the file can run code; `numpy.load(path, allow_pickle=False)` reads it.
    """
    about: dict[str, Any] = {"format": WEIGHTS_FORMAT, "hal": graph.model.config.to_json()}
    if graph.eyes:
        about["eye"] = graph.eyes[0].config.to_json()
    parts = {numbered("eye", camera): eye.state_dict() for camera, eye in enumerate(graph.eyes)}
    parts["model"] = graph.model.state_dict()
    arrays: dict[str, Any] = {
        f"{part}/{name}": tensor.detach().cpu().numpy()
        for part, tensors in parts.items()
        for name, tensor in tensors.items()
    }
    np.savez(path, about=np.array(json.dumps(about)), **arrays)
