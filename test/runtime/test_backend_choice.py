"""Which back end runs, and why: auto says what it passed over, and an explicit choice is opened or refused."""

from __future__ import annotations

import gc
import os
import pickle
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")

import fake_tensorrt
from colour_bundle import write_bundle
from fakes import COLOURS, picture
from hal_ros.core.errors import BackendError, CardError, ConfigError
from hal_ros.core.step import Backend, StepInput
from hal_ros.runtime.backend import BackendOptions, about, open_backend
from hal_ros.runtime.bundle import GOLDEN, Bundle, load_bundle, save_card
from hal_ros.tensorrt import building

FP32 = BackendOptions(precision="fp32")


class Heard:
    """What was said while a back end was opened."""

    def __init__(self, **options: Any) -> None:
        self.warnings: list[str] = []
        self.progress: list[str] = []
        told = {"precision": "fp32", "warn": self.warnings.append, "progress": self.progress.append}
        self.options = BackendOptions(**{**told, **options})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle and a cache with its engines, built once by the command that a user is told."""
    folder = tmp_path_factory.mktemp("made")
    bundle = write_bundle(folder / "bundle")
    with pytest.MonkeyPatch.context() as monkeypatch:
        fake_tensorrt.install(monkeypatch)
        monkeypatch.setenv("HAL_ROS_CACHE", str(folder / "cache"))
        subprocess.run(shlex.split(building.command_line(bundle, "fp32")), check=True)
    return folder


@pytest.fixture
def bundle(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """A bundle that the test may change, and an empty cache of engines."""
    shutil.copytree(made / "bundle", tmp_path / "bundle")
    monkeypatch.setenv("HAL_ROS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    return load_bundle(tmp_path / "bundle")


@pytest.fixture
def engines(bundle: Bundle, made: Path, tmp_path: Path) -> Path:
    """The cache, with the engines in it."""
    shutil.copytree(made / "cache", tmp_path / "cache")
    return tmp_path / "cache"


def names_colours(backend: Backend) -> bool:
    flags, there, state, named = np.ones(6, np.float32), np.ones(1, np.float32), backend.initial_state(), []
    for colour in COLOURS:
        output, state = backend.step(StepInput(backend.encode(picture(colour)), there, flags, flags), state)
        named.append(COLOURS[int(output.log_probs.argmax())])
    return named == list(COLOURS)


# --- auto -------------------------------------------------------------------------------------------------------------


def test_without_tensorrt_auto_takes_onnx_runtime_and_warns_of_nothing(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    heard = Heard()
    backend, reason = open_backend(bundle, "auto", heard.options)
    assert (backend.name, reason) == ("onnxruntime", "auto: TensorRT is not installed")
    assert heard.warnings == []


def test_auto_takes_engines_that_are_there(bundle: Bundle, engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tensorrt.install(monkeypatch)
    heard = Heard()
    backend, reason = open_backend(bundle, "auto", heard.options)
    assert backend.name == "tensorrt" and reason.startswith("auto: TensorRT has engines in fp32 of")
    assert names_colours(backend) and heard.warnings == []
    assert about(backend)["tensorrt"].startswith("10.3.0")


def test_auto_without_a_gpu_warns(bundle: Bundle, engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tensorrt.install(monkeypatch, no_device=True)
    heard = Heard()
    backend, reason = open_backend(bundle, "auto", heard.options)
    assert backend.name == "onnxruntime" and reason.startswith("auto: TensorRT can't be used here (")
    assert len(heard.warnings) == 1 and heard.warnings[0].startswith("TensorRT is installed but not used: ")
    assert "35" in reason  # what CUDA said


def test_auto_without_engines_warns_with_the_command(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tensorrt.install(monkeypatch)
    heard = Heard()
    backend, reason = open_backend(bundle, "auto", heard.options)
    assert backend.name == "onnxruntime" and names_colours(backend)
    assert (
        building.command_line(bundle, "fp32") in reason and building.command_line(bundle, "fp32") in heard.warnings[0]
    )


def test_auto_refuses_engines_of_another_version(
    bundle: Bundle, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tensorrt.install(monkeypatch, "10.13.3.9")
    backend, reason = open_backend(bundle, "auto", FP32)
    assert backend.name == "onnxruntime" and "10.13.3.9" in reason


def test_auto_refuses_damaged_engines(bundle: Bundle, engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = fake_tensorrt.install(monkeypatch)
    damage(engines)
    backend, reason = open_backend(bundle, "auto", FP32)
    assert backend.name == "onnxruntime" and "SHA-256" in reason
    assert not fakes.counts.get("deserialized")


def test_auto_refuses_engines_that_do_not_give_the_golden_outputs(
    bundle: Bundle, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tensorrt.install(monkeypatch)
    with np.load(bundle.path(GOLDEN)) as stored:
        arrays = dict(stored)
    arrays["log_probs"] = np.roll(arrays["log_probs"], 1, axis=1)
    np.savez(bundle.path(GOLDEN), **arrays)
    backend, reason = open_backend(save_card(bundle.card, bundle.folder), "auto", FP32)
    assert backend.name == "onnxruntime" and "tensorrt: differs from" in reason


def test_auto_lets_go_of_the_engines_that_it_passes_over(
    bundle: Bundle, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = fake_tensorrt.install(monkeypatch)
    in_use: list[int] = []

    def refuse(*_: Any) -> None:
        in_use.append(fakes.gpu.bytes_in_use())
        raise BackendError("tensorrt: differs")

    def open_onnx(self: Any, *_: Any) -> None:
        in_use.append(fakes.gpu.bytes_in_use())

    monkeypatch.setattr("hal_ros.runtime.backend.check_golden", refuse)
    monkeypatch.setattr("hal_ros.runtime.onnx_backend.OnnxBackend.__init__", open_onnx)
    gc.collect()
    gc.disable()
    try:
        open_backend(bundle, "auto", FP32)
    finally:
        gc.enable()
    judged, when_the_other_opens = in_use
    assert judged and not when_the_other_opens


def test_providers_mean_onnx_runtime(bundle: Bundle, engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tensorrt.install(monkeypatch)
    options = BackendOptions(precision="fp32", providers=("CPUExecutionProvider",))
    backend, reason = open_backend(bundle, "auto", options)
    assert (backend.name, reason) == ("onnxruntime", "auto: providers are given, and they are ONNX Runtime's")
    assert about(backend)["providers"] == "CPUExecutionProvider"


# --- explicit choices -------------------------------------------------------------------------------------------------


def test_chosen_engines_run(bundle: Bundle, engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tensorrt.install(monkeypatch)
    backend, reason = open_backend(bundle, "tensorrt", FP32)
    assert backend.name == "tensorrt" and reason.startswith("chosen by the user; engines in fp32 of")
    assert names_colours(backend)


def test_onnx_runtime_is_taken_where_engines_are_there(
    bundle: Bundle, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = fake_tensorrt.install(monkeypatch)
    backend, reason = open_backend(bundle, "onnxruntime", FP32)
    assert (backend.name, reason) == ("onnxruntime", "chosen by the user")
    assert not fakes.counts.get("deserialized")


def test_missing_engines_are_refused_with_the_command_that_makes_them(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tensorrt.install(monkeypatch)
    with pytest.raises(BackendError) as refused:
        open_backend(bundle, "tensorrt", FP32)
    _, _, command = str(refused.value).partition("build them with: ")
    subprocess.run(shlex.split(command), check=True)
    assert names_colours(open_backend(bundle, "tensorrt", FP32)[0])


def test_tensorrt_that_is_not_installed_is_refused(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendError, match="TensorRT can't be imported"):
        open_backend(bundle, "tensorrt", FP32)


def test_a_gpu_that_is_not_there_is_refused(bundle: Bundle, engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tensorrt.install(monkeypatch, no_device=True)
    with pytest.raises(BackendError, match="35"):
        open_backend(bundle, "tensorrt", FP32)


def test_damaged_engines_are_refused(bundle: Bundle, engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tensorrt.install(monkeypatch)
    damage(engines)
    with pytest.raises(BackendError, match=r"step\.plan: SHA-256"):
        open_backend(bundle, "tensorrt", FP32)


def test_a_bundle_without_graphs_in_half_precision_is_refused(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tensorrt.install(monkeypatch)
    with pytest.raises(CardError, match=r"names no file '.*fp16\.onnx'"):
        open_backend(bundle, "tensorrt", BackendOptions(precision="fp16"))


@pytest.mark.parametrize("choice", ["tensorrt", "torch"])
def test_providers_of_another_back_end_are_refused(bundle: Bundle, choice: str) -> None:
    with pytest.raises(ConfigError, match=f"providers are CPUExecutionProvider, but backend is {choice}"):
        open_backend(bundle, choice, BackendOptions(providers=("CPUExecutionProvider",)))


@pytest.mark.parametrize(
    ("choice", "options", "says"),
    [
        ("tensort", FP32, "backend 'tensort' is unknown; .*did you mean 'tensorrt'"),
        ("pytorch", FP32, "backend 'pytorch' is unknown; .*did you mean 'torch'"),
        ("auto", BackendOptions(precision="fp61"), "precision 'fp61' is unknown; .*did you mean 'fp16'"),
    ],
)
def test_a_typo_is_refused_with_the_nearest(bundle: Bundle, choice: str, options: BackendOptions, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        open_backend(bundle, choice, options)


# --- building on start ------------------------------------------------------------------------------------------------


def test_missing_engines_are_built_on_start_once(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tensorrt.install(monkeypatch)
    heard = Heard(build_on_start=True)
    backend, reason = open_backend(bundle, "auto", heard.options)
    assert backend.name == "tensorrt" and names_colours(backend)
    assert reason.startswith("auto: TensorRT has engines in fp32 of") and heard.warnings == []
    assert any("accepted" in line for line in heard.progress)
    again = Heard(build_on_start=True)
    assert open_backend(bundle, "tensorrt", again.options)[0].name == "tensorrt"
    assert again.progress == []


def test_damaged_engines_are_mended_on_start(bundle: Bundle, engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tensorrt.install(monkeypatch)
    damage(engines)
    heard = Heard(build_on_start=True)
    assert names_colours(open_backend(bundle, "tensorrt", heard.options)[0])
    assert "SHA-256" in heard.progress[0]


def test_a_crash_of_the_builder_is_told_and_auto_goes_on(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tensorrt.install(monkeypatch, build="segv")
    heard = Heard(build_on_start=True)
    with pytest.raises(BackendError, match=r"building engines failed with code 1: hal compile: .*; to try by hand: "):
        open_backend(bundle, "tensorrt", heard.options)
    backend, reason = open_backend(bundle, "auto", heard.options)
    assert backend.name == "onnxruntime" and "building engines failed" in reason and len(heard.warnings) == 1


def run(monkeypatch: pytest.MonkeyPatch, bundle: Bundle, program: str, cancelled: Any = lambda: False) -> list[str]:
    """Let `program` stand in for the builder."""
    monkeypatch.setattr(building, "_command", lambda *_: [sys.executable, "-c", program])
    lines: list[str] = []
    building.build_engines(bundle, "fp32", lines.append, lambda: cancelled() or False)
    return lines


def test_what_the_builder_prints_is_handed_on(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import sys; print('one'); print(); print('two', file=sys.stderr, flush=True)"
    assert sorted(run(monkeypatch, bundle, program)) == ["one", "two"]


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("print('no space'); raise SystemExit(3)", "failed with code 3: no space; to try by hand"),
        ("raise SystemExit(1)", "failed with code 1: it said nothing"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL: it said nothing"),
    ],
)
def test_how_the_builder_ended_is_told(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, program: str, says: str
) -> None:
    with pytest.raises(BackendError, match=says):
        run(monkeypatch, bundle, program)


def test_a_cancelled_build_ends_with_all_that_it_started(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    # The grandchild ignores SIGTERM and holds the pipe open for as long as it lives.
    grandchild = f"import signal; signal.signal(15, signal.SIG_IGN); p = open({str(pipe)!r}, 'w'); p.write('x'); "
    grandchild += "p.flush(); print('started', flush=True); signal.pause()"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    monkeypatch.setattr(building, "GRACE_S", 0.5)
    monkeypatch.setattr(building, "_command", lambda *_: [sys.executable, "-c", child])
    lines: list[str] = []
    with pytest.raises(BackendError, match="cancelled"):
        building.build_engines(bundle, "fp32", lines.append, lambda: bool(lines))
    assert lines == ["started"]
    os.set_blocking(reader, True)
    assert os.read(reader, 10) == b"x" and os.read(reader, 10) == b""  # the end: nobody holds it
    os.close(reader)


def damage(cache: Path) -> None:
    """Change one bit of the step's engine."""
    (plan,) = cache.rglob("step.plan")
    content = bytearray(plan.read_bytes())
    content[-1] ^= 1
    plan.write_bytes(content)


def test_options_can_be_given_to_other_processes() -> None:
    assert pickle.loads(pickle.dumps(BackendOptions(threads=2))) == BackendOptions(threads=2)
