"""Where built TensorRT engines are kept, and under which key: an engine is found only where it was built.

A folder `<bundle>-<16 digits of the key>` holds encoder.plan, step.plan, report.json and key.json, the sidecar. The
sidecar names everything that the engines depend on and the plans' SHA-256. It is checked before a plan is handed to
TensorRT, because deserialising an engine of another machine can crash the process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hal_ros.core.errors import BackendError, CardError
from hal_ros.core.work import Report
from hal_ros.outside.reading import Expected, read_json, reading, reason
from hal_ros.runtime.bundle import Bundle, file_sha256, graph_files
from hal_ros.tensorrt.api import KEPT_WIDE, OPTIMIZATION_LEVEL

if TYPE_CHECKING:
    from hal_ros.tensorrt.cudart import Device

SCHEMA = 2
"""Raise it when engines are built or used in another way: those built before are then not found any more."""
ENCODER_PLAN, STEP_PLAN, SIDECAR, REPORT = "encoder.plan", "step.plan", "key.json", "report.json"
KEPT = 3  # engines of one bundle
REJECTED, STAGING, LOCK = "rejected", ".new-", ".lock"
DIGITS = 16  # of the key in a folder's name
AGAIN = "run hal compile to build it again"
ACCOUNT = Expected(BackendError, f"the account of engines; {AGAIN}")
FLAGS = (
    f"optimization level {OPTIMIZATION_LEVEL}",
    "no TF32",
    f"where types are free, fp32 for {', '.join(KEPT_WIDE)}",
)
"""How the builder is set up, beyond what the key's other fields say."""


@dataclass(frozen=True)
class EngineKey:
    """Everything that makes an engine invalid, or wrong, when it differs."""

    bundle: str  # the card's name
    encoder_sha256: str  # of the ONNX file; "" for a bundle without camera
    step_sha256: str
    precision: str  # "fp16" or "fp32"
    flags: tuple[str, ...]  # how the builder is set up
    tensorrt: str  # all four parts of the version
    device: str
    compute_capability: str
    multiprocessors: int  # boards of one compute capability differ in them, and so in what is fastest
    integrated: bool
    cuda_driver: int  # the runtime is no matter: which one a process has loaded, torch may decide
    machine: str  # operating system and processor
    schema: int = SCHEMA

    @property
    def digest(self) -> str:
        """SHA-256 over all fields, in hexadecimal."""
        return hashlib.sha256(json.dumps(_fields(self), sort_keys=True).encode()).hexdigest()

    @property
    def folder_name(self) -> str:
        """Name of the folder that holds engines of this key."""
        return f"{_file_name(self.bundle)}-{self.digest[:DIGITS]}"


@dataclass(frozen=True)
class Engines:
    """Plans that were verified and may be deserialised. `report` is what `hal compile` measured with them."""

    encoder: Path | None  # None for a bundle without camera
    step: Path
    folder: Path
    precision: str
    report: Mapping[str, Any] = field(default_factory=dict)


def cache_root() -> Path:
    """Return the folder of engines: below $HAL_ROS_CACHE, $XDG_CACHE_HOME/hal_ros or ~/.cache/hal_ros."""
    if own := os.environ.get("HAL_ROS_CACHE"):
        return Path(own).expanduser() / "engines"
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "hal_ros" / "engines"


def engine_key(bundle: Bundle, precision: str, device: Device, trt_version: str) -> EngineKey:
    """Return the key of a bundle's engines on this device. Raises CardError when it has no graphs of this precision."""
    encoder, step = graph_files(precision)
    return EngineKey(
        bundle=bundle.card.name,
        # path() refuses, by name, a bundle that was exported without such a graph.
        encoder_sha256=bundle.card.files[bundle.path(encoder).name] if bundle.card.encoder else "",
        step_sha256=bundle.card.files[bundle.path(step).name],
        precision=precision,
        flags=FLAGS,
        tensorrt=trt_version,
        device=device.name,
        compute_capability=".".join(map(str, device.compute_capability)),
        multiprocessors=device.multiprocessors,
        integrated=device.integrated,
        cuda_driver=device.driver_version,
        machine=f"{platform.system()} {platform.machine()}",
    )


