"""`hal device`: engines of every bundle in both precisions, built and checked on this device within a given time.

What is known is handed on after every step, so that a run that is killed leaves it. A failure ends only what it is in.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hal_ros.core.errors import BackendError, CardError, HalError
from hal_ros.core.work import Report
from hal_ros.outside.reading import Expected, read_json
from hal_ros.runtime.bundle import CARD, Bundle, graph_files, load_bundle
from hal_ros.tensorrt import api as tensorrt_api
from hal_ros.tensorrt.child_process import run_child
from hal_ros.tensorrt.compile import BuildOptions, compile_bundle
from hal_ros.tensorrt.cudart import Device, load_cudart
from hal_ros.tensorrt.device_checks import CHECKS, Finding, row
from hal_ros.tensorrt.engine_cache import ENCODER_PLAN, REJECTED, REPORT, STEP_PLAN, EngineCache, Engines, engine_key
from hal_ros.tensorrt.report import describe, versions

PRECISIONS = ("fp16", "fp32")  # what robots use comes first, should time run out
BUILD_EVERY_S, CHECK_EVERY_S = 5.0, 1.0  # between two looks at the clock: nothing overruns by more
GRACE_S = 10.0  # for a process to see by itself that its time is up
NO_GPU = "expected an NVIDIA GPU and its driver (nvidia-smi; on a Jetson /etc/nv_tegra_release), or --stand-in"
ENGINES = "engines"  # the first row: that they are there, and passed their gate when they were built

Block = dict[str, Any]


class OutOfTimeError(HalError):
    """The time that was given has run out."""


@dataclass(frozen=True)
class DeviceOptions:
    """How long the run may take, how long its stream is, and whether engines in `cache` are built once more."""

    budget_s: float = 480.0
    ticks: int = 10_000
    fresh: bool = False
    stand_in: bool = False  # TensorRT and CUDA are stand-ins: no figure is a GPU's
    cache: EngineCache = field(default_factory=EngineCache)


def bundle_folders(models: Path) -> list[Path]:
    """Return `models` if it is a bundle, else the bundles in it. Raises CardError when there are none."""
    found = sorted(path.parent for path in (*models.glob(CARD), *models.glob(f"*/{CARD}")))
    if not found:
        raise CardError(f"{models}: holds no bundle; expected folders with a {CARD}")
    return found


def is_ours(path: Path) -> bool:
    """Tell whether `hal device` wrote a file."""
    block = read_json(path, Expected(BackendError, "a device's results"))
    return isinstance(block, dict) and {"engines", "budget_s", "versions"} <= block.keys()


def run_device(folders: Sequence[Path], options: DeviceOptions, say: Report, keep: Callable[[Block], None]) -> Block:
    """Build and check; returns what became of it, which `keep` is also given after every step.

    Raises BackendError where TensorRT or a GPU is missing: there is nothing to be said then.
    """
    trt = tensorrt_api.load()
    try:
        device = load_cudart().device()
    except BackendError as error:
        raise BackendError(f"{error}; {NO_GPU}") from error
    run = _DeviceRun(options, device, tensorrt_api.version(trt), say, keep)
    pairs = [pair for folder in folders for pair in run.pairs(folder)]
    for done, (bundle, precision) in enumerate(pairs):
        run.check(bundle, precision, len(pairs) - done)
    run.block["finished"] = True
    run.save()
    return run.block


class _DeviceRun:
    """One run: the block that grows, and the clock."""

    def __init__(
        self, options: DeviceOptions, device: Device, version: str, say: Report, keep: Callable[[Block], None]
    ) -> None:
        self._options, self._device, self._version, self._say, self._keep = options, device, version, say, keep
        self._started_s = time.monotonic()
        self._deadline_s = self._started_s + options.budget_s
        self._built: set[tuple[str, str]] = set()  # bundles' hashes and precisions
        self.block: Block = {
            "stand_in": options.stand_in,
            "finished": False,
            "device": describe(device),
            "driver": driver_version(),
            "versions": versions(version),
            "budget_s": options.budget_s,
            "engines": [],
        }
        self.save()

    def save(self) -> None:
        """Hand on all that is known, with what it comes to."""
        found = [(self._name(entry), each) for entry in self.block["engines"] for each in entry["rows"]]
        self.block["wall_s"] = round(time.monotonic() - self._started_s, 1)
        self.block["passed"] = sum(bool(each["holds"]) and not each["skipped"] for _, each in found)
        for said, key in (("failed", "fault"), ("skipped", "skipped")):
            self.block[said] = [f"{name} {each['check']}: {each[key]}" for name, each in found if each[key]]
        self._keep(self.block)

    def pairs(self, folder: Path) -> list[tuple[Bundle, str]]:
        """Return the bundle in each precision that it has graphs of; none, and a row, when it can't be read."""
        try:
            bundle = load_bundle(folder)
        except CardError as error:
            self._add(self._entry(folder, "", ""), row("bundle", Finding("", str(error))))
            return []
        has = [precision for precision in PRECISIONS if graph_files(precision)[1] in bundle.card.files]
        if lacking := [precision for precision in PRECISIONS if precision not in has]:
            self._say(f"{folder.name}: has no graphs in {', '.join(lacking)}, which are not checked")
        return [(bundle, precision) for precision in has]

    def check(self, bundle: Bundle, precision: str, pairs_left: int) -> None:
        """Build engines, or find them, and check them in their share of the time that is left."""
        entry = self._entry(bundle.folder, bundle.sha256, precision)
        engines = self._engines(entry, bundle, precision)
        if engines is None:
            for name in CHECKS:
                self._add(entry, row(name, Finding("", skipped="there are no engines")))
            return
        share_s = (self._deadline_s - time.monotonic()) / pairs_left
        deadline_s = min(time.monotonic() + share_s, self._deadline_s - 2 * CHECK_EVERY_S)
        fault = skipped = ""
        with tempfile.TemporaryDirectory(prefix="hal-device-") as folder:
            try:
                self._run_checks(entry, bundle, engines, deadline_s, Path(folder))
            except OutOfTimeError as error:
                skipped = str(error)
            except HalError as error:
                fault = str(error)
        for name in list(CHECKS)[len(entry["rows"]) - 1 :]:
            self._add(entry, row(name, Finding("", fault, skipped)))
            fault, skipped = "", skipped or "the process of the checks had ended"

    # --- engines ------------------------------------------------------------------------------------------------------

    def _engines(self, entry: Block, bundle: Bundle, precision: str) -> Engines | None:
        """Return engines of just this precision, also rejected ones that can be run; their row says so."""
        started_s, built = time.monotonic(), []

        def say(line: str) -> None:
            self._say(f"{self._name(entry)}: {line}")
            built.extend([line] * line.endswith(": building"))
            self._look_at_clock(self._deadline_s - BUILD_EVERY_S)

        again = self._options.fresh and (bundle.sha256, precision) not in self._built
        engines, finding = None, Finding("")
        try:
            engines = compile_bundle(
                bundle, precision, self._options.cache, say, BuildOptions(None, again, BUILD_EVERY_S)
            )
            self._built.add((bundle.sha256, engines.precision))
            finding = Finding("built" if built else "were there", figures={"build_s": engines.report.get("build_s")})
        except OutOfTimeError as error:
            finding = Finding("", skipped=str(error))
        except HalError as error:
            finding = Finding("", str(error))
        if not finding.skipped and (engines is None or engines.precision != precision):
            engines = self._rejected(bundle, precision)
            rejected = str(engines.report["fault"]) if engines else "rejected, and can't be run"
            finding = Finding("", finding.fault or rejected)
        self._add(entry, row(ENGINES, finding, time.monotonic() - started_s))
        return engines

    def _rejected(self, bundle: Bundle, precision: str) -> Engines | None:
        """Return engines that failed their gate; None where there are none, or where they crashed their judge."""
        key = engine_key(bundle, precision, self._device, self._version)
        folder = self._options.cache.root / REJECTED / key.folder_name
        try:
            report = json.loads((folder / REPORT).read_bytes())
        except (OSError, ValueError):
            return None
        encoder = folder / ENCODER_PLAN if bundle.card.encoder else None
        return Engines(encoder, folder / STEP_PLAN, folder, precision, report) if "parity" in report else None

    # --- checks -------------------------------------------------------------------------------------------------------

    def _run_checks(self, entry: Block, bundle: Bundle, engines: Engines, deadline_s: float, folder: Path) -> None:
        found = folder / "found.json"
        arguments = ["hal_ros.tensorrt.device_checks", str(bundle.folder), str(engines.folder), engines.precision]
        arguments += [str(found), "--deadline-s", str(deadline_s), "--ticks", str(self._options.ticks)]

        def look(_: str = "") -> None:
            self._take(entry, found)
            self._look_at_clock(min(deadline_s + GRACE_S, self._deadline_s - CHECK_EVERY_S))

        try:
            run_child(arguments, folder / "checks.log", "checks", look, CHECK_EVERY_S)
        finally:
            self._take(entry, found)

    def _take(self, entry: Block, found: Path) -> None:
        """Take over the rows that the checks' process has written since."""
        if not found.exists():
            return
        news = json.loads(found.read_bytes())
        entry["about"] = news["engine"]
        for each in news["rows"][len(entry["rows"]) - 1 :]:
            self._add(entry, each)

    # --- the block ----------------------------------------------------------------------------------------------------

    def _entry(self, folder: Path, sha256: str, precision: str) -> Block:
        entry: Block = {"bundle": folder.resolve().name, "card_sha256": sha256, "precision": precision, "rows": []}
        self.block["engines"].append(entry)
        return entry

    def _add(self, entry: Block, added: Block) -> None:
        entry["rows"].append(added)
        self._say(f"{self._name(entry)} {row_line(added)}")
        self.save()

    def _name(self, entry: Block) -> str:
        return f"{entry['bundle']} {entry['precision']}".strip()

    def _look_at_clock(self, deadline_s: float) -> None:
        if time.monotonic() > deadline_s:
            raise OutOfTimeError(f"not done within the {self._options.budget_s:g} s that were given")


