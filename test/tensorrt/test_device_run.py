"""A whole run over bundles and precisions: it keeps to its time, goes on after failures, and leaves what it knows."""

from __future__ import annotations

import contextlib
import importlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx", reason="onnx is not installed")

import fake_tensorrt
from colour_bundle import write_bundle
from hal_ros.core.errors import BackendError, CardError
from hal_ros.runtime.bundle import ENCODER, ENCODER_FP16, STEP, STEP_FP16, save_card
from hal_ros.tensorrt import child_process, device_run
from hal_ros.tensorrt.child_process import CrashError
from hal_ros.tensorrt.device_checks import CHECKS
from hal_ros.tensorrt.device_run import (
    PRECISIONS,
    Block,
    DeviceOptions,
    bundle_folders,
    driver_version,
    exit_code,
    run_device,
    summary,
)
from hal_ros.tensorrt.engine_cache import EngineCache

ROWS = ["engines", *CHECKS]
Install = Callable[..., fake_tensorrt.Fakes]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    return lambda **faults: fake_tensorrt.install(monkeypatch, **faults)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with one bundle that has graphs of both precisions."""
    bundle = write_bundle(tmp_path / "models" / "colours")
    for source, copy in ((ENCODER, ENCODER_FP16), (STEP, STEP_FP16)):
        shutil.copy(bundle.folder / source, bundle.folder / copy)
    save_card(bundle.card, bundle.folder)
    return tmp_path / "models"


@pytest.fixture
def in_here(monkeypatch: pytest.MonkeyPatch, in_one_process: None) -> None:
    """Do all that is done in processes of their own in this one."""

    def run(arguments: Sequence[str], log: Path, name: str, say: Callable[[str], None], every_s: float) -> float:
        module, *rest = arguments
        with log.open("w") as errors, contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors):
            code = importlib.import_module(module).main(rest)
        say("as it would after a while")
        child_process.check_end(code, log, name)
        return 0.0

    monkeypatch.setattr(device_run, "run_child", run)


def ran(models: Path, **options: Any) -> tuple[Block, list[str], list[Block]]:
    """Run; returns the block, what was said, and all that was handed on meanwhile."""
    said: list[str] = []
    kept: list[Block] = []
    cache = EngineCache(models.parent / "cache")
    chosen = DeviceOptions(**{"budget_s": 60.0, "ticks": 100, "cache": cache, **options})
    block = run_device(
        bundle_folders(models), chosen, said.append, lambda each: kept.append(json.loads(json.dumps(each)))
    )
    assert kept[-1] == json.loads(json.dumps(block, allow_nan=False))
    return block, said, kept


def verdicts(block: Block, precision: str) -> dict[str, bool | None]:
    (entry,) = [entry for entry in block["engines"] if entry["precision"] == precision]
    assert [each["check"] for each in entry["rows"]] == ROWS
    return {each["check"]: each["holds"] for each in entry["rows"]}


def test_sound_engines_hold_in_both_precisions(install: Install, in_here: None, models: Path) -> None:
    install()
    block, said, kept = ran(models)
    for precision in PRECISIONS:
        assert verdicts(block, precision) == dict.fromkeys(ROWS, True)
    assert (exit_code(block), block["failed"], block["skipped"], block["finished"]) == (0, [], [], True)
    assert block["device"]["name"] == "Orin" and block["device"]["compute_capability"] == "8.7"
    assert block["versions"]["tensorrt"].startswith("10.3.0") and not block["stand_in"]
    assert summary(block).startswith("on Orin, in ") and f"{2 * len(ROWS)} checks hold" in summary(block)
    # what is handed on grows by a row at a time, and says that it is not all
    assert [each["passed"] for each in kept] == [*range(2 * len(ROWS) + 1), 2 * len(ROWS)]
    assert not any(each["finished"] for each in kept[:-1]) and exit_code(kept[3]) == 3
    assert sum(line.startswith("colours fp16 ") for line in said) == len(ROWS)


def test_engines_are_built_once_unless_asked(install: Install, in_here: None, models: Path) -> None:
    fakes = install()
    assert ran(models)[0]["engines"][0]["rows"][0]["says"] == "built"
    assert ran(models)[0]["engines"][0]["rows"][0]["says"] == "were there"
    assert fakes.counts["builds"] == 4
    ran(models, fresh=True)
    assert fakes.counts["builds"] == 8


@pytest.mark.parametrize(("wrong", "right"), [PRECISIONS, PRECISIONS[::-1]])
def test_a_precision_that_fails_leaves_the_other(
    install: Install, in_here: None, models: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, right: str
) -> None:
    install()
    prove = importlib.import_module("hal_ros.tensorrt.prove_engine")
    gate = prove.gate

    def refuse(bundle: Any, backend: Any, reference: Any, limits: Any) -> Any:
        verdict = gate(bundle, backend, reference, limits)
        return type(verdict)(**{**vars(verdict), "fault": "far off"}) if backend.precision == wrong else verdict

    monkeypatch.setattr(prove, "gate", refuse)
    block, _, _ = ran(models)
    assert verdicts(block, right) == dict.fromkeys(ROWS, True)
    # rejected engines are checked all the same, to tell what is wrong with them; here nothing is
    assert verdicts(block, wrong) == dict.fromkeys(ROWS, True) | {"engines": False}
    assert exit_code(block) == 1 and len(block["failed"]) == 1 and "far off" in block["failed"][0]
    assert "1 FAILED (colours " in summary(block)


def test_rejected_engines_show_where_they_are_wrong(install: Install, in_here: None, models: Path) -> None:
    install(parity=0.1)
    block, _, _ = ran(models)
    for precision in PRECISIONS:
        found = verdicts(block, precision)
        assert (found["engines"], found["outputs"], found["latency"]) == (False, False, True)
    assert exit_code(block) == 1


def test_engines_that_can_not_be_built_leave_nothing_to_check(install: Install, in_here: None, models: Path) -> None:
    install(build="oom")
    block, _, _ = ran(models)
    for precision in PRECISIONS:
        assert verdicts(block, precision) == {**dict.fromkeys(ROWS), "engines": False}
    assert exit_code(block) == 1 and "too little memory" in block["failed"][0]
    assert block["skipped"][0] == "colours fp16 golden: there are no engines"


def test_without_time_everything_is_skipped_and_said_so(install: Install, in_here: None, models: Path) -> None:
    fakes = install()
    block, _, _ = ran(models, budget_s=1.0)  # less than between two looks at the clock
    assert fakes.counts.get("builds", 0) == 0 and exit_code(block) == 3
    assert verdicts(block, "fp16") == dict.fromkeys(ROWS)
    assert block["skipped"][0] == "colours fp16 engines: not done within the 1 s that were given"
    assert "12 skipped" in summary(block)


def test_a_builder_that_never_ends_is_ended_in_time(
    install: Install, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(build="wait")
    monkeypatch.setattr(device_run, "BUILD_EVERY_S", 0.25)
    started_s = time.monotonic()
    block, _, _ = ran(models, budget_s=3.0)
    assert time.monotonic() - started_s < 3.5
    assert exit_code(block) == 3 and block["failed"] == [] and block["wall_s"] < 3.5
    assert verdicts(block, "fp32") == dict.fromkeys(ROWS)


def test_checks_that_hang_are_ended_in_time(
    install: Install, in_here: None, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    monkeypatch.setattr(device_run, "run_child", child_process.run_child)
    monkeypatch.setattr(device_run, "GRACE_S", -60.0)
    monkeypatch.setattr(device_run, "CHECK_EVERY_S", 0.1)
    monkeypatch.setattr(sys, "executable", hanging_python(models.parent, "import signal; signal.pause()"))
    started_s = time.monotonic()
    block, _, _ = ran(models)
    assert time.monotonic() - started_s < 10.0
    assert verdicts(block, "fp16") == {**dict.fromkeys(ROWS), "engines": True} and exit_code(block) == 3


def hanging_python(folder: Path, program: str) -> str:
    """Return an interpreter that runs `program` whatever it is asked for."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\nexec {sys.executable} -S -c '{program}'\n")
    path.chmod(0o755)
    return str(path)