def find_engines(
    bundle: Bundle, precision: str, device: Device, trt_version: str, cache: EngineCache | None = None
) -> tuple[Engines | None, str]:
    """Return the engines that `hal compile` made for this device, and in words which ones; None and why there are none.

    Engines in fp32 stand in for those in fp16 that were built here and failed their gate, and for nothing else.
    Raises BackendError when engines are damaged, CardError when the bundle has no graphs of this precision.
    """
    cache = cache or EngineCache()
    key = engine_key(bundle, precision, device, trt_version)
    if engines := cache.find(key):
        return engines, f"engines in {precision} of {engines.folder}"
    if precision == "fp16" and cache.was_rejected(key):
        engines = cache.find(engine_key(bundle, "fp32", device, trt_version))
        return engines, "fp16 failed its gate on this device; " + (
            f"engines in fp32 of {engines.folder}" if engines else "no engines in fp32 either"
        )
    return None, cache.why_missing(key)


class EngineCache:
    """The folder of engines. Reading needs no lock: whatever has its final name is complete."""

    def __init__(self, root: Path | None = None) -> None:
        """Use `root`, by default cache_root(); nothing is created or read yet."""
        self.root = root or cache_root()

    # --- reading ------------------------------------------------------------------------------------------------------

    def find(self, key: EngineKey) -> Engines | None:
        """Return the engines of this key, verified; None when none were built.

        Raises BackendError, naming the file, when they are there and are not what was stored.
        """
        folder = self.root / key.folder_name
        if not _is_folder(folder):
            return None
        sidecar = read_json(folder / SIDECAR, ACCOUNT)
        with reading(folder / SIDECAR, ACCOUNT):
            stored, sums = dict(sidecar["key"]), dict(sidecar["sha256"])
        if differing := _differences(stored, key):
            raise BackendError(f"{folder}: was built for {differing}; {AGAIN}")
        wanted = {STEP_PLAN, REPORT} | ({ENCODER_PLAN} if key.encoder_sha256 else set())
        for name in sorted(wanted):
            _verify(folder / name, sums.get(name))
        with contextlib.suppress(OSError):  # a cache that is only read keeps the order of building
            os.utime(folder)
        return _engines(folder, key)

    def why_missing(self, key: EngineKey) -> str:
        """Say in words why there are no engines of this key: what those of the same bundle were built for instead."""
        prefix = key.folder_name[:-DIGITS]
        newest = next((folder for folder in _complete(self.root) if folder.name[:-DIGITS] == prefix), None)
        stored: dict[str, Any] = {}
        with contextlib.suppress(BackendError), reading(self.root, ACCOUNT):
            stored = dict(read_json(newest / SIDECAR, ACCOUNT)["key"]) if newest else {}
        if not stored:
            return f"no engine of {key.bundle!r} in {self.root}"
        return f"the newest engine of {key.bundle!r} in {self.root} was built for {_differences(stored, key)}"

    def was_rejected(self, key: EngineKey) -> bool:
        """Tell whether engines of this key were built and failed their gate."""
        return _is_folder(self.root / REJECTED / key.folder_name)

    # --- writing ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def building(self, say: Report = lambda _: None) -> Iterator[Path]:
        """Hold the lock of builders, and yield an empty folder to build in; what is left in it is removed.

        A second builder waits here. Raises BackendError when the cache can't be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / LOCK).open("a")
        except OSError as error:
            raise self._unwritable(error) from error
        with lock:
            _lock(lock.fileno(), say)
            for left in self.root.glob(f"{STAGING}*"):  # of a builder that was killed: nobody else holds the lock
                shutil.rmtree(left, ignore_errors=True)
            folder = self.root / f"{STAGING}{os.getpid()}"  # not by tempfile, which would let nobody else read it
            try:
                folder.mkdir()
            except OSError as error:
                raise self._unwritable(error) from error
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def store(self, key: EngineKey, built: Path, report: Mapping[str, Any]) -> Engines:
        """Give the folder `built`, which holds the plans, its final name; older engines beyond KEPT are removed.

        Call it inside `building`. Raises BackendError when the disk refuses; what stood there stays then.
        """
        folder = self.root / key.folder_name
        self._name(key, built, report, folder)
        shutil.rmtree(self.root / REJECTED / key.folder_name, ignore_errors=True)
        _prune(folder)
        return _engines(folder, key)

    def reject(self, key: EngineKey, built: Path, report: Mapping[str, Any]) -> Path:
        """Keep engines that failed their gate aside, with the report, where `find` never looks; returns the folder.

        Of those, too, only the newest KEPT of each bundle stay.
        """
        folder = self.root / REJECTED / key.folder_name
        self._name(key, built, report, folder)
        _prune(folder)
        return folder

    def timing_cache(self, key: EngineKey) -> Path:
        """Return where the builder's timings are kept; they hold for one version of TensorRT on one device."""
        about = json.dumps([key.tensorrt, key.device, key.compute_capability, key.multiprocessors, key.cuda_driver])
        return self.root / f"timing-{hashlib.sha256(about.encode()).hexdigest()[:DIGITS]}.cache"

    def _name(self, key: EngineKey, built: Path, report: Mapping[str, Any], final: Path) -> None:
        try:
            final.parent.mkdir(exist_ok=True)
            (built / REPORT).write_text(json.dumps(report, indent=2) + "\n")
            sums = {path.name: file_sha256(path) for path in sorted(built.iterdir())}
            (built / SIDECAR).write_text(json.dumps({"key": _fields(key), "sha256": sums}, indent=2) + "\n")
            for path in (*built.iterdir(), built):
                _flush(path)
            if final.exists():
                final.rename(built.with_name(built.name + "-old"))  # removed by the next builder if we die here
            built.rename(final)
            _flush(final.parent)
        except OSError as error:
            raise self._unwritable(error) from error
        shutil.rmtree(built.with_name(built.name + "-old"), ignore_errors=True)

    def _unwritable(self, error: OSError) -> BackendError:
        return BackendError(
            f"{self.root}: engines can't be written there ({error.strerror}); expected a folder with free space, "
            "or HAL_ROS_CACHE naming one"
        )


