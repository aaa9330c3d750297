"""`compile_bundle` on a TensorRT that computes real numbers: what passes is found, what fails never is."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")

from onnx import TensorProto, helper  # noqa: E402

import fake_tensorrt  # noqa: E402
from colour_bundle import write_bundle  # noqa: E402
from fake_cudart import FakeDevice  # noqa: E402
from fakes import JOINTS, make_card, make_streams  # noqa: E402
from hal_ros.core.card import EncoderSpec  # noqa: E402
from hal_ros.core.errors import BackendError, CardError  # noqa: E402
from hal_ros.core.streams.spec import StateSpec  # noqa: E402
from hal_ros.runtime.backend import open_backend  # noqa: E402
from hal_ros.runtime.bundle import (  # noqa: E402
    ENCODER,
    ENCODER_FP16,
    GOLDEN,
    STEP,
    STEP_FP16,
    Bundle,
    load_bundle,
    save_card,
)
from hal_ros.tensorrt import api as tensorrt_api  # noqa: E402
from hal_ros.tensorrt import compile as to_tensorrt  # noqa: E402
from hal_ros.tensorrt.compile import BuildOptions, compile_bundle  # noqa: E402
from hal_ros.tensorrt.cudart import load_cudart  # noqa: E402
from hal_ros.tensorrt.engine_cache import REJECTED, REPORT, STEP_PLAN, EngineCache, Engines, engine_key, find_engines  # noqa: E402
from memory_bundle import streams_of  # noqa: E402

ROOT = Path(__file__).parent.parent.parent
Install = Callable[..., fake_tensorrt.Fakes]


def with_half(bundle: Bundle) -> Bundle:
    """Add graphs in fp16: the state is half precision, all else is not."""
    folder = bundle.folder
    if bundle.card.encoder is not None:
        (folder / ENCODER_FP16).write_bytes((folder / ENCODER).read_bytes())
    model = onnx.load(folder / STEP)
    graph = model.graph
    for entry in (*graph.input, *graph.output):
        if entry.name in ("state_feature", "next_feature"):
            entry.type.tensor_type.elem_type = TensorProto.FLOAT16
    for node in graph.node:
        node.input[:] = ["wide" if name == "state_feature" else name for name in node.input]
        if node.output[0] == "next_feature":
            node.CopyFrom(helper.make_node("Cast", list(node.input), ["next_feature"], to=TensorProto.FLOAT16))
    graph.node.insert(0, helper.make_node("Cast", ["state_feature"], ["wide"], to=TensorProto.FLOAT))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, folder / STEP_FP16)
    return save_card(bundle.card, folder)


@pytest.fixture
def processes() -> None:
    """Ask for builders and judges in processes of their own; Python takes seconds to start in each."""


@pytest.fixture(autouse=True)
def without_children(request: pytest.FixtureRequest) -> None:
    if "processes" not in request.fixturenames:
        request.getfixturevalue("in_one_process")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return with_half(write_bundle(tmp_path / "bundle"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineCache:
    monkeypatch.setenv("HAL_ROS_CACHE", str(tmp_path / "cache"))
    return EngineCache()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    return lambda *version, **faults: fake_tensorrt.install(monkeypatch, *version, **faults)


class Said(list[str]):
    """The lines of one compilation."""

    @property
    def built(self) -> list[str]:
        """Which graphs were built."""
        return [line.partition(":")[0] for line in self if line.endswith(": building")]


def compiled(
    bundle: Bundle, cache: EngineCache, precision: str = "fp16", **options: Any
) -> tuple[Engines | None, Said, str]:
    """Compile; returns the engines, what was said, and the error if there was one."""
    said = Said()
    try:
        return compile_bundle(bundle, precision, cache, said.append, BuildOptions(**options)), said, ""
    except BackendError as error:
        (line,) = str(error).splitlines()
        return None, said, line


def found(bundle: Bundle, precision: str = "fp16") -> tuple[Engines | None, str]:
    """Look the engines up as the node does."""
    version = tensorrt_api.version(tensorrt_api.load())
    return find_engines(bundle, precision, load_cudart().device(), version)


def folders(cache: EngineCache) -> set[str]:
    """The names of all that lies in the cache, but for its lock and the builder's timings."""
    return {path.name for path in cache.root.iterdir() if path.name != ".lock" and path.suffix != ".cache"}


