"""The row of a whole training is processor time of processes, and a command that fails is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal_ros.bench.training import chain
from hal_ros.core.errors import HalError
from hal_ros.fit.settings_file import read_settings


def test_each_command_runs_on_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[tuple[str, ...]] = []

    def note(*arguments: str) -> float:
        ran.append(arguments)
        return 60.0 * len(ran)

    monkeypatch.setattr(chain, "cpu_s", note)
    row, ingest = chain.rows(tmp_path)
    assert [arguments[0] for arguments in ran] == ["sim", "sim", "ingest", "train"]
    assert (row.name, row.value, row.target, row.holds) == (chain.NAME, 4.0, "<= 5", True)
    assert ingest.value == 3.0
    settings = read_settings(Path(ran[3][1]))
    assert ran[2][1] == ran[3][1] and settings["data"]["folder"] in ran[0]
    assert Path(settings["base"]).is_file()


def test_processor_time_is_the_command_s_own_and_its_failure_is_told() -> None:
    assert 0 < chain.cpu_s("--version") < 60
    with pytest.raises(HalError, match=r"^hal train ended with code 1: .*none\.yaml"):
        chain.cpu_s("train", "none.yaml")
