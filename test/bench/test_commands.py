"""Subcommands are timed as processes, and one that fails is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hal_ros.bench import commands
from hal_ros.core.errors import BackendError, HalError
from hal_ros.fit.settings_file import read_settings

MODEL = Path(__file__).parents[2] / "models" / "tabletop"


def test_a_command_that_fails_is_told_in_one_line() -> None:
    with pytest.raises(HalError, match=r"hal replay ended with code 1: .*nowhere"):
        commands.timed("replay", "/nowhere.mcap", "--model", "/nowhere")


def test_a_training_is_measured_on_settings_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[tuple[str, ...]] = []

    def note(*arguments: str) -> float:
        ran.append(arguments)
        return 60.0 * len(ran)

    monkeypatch.setattr(commands, "command_cpu_s", note)
    row, ingest = commands.training_rows(tmp_path)
    assert [arguments[0] for arguments in ran] == ["sim", "sim", "ingest", "train"]
    assert (row.name, row.value, row.target, row.holds) == (commands.TRAINING_NAME, 4.0, "<= 5", True)
    assert ingest.value == 3.0
    settings = read_settings(Path(ran[3][1]))
    assert ran[2][1] == ran[3][1]
    assert settings["data"]["folder"] in ran[0]
    assert Path(settings["base"]).is_file()


def test_processor_time_is_that_of_the_process() -> None:
    assert 0 < commands.command_cpu_s("--version") < 60
    assert 0 < commands.cpu_s(lambda: sum(range(200_000))) < 60


def test_without_torch_an_export_is_not_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "hal_ros.export.to_onnx", None)
    with pytest.raises(BackendError, match="torch"):
        commands.export_rows(MODEL, tmp_path)
