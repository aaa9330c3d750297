"""The data sets that the tables know, as far as they are here."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from hal_ros.core.errors import ConfigError  # noqa: E402
from hal_ros.experiments import datasets  # noqa: E402
from hal_ros.experiments.graph import Graph  # noqa: E402

ROOT = Path(__file__).parents[2]


def test_a_data_set_that_is_not_here_is_an_error_only_if_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(datasets, "_tabletop", lambda declared, quick: (declared, quick))
    monkeypatch.setattr(datasets, "stream_experiments", lambda declared, quick: [(declared, quick, "set")])
    monkeypatch.chdir(ROOT)
    declared = "{tabletop: {a: 1}, gesture_phase: {}, streams: {c: 3}, other_robots: {robots: {}}, quick: {b: 2}}"
    config = tmp_path / "tables.yaml"
    config.write_text(declared)
    for folder in ("", str(tmp_path)):
        monkeypatch.setenv(datasets.DATA_FOLDER, folder)
        found = datasets.load_experiments(config, None, quick=True)
        assert found == [({"a": 1}, {"b": 2}), ({"c": 3}, {"b": 2}, "set")]
        said = capsys.readouterr().out
        assert "gesture_phase: left out" in said and "other_robots: left out" in said
        with pytest.raises(ConfigError, match=f"HAL_ROS_DATA is '{folder}'; expected a folder with gesture_phase"):
            datasets.load_experiments(config, "gesture_phase", quick=False)


def test_a_changed_recording_makes_new_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "read_dataset", lambda *_, **__: SimpleNamespace(vocabulary=("rest", "hold")))
    monkeypatch.setenv(datasets.DATA_FOLDER, str(tmp_path))
    monkeypatch.chdir(ROOT)  # where the declaration's other file is
    recording = tmp_path / "gesture_phase" / "recording.txt"
    recording.parent.mkdir()
    keys = []
    for text in ("one", "other"):
        recording.write_text(text)
        (found,) = datasets.load_experiments(ROOT / "config" / "tables.yaml", "gesture_phase", quick=True)
        assert (found.name, found.places, found.aims) == ("gesture_phase", {"dataset": str(recording.parent)}, "")
        assert (found.vocabulary, found.period_ns) == (("rest", "hold"), 33_333_333)
        keys.append(set(Graph(found.plan.jobs).keys.values()))
    assert keys[0].isdisjoint(keys[1])
