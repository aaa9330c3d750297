"""The cache of engines: it gives back what was stored for exactly this device, and nothing else, whatever happened."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes import make_card
from hal_ros.core.errors import BackendError, CardError
from hal_ros.runtime.bundle import ENCODER, GOLDEN, STEP, STEP_FP16, Bundle, save_card
from hal_ros.tensorrt.cudart import Device
from hal_ros.tensorrt.engine_cache import (
    ENCODER_PLAN,
    KEPT,
    REPORT,
    SIDECAR,
    STEP_PLAN,
    EngineCache,
    EngineKey,
    cache_root,
    engine_key,
    find_engines,
)

ROOT = Path(__file__).parent.parent.parent
DEVICE = Device("Orin", (8, 7), 16, True, 12060, 12060, 8 << 30)
VERSION = "10.3.0.26"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle of graphs that nobody reads here."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name in ("encoder.onnx", "step.onnx", "encoder.fp16.onnx", "step.fp16.onnx", GOLDEN):
        (folder / name).write_text(name)
    return save_card(make_card(), folder)


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "cache" / "engines")


@pytest.fixture
def key(bundle: Bundle) -> EngineKey:
    return engine_key(bundle, "fp16", DEVICE, VERSION)


def store(cache: EngineCache, key: EngineKey, **report: Any) -> Path:
    """Store two plans of a few bytes; returns their folder."""
    with cache.building() as folder:
        fill(folder)
        return cache.store(key, folder, report).folder


def fill(folder: Path) -> None:
    (folder / ENCODER_PLAN).write_bytes(b"encoder")
    (folder / STEP_PLAN).write_bytes(b"step")


def names(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if path.name != ".lock"}


# --- the key ----------------------------------------------------------------------------------------------------------


def test_each_field_makes_another_key(key: EngineKey) -> None:
    others: dict[type, Any] = {str: "other", int: -1, bool: not key.integrated, tuple: ("other",)}
    changed = [
        replace(key, **{field.name: others[type(getattr(key, field.name))]}) for field in dataclasses.fields(EngineKey)
    ]
    assert len({key.digest, *(other.digest for other in changed)}) == 1 + len(changed)
    assert replace(key).digest == key.digest


@pytest.mark.parametrize(
    "change",
    [
        {"name": "AGX Orin"},
        {"compute_capability": (8, 9)},
        {"multiprocessors": 8},
        {"integrated": False},
        {"driver_version": 12080},
    ],
)
def test_another_device_has_another_key(bundle: Bundle, key: EngineKey, change: dict[str, Any]) -> None:
    assert engine_key(bundle, "fp16", replace(DEVICE, **change), VERSION).digest != key.digest
    # How much memory is left for it is no matter of the engine, nor which libcudart a process happens to have loaded.
    same = replace(DEVICE, memory_bytes=1, runtime_version=13000)
    assert engine_key(bundle, "fp16", same, VERSION).digest == key.digest


def test_changed_graphs_have_another_key(bundle: Bundle, key: EngineKey) -> None:
    for name in ("encoder.fp16.onnx", STEP_FP16):
        (bundle.folder / name).write_text("other")
        changed = engine_key(save_card(bundle.card, bundle.folder), "fp16", DEVICE, VERSION)
        assert changed.digest != key.digest
        (bundle.folder / name).write_text(name)
    (bundle.folder / STEP).write_text("other")  # of the other precision
    assert engine_key(save_card(bundle.card, bundle.folder), "fp16", DEVICE, VERSION).digest == key.digest


def test_a_bundle_without_half_precision_is_refused_by_name(bundle: Bundle) -> None:
    old = save_card(bundle.card, bundle.folder, (ENCODER, STEP, GOLDEN))
    with pytest.raises(CardError, match=r"names no file 'encoder\.fp16\.onnx'"):
        engine_key(old, "fp16", DEVICE, VERSION)
    assert engine_key(old, "fp32", DEVICE, VERSION).precision == "fp32"


def test_the_folder_is_the_users_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("HAL_ROS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_root() == tmp_path / "home" / ".cache" / "hal_ros" / "engines"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "xdg" / "hal_ros" / "engines"
    monkeypatch.setenv("HAL_ROS_CACHE", str(tmp_path / "own"))
    assert cache_root() == tmp_path / "own" / "engines"


# --- finding ----------------------------------------------------------------------------------------------------------


def test_what_was_stored_is_found(cache: EngineCache, key: EngineKey) -> None:
    assert cache.find(key) is None
    folder = store(cache, key, seconds=3)
    found = cache.find(key)
    assert found is not None and found.encoder is not None
    assert (found.encoder.read_bytes(), found.step.read_bytes()) == (b"encoder", b"step")
    assert (found.folder, found.precision, found.report) == (folder, "fp16", {"seconds": 3})
    assert names(cache.root) == {folder.name}


def test_a_bundle_without_camera_needs_no_encoder(cache: EngineCache, bundle: Bundle) -> None:
    blind = replace(bundle, card=replace(bundle.card, encoder=None))
    key = engine_key(blind, "fp32", DEVICE, VERSION)
    with cache.building() as folder:
        (folder / STEP_PLAN).write_bytes(b"step")
        cache.store(key, folder, {})
    found = cache.find(key)
    assert found is not None and found.encoder is None


def test_after_an_upgrade_nothing_is_found_and_it_says_why(cache: EngineCache, key: EngineKey) -> None:
    upgraded = replace(key, tensorrt="10.13.3.9")
    assert cache.why_missing(upgraded).startswith("no engine of 'colours' in ")
    store(cache, key)
    store(cache, replace(key, bundle="colours-two", device="other"))
    assert cache.find(upgraded) is None
    assert cache.why_missing(upgraded).endswith("was built for tensorrt 10.3.0.26, not 10.13.3.9")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def tamper(path: Path) -> None:
    first, *rest = path.read_bytes()
    path.write_bytes(bytes([first ^ 1, *rest]))


@pytest.mark.parametrize("harm", [Path.unlink, truncate, tamper])
@pytest.mark.parametrize("name", [ENCODER_PLAN, STEP_PLAN, REPORT, SIDECAR])
def test_a_damaged_file_is_refused_by_name(
    cache: EngineCache, key: EngineKey, name: str, harm: Callable[[Path], None]
) -> None:
    harm(store(cache, key) / name)
    with pytest.raises(BackendError, match=rf"{name}: .*run hal compile"):
        cache.find(key)
    store(cache, key)  # building again mends it
    assert cache.find(key) is not None


@pytest.mark.parametrize("text", ["[]", "{}", '{"key": 1, "sha256": {}}', '{"key": {}, "sha256": 1}', "\0"])
def test_a_sidecar_of_another_form_is_refused(cache: EngineCache, key: EngineKey, text: str) -> None:
    (store(cache, key) / SIDECAR).write_text(text)
    with pytest.raises(BackendError, match="run hal compile"):
        cache.find(key)


def test_an_engine_copied_from_another_device_is_refused(cache: EngineCache, key: EngineKey) -> None:
    foreign = store(cache, replace(key, device="RTX 4090", compute_capability="8.9"))
    foreign.rename(cache.root / key.folder_name)
    with pytest.raises(BackendError, match=r"device RTX 4090, not Orin; compute capability 8\.9, not 8\.7"):
        cache.find(key)


def test_rejected_engines_are_kept_and_never_found(cache: EngineCache, key: EngineKey) -> None:
    with cache.building() as folder:
        fill(folder)
        aside = cache.reject(key, folder, {"fault": "differs"})
    assert cache.find(key) is None and cache.was_rejected(key)
    assert json.loads((aside / REPORT).read_bytes()) == {"fault": "differs"}
    assert (aside / STEP_PLAN).read_bytes() == b"step"
    store(cache, key)
    assert cache.find(key) is not None and not cache.was_rejected(key)


def test_fp32_stands_in_only_for_fp16_that_was_rejected(cache: EngineCache, bundle: Bundle, key: EngineKey) -> None:
    wide = store(cache, engine_key(bundle, "fp32", DEVICE, VERSION))
    engines, why = find_engines(bundle, "fp16", DEVICE, VERSION, cache)
    assert engines is None and "precision fp32, not fp16" in why
    with cache.building() as folder:
        fill(folder)
        cache.reject(key, folder, {})
    engines, why = find_engines(bundle, "fp16", DEVICE, VERSION, cache)
    assert engines is not None and engines.folder == wide and "fp16 failed its gate" in why
    half = store(cache, key)
    engines, why = find_engines(bundle, "fp16", DEVICE, VERSION, cache)
    assert engines is not None and engines.folder == half and why == f"engines in fp16 of {half}"


# --- writing ----------------------------------------------------------------------------------------------------------


def test_the_most_recently_used_are_kept(cache: EngineCache, key: EngineKey) -> None:
    other = store(cache, replace(key, bundle="other"))
    keys = [replace(key, tensorrt=f"10.{minor}.0.1") for minor in range(KEPT + 1)]
    for age, each in enumerate(keys[:KEPT]):
        os.utime(store(cache, each), ns=(age, age))
    assert cache.find(keys[0]) is not None  # used just now: the next one is the oldest
    store(cache, keys[KEPT])
    assert [cache.find(each) is not None for each in keys] == [True, False, True, True]
    assert other.is_dir()


def reject(cache: EngineCache, key: EngineKey) -> Path:
    with cache.building() as folder:
        fill(folder)
        return cache.reject(key, folder, {})


@pytest.mark.parametrize("keep", [store, reject])
def test_what_was_just_stored_stays_where_the_clock_went_back(
    cache: EngineCache, key: EngineKey, keep: Callable[[EngineCache, EngineKey], Path]
) -> None:
    """A board without a battery for its clock begins in the past at each start."""
    later = time.time_ns() + 10**15
    older = [keep(cache, replace(key, tensorrt=f"10.{minor}.0.1")) for minor in range(KEPT)]
    for age, folder in enumerate(older):
        os.utime(folder, ns=(later + age, later + age))
    assert keep(cache, key).is_dir()
    assert [folder.is_dir() for folder in older] == [False, True, True]
    if keep is reject:  # what is stored afterwards leaves it aside
        store(cache, replace(key, precision="fp32"))
        assert cache.was_rejected(key)


def test_a_failed_build_leaves_nothing(cache: EngineCache, key: EngineKey) -> None:
    with pytest.raises(FileNotFoundError), cache.building() as folder:
        fill(folder / "missing")
    assert names(cache.root) == set() and cache.find(key) is None


def test_a_file_where_the_folder_is_expected_is_named(tmp_path: Path, key: EngineKey) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "engines"):
        cache = EngineCache(root)
        assert cache.find(key) is None
        with pytest.raises(BackendError, match=r"file.*can't be written.*HAL_ROS_CACHE"), cache.building():
            pytest.fail("must not be entered")


def test_an_unwritable_folder_is_named(key: EngineKey) -> None:
    with (
        pytest.raises(BackendError, match=r"/proc/engines: engines can't be written"),
        EngineCache(Path("/proc/engines")).building(),
    ):
        pytest.fail("must not be entered")


def test_an_unreadable_folder_is_named(tmp_path: Path, key: EngineKey) -> None:
    cache = EngineCache(tmp_path / ("x" * 300))  # longer than a name may be
    for act in (cache.find, cache.was_rejected):
        with pytest.raises(BackendError, match=r"can't be read \(File name too long\)"):
            act(key)
    assert "no engine of" in cache.why_missing(key)
    with pytest.raises(BackendError, match="File name too long"), cache.building():
        pytest.fail("must not be entered")


def test_timings_are_shared_by_all_bundles_of_one_device(cache: EngineCache, key: EngineKey) -> None:
    same = replace(key, bundle="other", step_sha256="other", precision="fp32")
    assert cache.timing_cache(same) == cache.timing_cache(key)
    others = [replace(key, tensorrt="11.0.0.1"), replace(key, device="other"), replace(key, multiprocessors=8)]
    assert len({cache.timing_cache(each) for each in (key, *others)}) == 4


CHILD = """
import resource, sys
from pathlib import Path
from hal_ros.tensorrt.engine_cache import EngineCache, EngineKey
cache, key = EngineCache(Path(sys.argv[1])), EngineKey(**eval(sys.argv[2]))
with cache.building(lambda line: print(line, flush=True)) as folder:
    (folder / "encoder.plan").write_bytes(b"encoder")
    (folder / "step.plan").write_bytes(b"step")
    print("built", flush=True)
    ACT
