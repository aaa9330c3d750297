"""Rows of the benchmark: what was measured, what was aimed at, whether it holds; as a table and as JSON."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import psutil
from rich.text import Text

from hal_ros.core.errors import DatasetError
from hal_ros.outside import outputs
from hal_ros.outside.reading import Expected, read_json, reading

ROWS = Expected(DatasetError, "benchmark rows, as `hal bench` writes them")

PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime", "rclpy", "ros-fastdds", "mujoco", "mcap", "rosbags")
FIELDS = ("name", "value", "unit", "target", "holds")


@dataclass(frozen=True)
class BenchRow:
    """One figure, or one fact about where it was measured.

    `target` is '' for a baseline or a fact, else '<= x' or '>= x' in the row's unit. `holds` is None where there is no
    target or no value. A row without a value says in `note` why it could not be measured.
    """

    name: str
    value: float | str | None
    unit: str = ""
    target: str = ""
    holds: bool | None = None
    note: str = ""


def at_most(name: str, value: float, unit: str, limit: float, note: str = "") -> BenchRow:
    """Return a row that holds when the value is at most the limit; NaN never holds."""
    return BenchRow(name, _rounded(value), unit, f"<= {limit:g}", bool(value <= limit), note)


def at_least(name: str, value: float, unit: str, limit: float, note: str = "") -> BenchRow:
    """Return a row that holds when the value is at least the limit; NaN never holds."""
    return BenchRow(name, _rounded(value), unit, f">= {limit:g}", bool(value >= limit), note)


def baseline(name: str, value: float, unit: str, note: str = "") -> BenchRow:
    """Return a row without a target: something to compare with, or a ratio."""
    return BenchRow(name, _rounded(value), unit, note=note)


def unmeasured(name: str, unit: str, target: str, reason: str) -> BenchRow:
    """Return a row that says why there is no figure; raises ValueError without a reason."""
    if not reason:
        raise ValueError(f"row {name!r} has neither a value nor a reason for that")
    return BenchRow(name, None, unit, target, None, reason)


def facts(load: Sequence[float]) -> list[BenchRow]:
    """Return where it was measured: machine, load before the start (over 1, 5 and 15 minutes), versions."""
    memory_gib = psutil.virtual_memory().total / 2**30
    rows = [
        BenchRow("machine", f"{_processor()}, {memory_gib:.0f} GiB, {platform.system()} {platform.release()}"),
        BenchRow("cores usable", len(os.sched_getaffinity(0))),
        BenchRow(
            "load before the start", _rounded(load[0]), note="over 1 minute; 5 and 15: {:.2f}, {:.2f}".format(*load[1:])
        ),
        BenchRow("version of python", platform.python_version()),
    ]
    return rows + [BenchRow(f"version of {name}", version) for name in PACKAGES if (version := _version(name))]


def merged(old: Iterable[BenchRow], new: Iterable[BenchRow]) -> list[BenchRow]:
    """Return the old rows with those of the same name replaced by the new ones, and the rest of the new ones after."""
    fresh = {row.name: row for row in new}
    kept = [fresh.pop(row.name, row) for row in old]
    return kept + list(fresh.values())


def save(rows: Iterable[BenchRow], path: Path) -> None:
    """Write the rows as a JSON list of objects."""
    text = json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False, allow_nan=False)
    outputs.replace_text(path, text + "\n", is_ours, "benchmark rows")


def is_ours(path: Path) -> bool:
    """Tell whether `hal bench` wrote a file."""
    return bool(load(path))


def load(path: Path) -> list[BenchRow]:
    """Read rows back; an absent file holds none. Raises DatasetError for anything but such a list."""
    if not path.exists():
        return []
    stored = read_json(path, ROWS)
    with reading(path, ROWS):
        return [BenchRow(**entry) for entry in stored]


def report(rows: Sequence[BenchRow]) -> Text:
    """Return what the terminal shows: one line for each row in columns, and its note beneath."""
    width = max((len(row.name) for row in rows), default=0) + 1
    text = Text()
    for row in rows:
        text.append(f"{row.name:<{width}}")
        if isinstance(row.value, str):
            text.append(f"{row.value}")
        else:
            text.append(f"{_shown(row.value):>9} {row.unit:<12}{row.target:<8}").append(*_verdict(row))
        text.append(f"\n  {row.note}\n" if row.note else "\n", "dim")
    return text


def _verdict(row: BenchRow) -> tuple[str, str]:
    """Return a word and its style."""
    if row.value is None:
        return "not measured", "yellow"
    return {True: ("holds", "green"), False: ("MISSED", "bold red"), None: ("", "")}[row.holds]


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _rounded(value: float) -> float | None:
    """Four digits are more than any of it repeats; NaN has no place in JSON."""
    return None if math.isnan(value) else float(f"{value:.4g}")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