def test_a_check_that_ends_its_process_fails_and_those_before_it_stay(
    install: Install, in_here: None, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install()

    def crash(arguments: Sequence[str], *_: object) -> float:
        rows = [{"check": "golden", "holds": True, "seconds": 0.0, "says": "", "fault": "", "skipped": ""}]
        Path(arguments[4]).write_text(json.dumps({"rows": rows, "engine": {}}))
        raise CrashError("checks: crashed with SIGSEGV")

    monkeypatch.setattr(device_run, "run_child", crash)
    block, _, _ = ran(models)
    for precision in PRECISIONS:
        assert list(verdicts(block, precision).values()) == [True, True, False, None, None, None]
    assert block["failed"][0] == "colours fp16 outputs: checks: crashed with SIGSEGV"
    assert block["skipped"][0] == "colours fp16 state: the process of the checks had ended"


def test_a_damaged_bundle_leaves_the_others(install: Install, in_here: None, models: Path) -> None:
    install()
    (write_bundle(models / "broken").folder / STEP).write_bytes(b"")
    write_bundle(models / "wide")
    block, said, _ = ran(models)
    assert [(entry["bundle"], entry["precision"]) for entry in block["engines"]] == [
        ("broken", ""), ("colours", "fp16"), ("colours", "fp32"), ("wide", "fp32")
    ]  # fmt: skip
    assert len(block["failed"]) == 1 and block["failed"][0].startswith("broken bundle: ") and exit_code(block) == 1
    assert "wide: has no graphs in fp16, which are not checked" in said


def test_bundles_are_found(models: Path) -> None:
    assert bundle_folders(models) == [models / "colours"] == bundle_folders(models / "colours")
    with pytest.raises(CardError, match="holds no bundle; expected folders with a card"):
        bundle_folders(models / "nowhere")


def test_without_tensorrt_nothing_is_begun(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendError, match=r"TensorRT can't be imported .*; on a Jetson"):
        run_device([models / "colours"], DeviceOptions(), pytest.fail, lambda _: pytest.fail("something was written"))


def test_without_a_gpu_it_says_what_to_look_at(install: Install, models: Path) -> None:
    install(no_device=True)
    with pytest.raises(BackendError, match=r"CUDA error 35 .*; expected an NVIDIA GPU and its driver \(nvidia-smi"):
        run_device([models / "colours"], DeviceOptions(), pytest.fail, lambda _: pytest.fail("something was written"))


def test_the_drivers_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "version"
    assert driver_version(path) == ""
    path.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 2024\nGCC 12.2\n")
    assert driver_version(path) == "550.54.15"