# --- what passes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "precision"), [*((version, "fp16") for version in fake_tensorrt.VERSIONS[1:]), ("10.3.0", "fp32")]
)
def test_what_passes_is_found(
    install: Install, bundle: Bundle, cache: EngineCache, version: str, precision: str
) -> None:
    install(version)
    assert found(bundle, precision)[0] is None
    engines, said, _ = compiled(bundle, cache, precision)
    assert engines is not None and engines == found(bundle, precision)[0]
    graphs = [ENCODER_FP16, STEP_FP16] if precision == "fp16" else [ENCODER, STEP]
    assert said.built == graphs and said[-1] == f"{precision}: accepted, {engines.folder}"
    assert folders(cache) == {engines.folder.name}
    assert len(list(cache.root.glob("*.cache"))) == 1  # the builder's timings


def test_the_report_says_what_was_found(install: Install, bundle: Bundle, cache: EngineCache) -> None:
    install("10.13.3.9", device=FakeDevice("AGX Orin"))
    engines, _, _ = compiled(bundle, cache)
    assert engines is not None
    report = json.loads((engines.folder / REPORT).read_bytes())
    assert report == engines.report
    assert (report["bundle"], report["precision"], report["workspace_mib"]) == ("colours", "fp16", 256)
    assert (report["device"]["name"], report["device"]["compute_capability"]) == ("AGX Orin", "8.7")
    assert report["versions"]["tensorrt"] == "10.13.3.9"
    assert (report["accepted"], report["fault"], report["graphs"]) == (True, "", True)
    assert report["parity"]["log_prob_error"] <= report["limits"]["log_probs"] == 0.05
    assert report["parity"]["ticks"] > 2 * bundle.card.window_ticks
    assert set(report["build_s"]) == {"encoder.plan", "step.plan"}
    assert set(report["latency_ms"]) == {"encode", "step", "tick"}
    assert all(0 < ms["p50"] <= ms["p95"] <= ms["p99"] for ms in report["latency_ms"].values())
    assert (engines.folder / "step.log").exists()


def test_what_is_there_is_not_built_again(install: Install, bundle: Bundle, cache: EngineCache) -> None:
    install()
    first, said, _ = compiled(bundle, cache)
    assert said.built == [ENCODER_FP16, STEP_FP16]
    second, said, _ = compiled(bundle, cache)
    assert second == first and said.built == []
    _, said, _ = compiled(bundle, cache, again=True)
    assert said.built == [ENCODER_FP16, STEP_FP16]


def test_another_workspace_for_engines_that_are_there_is_told(
    install: Install, bundle: Bundle, cache: EngineCache
) -> None:
    install()
    first, _, _ = compiled(bundle, cache, workspace_mib=64)
    changes: list[tuple[dict[str, Any], bool]] = [
        ({}, False),
        ({"workspace_mib": 64}, False),
        ({"workspace_mib": 128}, True),
    ]
    for options, says in changes:
        engines, said, _ = compiled(bundle, cache, **options)
        assert engines == first and said[-1].endswith("; built with 64 MiB, not 128; --again builds anew") is says
    again, _, _ = compiled(bundle, cache, workspace_mib=128, again=True)
    assert again is not None and again.report["workspace_mib"] == 128


def test_a_bundle_without_camera_has_one_engine(install: Install, tmp_path: Path, cache: EngineCache) -> None:
    install()
    card = make_card(streams=make_streams(camera=None), encoder=None)
    engines, said, error = compiled(with_half(write_bundle(tmp_path / "blind", card)), cache)
    assert said.built == [STEP_FP16] and error == ""
    assert engines is not None and engines.encoder is None
    assert set(engines.report["latency_ms"]) == {"step", "tick"}


@pytest.mark.parametrize("joints", [JOINTS, None])
def test_two_cameras_share_one_engine(
    install: Install, tmp_path: Path, cache: EngineCache, joints: StateSpec | None
) -> None:
    install()
    streams = replace(streams_of(2), states={} if joints is None else {"joints": joints})
    bundle = with_half(write_bundle(tmp_path / "two", make_card(streams=streams)))
    engines, said, error = compiled(bundle, cache)
    assert said.built == [ENCODER_FP16, STEP_FP16] and error == ""
    assert engines is not None and engines.report["parity"]["log_prob_error"] < 5e-2


@pytest.mark.parametrize("camera", [0, 1])
def test_golden_pictures_of_each_camera_count(
    install: Install, tmp_path: Path, cache: EngineCache, camera: int
) -> None:
    install()
    bundle = with_half(write_bundle(tmp_path / "two", make_card(streams=streams_of(2))))
    with np.load(bundle.path(GOLDEN)) as stored:
        arrays = dict(stored)
    arrays["images"][:, camera] = arrays["images"][::-1, camera]
    np.savez(bundle.path(GOLDEN), **arrays)
    assert "differs from" in compiled(save_card(bundle.card, bundle.folder), cache, "fp32")[2]