def row_line(each: Block) -> str:
    """Return a row in words."""
    said = {True: "holds", False: "FAILED", None: "skipped"}[each["holds"]]
    parts = [each["fault"], each["skipped"], each["says"]]
    return f"{each['check']}: {'; '.join(filter(None, [said, *parts]))} ({each['seconds']:.0f} s)"


def summary(block: Block) -> str:
    """Return the last line: what held, what failed, and what there was no time for."""
    lines = [f"{block['passed']} checks hold"]
    if block["failed"]:
        lines.append(f"{len(block['failed'])} FAILED ({'; '.join(block['failed'])})")
    if block["skipped"]:
        lines.append(f"{len(block['skipped'])} skipped ({'; '.join(block['skipped'])}); engines that were built stay")
    where = "on a stand-in, no GPU" if block["stand_in"] else f"on {block['device']['name']}"
    return f"{where}, in {block['wall_s']:.0f} s: {'; '.join(lines)}"


def exit_code(block: Block) -> int:
    """Return 0 when all was run and holds, 1 when anything failed, 3 when only something was skipped."""
    return 1 if block["failed"] else 3 if block["skipped"] or not block["finished"] else 0


def driver_version(path: Path = Path("/proc/driver/nvidia/version")) -> str:
    """Return the version of NVIDIA's kernel module, "" where it is not told."""
    try:
        found = re.search(r"\b\d{3,}\.\d+(\.\d+)*\b", path.read_text(errors="replace"))
    except OSError:
        return ""
    return found[0] if found else ""
