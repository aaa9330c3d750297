"""`hal device` as a user calls it: on the stand-in, marked as such, and refusals in one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="onnx is not installed")

import fake_tensorrt
from colour_bundle import write_bundle
from hal_ros.cli import device, main
from hal_ros.runtime.bundle import ENCODER, ENCODER_FP16, STEP, STEP_FP16, save_card
from hal_ros.tensorrt.device_checks import CHECKS
from hal_ros.tensorrt.engine_cache import EngineCache

ROOT = Path(__file__).parents[2]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HAL_ROS_CACHE", str(tmp_path / "cache"))
    bundle = write_bundle(tmp_path / "models" / "colours")
    for source, copy in ((ENCODER, ENCODER_FP16), (STEP, STEP_FP16)):
        shutil.copy(bundle.folder / source, bundle.folder / copy)
    save_card(bundle.card, bundle.folder)
    return tmp_path / "models"


def test_the_stand_in_runs_all_of_it_and_says_what_it_is(models: Path, tmp_path: Path) -> None:
    """In processes as a user starts them: the stand-in reaches builders, judges and checks."""
    out = tmp_path / "results" / "device.json"
    command = [sys.executable, "-m", "hal_ros", "device", "--stand-in", "--models", str(models), "--out", str(out)]
    done = subprocess.run(
        [*command, "--ticks", "50"], cwd=ROOT, env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("on a stand-in, no GPU, in ") and last.endswith("; written to ~/results/device.json")
    block = json.loads(out.read_text())
    assert block["stand_in"] is True and block["device"]["name"] == "stand-in, not a GPU"
    assert [len(entry["rows"]) for entry in block["engines"]] == [1 + len(CHECKS)] * 2
    assert block["failed"] == block["skipped"] == [] and block["finished"]
    assert not EngineCache().root.exists()  # the user's own engines are left alone
    assert str(tmp_path) not in out.read_text()


def test_time_that_ran_out_has_a_code_of_its_own(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_tensorrt.install(monkeypatch)
    out = tmp_path / "device.json"
    assert main(["device", "--models", str(models), "--out", str(out), "--budget-s", "1"]) == 3
    assert "12 skipped (colours fp16 engines: not done within" in capsys.readouterr().out.splitlines()[-1]
    assert json.loads(out.read_text())["stand_in"] is True  # told by the process, not by the flag


def test_without_tensorrt_it_says_what_is_missing(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    out = tmp_path / "device.json"
    assert main(["device", "--models", str(models), "--out", str(out)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hal device: TensorRT can't be imported") and "pip install tensorrt-cu12" in line
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--budget-s", "0"], "--budget-s is 0.0; expected 1 or more"),
        (["--budget-s", "nan"], "--budget-s is nan; expected 1 or more"),
        (["--ticks", "0"], "--ticks is 0; expected 1 or more"),
        (["--models", "nowhere"], "nowhere: holds no bundle"),
        (["--out", "docs/results/device.json"], "where a GPU's results stand"),
    ],
)
def test_it_refuses_in_one_line(
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    fake_tensorrt.install(monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert main(["device", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hal device: ") and says in line
    assert not (tmp_path / "docs").exists() and not (tmp_path / "build").exists()


def test_a_stand_in_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(device, "FAKES", tmp_path / "fakes")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "fake_tensorrt", None)  # as if it were not to be found
    assert main(["device", "--stand-in"]) == 1
    assert "no stand-in (" in capsys.readouterr().err


def test_nothing_of_a_stand_in_lies_among_the_results() -> None:
    path = ROOT / device.RESULTS
    assert not path.exists() or json.loads(path.read_text())["stand_in"] is False