def test_after_an_upgrade_it_is_built_anew(install: Install, bundle: Bundle, cache: EngineCache) -> None:
    install("10.3.0")
    before, _, _ = compiled(bundle, cache)
    install("10.13.3.9")
    engines, why = found(bundle)
    assert engines is None and "was built for tensorrt 10.3.0.0, not 10.13.3.9" in why
    after, said, _ = compiled(bundle, cache)
    assert said.built == [ENCODER_FP16, STEP_FP16]
    assert before is not None and after is not None and folders(cache) == {before.folder.name, after.folder.name}


def test_what_the_builder_says_of_progress_is_handed_on(
    processes: None, install: Install, bundle: Bundle, cache: EngineCache
) -> None:
    install()
    _, said, _ = compiled(bundle, cache, every_s=0.01)
    assert any(line.startswith("step.fp16.onnx: 0 s") for line in said)
    assert found(bundle)[0] is not None


def test_the_oldest_version_takes_graphs_that_were_made_for_it(
    install: Install, tmp_path: Path, cache: EngineCache
) -> None:
    install("8.6.1")
    bundle = write_bundle(tmp_path / "bundle")
    assert "expected a bundle of `hal export --target 8.6`" in compiled(with_half(bundle), cache)[2]
    model = onnx.load(bundle.folder / ENCODER)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    onnx.save(model, bundle.folder / ENCODER)
    card = replace(bundle.card, encoder=EncoderSpec(3, "float32"), target="8.6")
    for name in ("10.3.0", "8.6.1"):
        install(name)
        engines, _, error = compiled(with_half(save_card(card, bundle.folder)), cache)
        assert engines is not None, error


# --- what fails -------------------------------------------------------------------------------------------------------


def test_fp32_follows_fp16_that_is_too_far(install: Install, bundle: Bundle, cache: EngineCache) -> None:
    install(parity=0.5, parity_precision="fp16")
    engines, said, _ = compiled(bundle, cache)
    assert engines is not None and engines.precision == "fp32"
    assert said.built == [ENCODER_FP16, STEP_FP16, ENCODER, STEP]
    (rejected,) = (cache.root / REJECTED).iterdir()
    report = json.loads((rejected / REPORT).read_bytes())
    assert not report["accepted"] and report["parity"]["log_prob_error"] == pytest.approx(0.5, abs=0.05)
    assert (rejected / STEP_PLAN).exists()
    again, why = found(bundle)
    assert again == engines and "fp16 failed its gate on this device; engines in fp32" in why
    # Later calls do not spend minutes on what is known to fail, unless told so.
    assert compiled(bundle, cache)[1].built == []
    install()
    engines, said, _ = compiled(bundle, cache, again=True)
    assert engines is not None and engines.precision == "fp16" and found(bundle)[0] == engines


def test_engines_that_are_all_too_far_are_refused(install: Install, bundle: Bundle, cache: EngineCache) -> None:
    install(parity=0.5)
    engines, _, error = compiled(bundle, cache)
    assert engines is None and found(bundle)[0] is None
    assert "fp16: rejected, log-probabilities differ by" in error and "; fp32: rejected, " in error
    assert folders(cache) == {REJECTED}


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        ({"build": "oom"}, "TensorRT can't build it: most likely too little memory"),
        ({"build": "none"}, "TensorRT can't build it: it does not say why"),
        ({"no_device": True}, "CUDA error 35"),
    ],
)
def test_a_build_that_fails_leaves_nothing(
    install: Install, bundle: Bundle, cache: EngineCache, faults: dict[str, Any], says: str
) -> None:
    install(**faults)
    engines, _, error = compiled(bundle, cache)
    assert engines is None and says in error
    assert not cache.root.exists() or folders(cache) == set()


def test_a_build_that_crashes_leaves_nothing(
    processes: None, install: Install, bundle: Bundle, cache: EngineCache
) -> None:
    install(build="segv")
    engines, _, error = compiled(bundle, cache)
    assert engines is None and "encoder.fp16.onnx: crashed with SIGSEGV" in error
    assert folders(cache) == set()


def test_an_engine_that_is_not_right_is_kept_aside(install: Install, bundle: Bundle, cache: EngineCache) -> None:
    install(static_noise=True)
    engines, _, error = compiled(bundle, cache)
    assert engines is None and "a second stream gave other bits than the first; " in error
    assert folders(cache) == {REJECTED} and found(bundle)[0] is None


