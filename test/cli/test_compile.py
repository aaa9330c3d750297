"""`hal compile` and `hal verify` as a user calls them, on a TensorRT that computes real numbers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")

import fake_tensorrt
from colour_bundle import write_bundle
from hal_ros.cli import main
from hal_ros.runtime.bundle import GOLDEN, load_bundle, save_card
from hal_ros.tensorrt import cudart
from hal_ros.tensorrt.engine_cache import EngineCache


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HAL_ROS_CACHE", str(tmp_path / "cache"))
    return write_bundle(tmp_path / "bundle").folder


def block(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What was printed, which must be JSON and nothing else."""
    said: dict[str, Any] = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    return said


def test_compile_says_what_it_does_and_verify_what_came_of_it(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_tensorrt.install(monkeypatch, "10.3.0")
    assert main(["compile", "--model", str(model), "--precision", "fp32", "--workspace-mib", "64"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Orin, TensorRT 10.3.0") and "encoder.onnx: building" in lines
    assert lines[-1].startswith("fp32: over 20 ticks log-probabilities differ") and "CUDA graphs on" in lines[-1]
    assert main(["verify", "--model", str(model), "--backend", "tensorrt", "--precision", "fp32", "--ticks", "3"]) == 0
    said = block(capsys)
    assert (said["backend"], said["precision"], said["accepted"]) == ("tensorrt", "fp32", True)
    assert " ~/cache/engines/" in said["reason"] and str(model.parent) not in json.dumps(said)
    assert said["device"]["name"] == "Orin" and said["versions"]["tensorrt"].startswith("10.3.0")
    assert said["parity"]["ticks"] == 20 and said["golden"] == "as stored"
    assert set(said["latency_ms"]["tick"]) == {"p50", "p95", "p99"}
    assert said["about"]["graphs"] == "on"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--workspace-mib", "0"], "--workspace-mib is 0; expected 1 or more"),
        (["--precision", "fp16"], "has no step.fp16.onnx; expected one, by `hal export`, or --precision fp32"),
        (["--model", "nowhere"], "nowhere/card.json: can't be read"),
    ],
)
def test_compile_refuses_in_one_line(
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    fake_tensorrt.install(monkeypatch)
    assert main(["compile", "--model", str(model), *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hal compile: ") and says in line


def test_without_tensorrt_compile_says_how_to_get_it(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)  # as if it were not installed
    assert main(["compile", "--model", str(model)]) == 1
    assert "TensorRT can't be imported" in capsys.readouterr().err


def test_verify_tells_nobodys_name(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither in paths of libraries nor in those of a damaged bundle; a home folder may be a link."""
    home = model.parent / "zoë"
    (home / "cuda" / "lib64").mkdir(parents=True)
    (home / "cuda" / "lib64" / "libcudart.so.12").touch()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("CUDA_HOME", str(home / "cuda"))
    fake_tensorrt.install(monkeypatch)
    opened = cudart._open

    def only_by_path(name: str, mode: int) -> Any:
        if "/" not in name:
            raise OSError(name)
        return opened(name, mode)

    monkeypatch.setattr(cudart, "_open", only_by_path)
    bundle = load_bundle(model.rename(home / "bundle"))
    chosen = ["--model", str(bundle.folder), "--precision", "fp32"]
    assert main(["compile", *chosen]) == 0
    capsys.readouterr()
    with np.load(bundle.path(GOLDEN)) as stored:
        arrays = dict(stored)
    np.savez(bundle.path(GOLDEN), **arrays | {"boundary": arrays["boundary"] + np.float32(0.5)})
    save_card(bundle.card, bundle.folder)
    assert main(["verify", *chosen, "--backend", "tensorrt", "--ticks", "3"]) == 1
    said = block(capsys)
    assert "zo" not in json.dumps(said, ensure_ascii=False)
    assert said["about"]["cuda"].startswith("~/cuda/lib64/libcudart.so.12, ")
    assert "~/bundle/golden.npz" in said["golden"]


def test_verify_needs_no_gpu(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--model", str(model), "--backend", "onnxruntime", "--ticks", "3"]) == 0
    said = block(capsys)
    assert (said["backend"], said["precision"], said["accepted"]) == ("onnxruntime", "fp32", True)
    assert said["versions"]["onnxruntime"] and "tensorrt" not in said["versions"]


def test_verify_fails_when_the_stored_outputs_are_others(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = load_bundle(model).card
    with np.load(model / GOLDEN) as stored:
        arrays = dict(stored)
    np.savez(model / GOLDEN, **arrays | {"boundary": arrays["boundary"] + np.float32(0.5)})
    save_card(card, model)
    assert main(["verify", "--model", str(model), "--backend", "onnxruntime", "--ticks", "3"]) == 1
    said = block(capsys)
    assert not said["accepted"] and "differs from" in said["golden"] and said["parity"]["fault"] == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--ticks", "0"], "--ticks is 0; expected 1 or more"),
        (["--backend", "tensort"], "did you mean 'tensorrt'?"),
        (["--backend", "tensorrt", "--precision", "fp32"], "hal_ros compile --model "),
    ],
)
def test_verify_refuses_in_one_line(
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    fake_tensorrt.install(monkeypatch)
    assert main(["verify", "--model", str(model), *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hal verify: ") and says in line
    assert not EngineCache().root.exists()