def _engines(folder: Path, key: EngineKey) -> Engines:
    encoder = folder / ENCODER_PLAN if key.encoder_sha256 else None
    return Engines(encoder, folder / STEP_PLAN, folder, key.precision, read_json(folder / REPORT, ACCOUNT))


def _is_folder(path: Path) -> bool:
    """Path.is_dir raises where it may not look."""
    try:
        return path.is_dir()
    except OSError as error:
        raise BackendError(f"{path}: can't be read ({error.strerror}); expected a readable cache of engines") from error


def _complete(parent: Path) -> list[Path]:
    """Return the folders of engines in `parent`, the most recently used one first."""
    try:
        folders = [path for path in parent.iterdir() if not path.name.startswith(".") and (path / SIDECAR).is_file()]
        return sorted(folders, key=lambda folder: -folder.stat().st_mtime_ns)
    except OSError:
        return []


def _prune(newest: Path) -> None:
    """Remove all of its bundle that lie beside the folder `newest`, but for the most recently used: KEPT with itself.

    It stays whatever the clock says: a board without a battery for it may write before what it wrote last week.
    """
    prefix = newest.name[:-DIGITS]
    others = [path for path in _complete(newest.parent) if path.name[:-DIGITS] == prefix and path != newest]
    for folder in others[KEPT - 1 :]:
        shutil.rmtree(folder, ignore_errors=True)


def _fields(key: EngineKey) -> dict[str, Any]:
    return dataclasses.asdict(key) | {"flags": list(key.flags)}  # as JSON gives them back


def _differences(stored: Mapping[str, Any], key: EngineKey) -> str:
    pairs = {name: (stored.get(name), value) for name, value in _fields(key).items() if stored.get(name) != value}
    return "; ".join(f"{name.replace('_', ' ')} {_short(old)}, not {_short(new)}" for name, (old, new) in pairs.items())


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:12] + "…"


def _verify(path: Path, expected: str | None) -> None:
    try:
        actual = file_sha256(path)
    except CardError as error:
        raise BackendError(
            f"{path}: can't be read ({reason(error.__cause__ or error)}), but was built; {AGAIN}"
        ) from error
    if actual != expected:
        raise BackendError(f"{path}: SHA-256 is {actual[:12]}…, stored was {str(expected)[:12]}…; {AGAIN}")


def _lock(descriptor: int, say: Report) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another process builds engines on this machine; waiting for it")
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # the kernel releases it, however that process ends


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name).lstrip(".") or "bundle"