def test_engines_that_the_node_would_refuse_are_kept_aside(
    install: Install, bundle: Bundle, cache: EngineCache
) -> None:
    install()
    with np.load(bundle.folder / GOLDEN) as stored:
        arrays = dict(stored)
    np.savez(bundle.folder / GOLDEN, **arrays | {"boundary": arrays["boundary"] + np.float32(0.04)})
    engines, _, error = compiled(save_card(bundle.card, bundle.folder), cache)
    assert engines is None and "fp16: rejected, differs from" in error and "golden.npz by 0.04 at tick 0" in error
    assert folders(cache) == {REJECTED}


def test_an_engine_that_crashes_is_kept_aside(
    processes: None, install: Install, bundle: Bundle, cache: EngineCache
) -> None:
    install(deserialize="segv")
    engines, _, error = compiled(bundle, cache, "fp32")
    assert engines is None and "fp32: rejected, engines: crashed with SIGSEGV" in error
    assert folders(cache) == {REJECTED}


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        ({"deserialize": "none"}, "engines: .*step.plan|engines: .*encoder.plan"),
        ({"fail_at": 40}, "engines: cudaStreamSynchronize: CUDA error 700"),
        ({"refuse_at": 60, "capture": "refuse"}, "engines: execute_async_v3: TensorRT refused"),
    ],
)
def test_judging_that_fails_is_no_verdict(
    install: Install, bundle: Bundle, cache: EngineCache, faults: dict[str, Any], says: str
) -> None:
    """Memory may be full for a moment: what was not seen to be wrong can be built once more."""
    install(**faults)
    engines, said, error = compiled(bundle, cache)
    assert engines is None and re.match(says, error)
    assert folders(cache) == set() and said.built == [ENCODER_FP16, STEP_FP16]
    install()
    assert "no engine of" in found(bundle)[1]
    engines, _, error = compiled(bundle, cache)
    assert engines is not None and engines.precision == "fp16", error


@pytest.mark.parametrize("reason", ["was killed, most likely too little memory", "the disk refuses"])
def test_a_judge_that_is_stopped_gives_no_verdict(
    install: Install, bundle: Bundle, cache: EngineCache, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    install()
    inner = to_tensorrt.run_child  # type: ignore[attr-defined]

    def stopped(arguments: Sequence[str], *rest: Any) -> float:
        if "prove_engine" in arguments[0]:
            raise BackendError(f"engines: {reason}")
        return inner(arguments, *rest)

    monkeypatch.setattr(to_tensorrt, "run_child", stopped)
    assert reason in compiled(bundle, cache)[2] and folders(cache) == set()


def test_without_graphs_an_engine_is_still_used(install: Install, bundle: Bundle, cache: EngineCache) -> None:
    install(capture="differ")
    engines, _, _ = compiled(bundle, cache)
    assert engines is not None and engines.report["graphs"] is False


def test_a_damaged_engine_is_built_again(install: Install, bundle: Bundle, cache: EngineCache) -> None:
    install()
    engines, _, _ = compiled(bundle, cache)
    assert engines is not None
    engines.step.write_bytes(engines.step.read_bytes()[:-1])
    with pytest.raises(BackendError, match=r"step\.plan: SHA-256"):
        found(bundle)
    mended, said, _ = compiled(bundle, cache)
    assert any("step.plan: SHA-256" in line for line in said)
    assert mended is not None and found(bundle)[0] == mended


def test_an_engine_of_another_device_never_reaches_tensorrt(
    install: Install, bundle: Bundle, cache: EngineCache
) -> None:
    install(device=FakeDevice("RTX 4090", compute_capability=(8, 9)))
    foreign, _, _ = compiled(bundle, cache)
    fakes = install()
    version = tensorrt_api.version(fakes.module)
    key = engine_key(bundle, "fp16", load_cudart().device(), version)
    assert foreign is not None
    foreign.folder.rename(cache.root / key.folder_name)  # as if it were this device's
    with pytest.raises(BackendError, match="device RTX 4090, not Orin"):
        open_backend(bundle, "tensorrt")
    assert fakes.counts.get("deserialized", 0) == 0
    assert compiled(bundle, cache)[0] is not None
    judged = fakes.counts["deserialized"]
    open_backend(bundle, "tensorrt")
    assert fakes.counts["deserialized"] == judged + 2


def test_damaged_timings_are_no_hindrance(install: Install, bundle: Bundle, cache: EngineCache) -> None:
    install()
    compiled(bundle, cache)
    (timings,) = cache.root.glob("*.cache")
    good = timings.read_bytes()
    timings.write_bytes(b"rubbish")
    assert compiled(bundle, cache, again=True)[0] is not None
    assert timings.read_bytes() == good


def test_the_graphs_of_another_bundle_find_nothing(install: Install, bundle: Bundle, cache: EngineCache) -> None:
    install()
    compiled(bundle, cache)
    model = onnx.load(bundle.folder / STEP_FP16)
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.float32(0.06), "sharpness"))
    onnx.save(model, bundle.folder / STEP_FP16)
    with pytest.raises(CardError, match="the file was changed"):
        load_bundle(bundle.folder)
    engines, why = found(save_card(bundle.card, bundle.folder))
    assert engines is None and "was built for step sha256" in why


