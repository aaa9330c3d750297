"""The files beside the sources: none is large by accident, settings can be read, and the hooks are `make check`."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")  # there mypy needs it, too

ROOT = Path(__file__).parent.parent
LARGEST_BYTES = 500_000
# What is larger, each for its reason. Entries go; none is added but for a model, an asset or a table that is shipped.
LARGE = {
    "docs/results/other_robots.json",
    "docs/results/streams.json",
    "docs/results/0.1.0/tabletop.json",
    "docs/results/tabletop.json",
    "hal_ros/sim/assets/demo_recording.mcap",
    "models/tabletop/golden.npz",
    "models/tabletop/step.fp16.onnx",
    "models/tabletop/step.onnx",
    "models/tabletop_all/golden.npz",
    "models/tabletop_all/step.fp16.onnx",
    "models/tabletop_all/step.onnx",
}
PARSERS: dict[str, Callable[[str], Any]] = {
    ".json": json.loads,
    ".toml": tomllib.loads,
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
}


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """Return the files that git tracks or is about to, relative to the checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout: which files belong to the package is not known")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()]


def unreadable(path: Path, text: str) -> str:
    """Return why a file of settings can't be read; '' when it can, or is none."""
    parse = PARSERS.get(path.suffix)
    try:
        if parse is not None:
            parse(text)
    except (ValueError, yaml.YAMLError) as error:
        return f"{path}: {error}"
    return ""


def test_no_file_is_large_by_accident(tracked: list[Path]) -> None:
    large = {path.as_posix() for path in tracked if (ROOT / path).stat().st_size > LARGEST_BYTES}
    assert large == LARGE


def test_settings_can_be_read(tracked: list[Path]) -> None:
    settings = [path for path in tracked if path.suffix in PARSERS]
    assert {path.suffix for path in settings} >= {".json", ".toml", ".yaml"}
    assert [reason for path in settings if (reason := unreadable(path, (ROOT / path).read_text()))] == []


@pytest.mark.parametrize(
    ("name", "text"), [("x.yaml", "a: [1"), ("x.yml", "a: b: c"), ("x.toml", "a = "), ("x.json", "{'a': 1}")]
)
def test_settings_that_can_not_be_read_are_found(name: str, text: str) -> None:
    assert unreadable(Path(name), text).startswith(f"{name}: ")


def make_commands(makefile: str) -> list[str]:
    """Return what `make check` runs in .venv."""
    found = re.search(r"^check:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert found is not None
    return [line.removeprefix("\t$(python) ") for line in found[1].splitlines() if "$(python)" in line]


def test_the_hooks_are_make_check() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"  # no other host is asked for anything
    runner = re.search(r"^python = @(.*)$", makefile, re.MULTILINE)
    assert runner is not None
    expected = [f"{runner[1]} {command}" for command in make_commands(makefile)]
    assert [hook["entry"] for hook in repository["hooks"]] == expected
    for hook in repository["hooks"]:
        assert (hook["language"], hook["pass_filenames"], hook["always_run"]) == ("system", False, True), hook["id"]
    other = makefile.replace("-m mypy", "-m mypy --strict")
    assert make_commands(other) != make_commands(makefile)