print("done", flush=True)
"""


def start(act: str, cache: EngineCache, key: EngineKey) -> subprocess.Popen[str]:
    """Start a process that builds, then does `act` before the lock is given back."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD.replace("ACT", act), str(cache.root), repr(dataclasses.asdict(key))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_killed_builder_leaves_nothing_that_is_found(cache: EngineCache, key: EngineKey) -> None:
    with start("input()", cache, key) as builder:
        assert heard(builder) == "built"
        left = names(cache.root)
        builder.send_signal(signal.SIGKILL)
    assert left and names(cache.root) == left  # the folder in which it was building
    assert cache.find(key) is None
    folder = store(cache, key)  # neither its lock nor its folder is in the way
    assert names(cache.root) == {folder.name}


def test_a_second_builder_waits_and_finds_what_the_first_made(cache: EngineCache, key: EngineKey) -> None:
    with start("input(); cache.store(key, folder, {})", cache, key) as first:
        assert heard(first) == "built"
        with start("assert cache.find(key)", cache, key) as second:
            assert heard(second) == "another process builds engines on this machine; waiting for it"
            assert first.communicate("\n")[0].strip() == "done"
            assert second.communicate()[0].split() == ["built", "done"]
        assert (first.returncode, second.returncode) == (0, 0)


def test_a_full_disk_leaves_what_was_there(cache: EngineCache, key: EngineKey) -> None:
    before = store(cache, key, seconds=3)
    act = "resource.setrlimit(resource.RLIMIT_FSIZE, (9, 9)); cache.store(key, folder, {'text': 'much'})"
    with start(act, cache, key) as builder:
        _, said = builder.communicate()
    assert builder.returncode == 1
    assert "engines can't be written there (File too large)" in said.splitlines()[-1]
    assert names(cache.root) == {before.name}
    found = cache.find(key)
    assert found is not None and found.report == {"seconds": 3}