@pytest.mark.parametrize(
    ("files", "precision", "says"),
    [
        ((ENCODER, STEP, GOLDEN), "fp16", "has no step.fp16.onnx; expected one, by `hal export`, or --precision fp32"),
        ((ENCODER, STEP), "fp32", "names no file 'golden.npz'"),
    ],
)
def test_what_a_bundle_lacks_is_told_before_building(
    install: Install, bundle: Bundle, cache: EngineCache, files: tuple[str, ...], precision: str, says: str
) -> None:
    install()
    with pytest.raises((BackendError, CardError), match=says):
        compile_bundle(save_card(bundle.card, bundle.folder, files), precision, cache, print)
    assert not cache.root.exists()


def test_newer_graphs_are_refused_by_an_older_version(install: Install, bundle: Bundle, cache: EngineCache) -> None:
    install("10.16.1.11")
    newer = save_card(replace(bundle.card, target="11"), bundle.folder)
    assert "was exported for TensorRT 11 or newer, here is 10.16.1.11; expected" in compiled(newer, cache)[2]
    install("11.4.0.106")
    assert compiled(newer, cache)[0] is not None


# --- several processes ------------------------------------------------------------------------------------------------

PROGRAM = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
runpy.run_module("hal_ros", run_name="__main__")
"""


def start(bundle: Bundle, largest_file: int = -1) -> subprocess.Popen[str]:
    """Start `hal compile` in a process that may write files of so many bytes."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(largest_file), "compile", "--model", str(bundle.folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_of_two_at_once_one_builds(install: Install, bundle: Bundle, cache: EngineCache) -> None:
    install()
    with start(bundle) as one, start(bundle) as other:
        outputs = [process.communicate()[0] for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0)
    assert sorted(output.count(": building") for output in outputs) == [0, 2]
    assert found(bundle)[0] is not None


def children_of(process: subprocess.Popen[str]) -> list[int]:
    """Return handles on the processes that it has started, as soon as there is one."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (children := listed.read_text().split()):
        assert process.poll() is None
    return [os.pidfd_open(int(child)) for child in children]


@pytest.mark.parametrize(
    ("faults", "lines"),
    [({"build": "wait"}, 2), ({"deserialize": "wait"}, 5)],  # just as the first builder starts; while it judges
)
def test_whenever_it_is_killed_nothing_half_made_is_found(
    install: Install, bundle: Bundle, cache: EngineCache, faults: dict[str, Any], lines: int
) -> None:
    install(**faults)
    with start(bundle) as process:
        assert process.stdout is not None
        heard = [process.stdout.readline() for _ in range(lines)]
        children = children_of(process)
        process.kill()
    assert heard[0].startswith("Orin, TensorRT 10.3.0")
    for child in children:
        assert select.select([child], [], [], 20)[0], "a builder goes on without its parent"
        os.close(child)
    install()
    assert found(bundle)[0] is None  # raises for what is damaged
    engines, _, error = compiled(bundle, cache)
    assert engines is not None, error
    assert folders(cache) == {engines.folder.name}


def test_a_full_disk_leaves_nothing(install: Install, bundle: Bundle, cache: EngineCache) -> None:
    install()
    process = start(bundle, largest_file=1000)
    _, said = process.communicate()
    assert process.returncode == 1
    assert len(said.splitlines()) == 1 and said.startswith("hal compile: ")
    assert folders(cache) == set()
    assert found(bundle)[0] is None


def test_a_file_in_place_of_the_cache_is_named(install: Install, bundle: Bundle, tmp_path: Path) -> None:
    install()
    (tmp_path / "file").write_text("")
    _, said, error = compiled(bundle, EngineCache(tmp_path / "file" / "engines"))
    assert said.built == []
    assert f"{tmp_path / 'file' / 'engines'}: engines can't be written there" in error
