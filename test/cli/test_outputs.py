"""No command removes or writes over what it did not write: a user's file lies in the way of each that writes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import make_card
from hal_ros.bags.background_writer import BackgroundWriter
from hal_ros.cli import SUBCOMMANDS, main
from hal_ros.core.errors import BagError, ConfigError, HalError
from hal_ros.datasets import build as building
from hal_ros.datasets.formats.new_clips import write_labels
from hal_ros.experiments.documents.rows import write_records
from hal_ros.live.nodes import NODES
from hal_ros.runtime.bundle import ENCODER, save_card
from user_folder import Workplace, write

Contents = dict[Path, bytes | str]
NOTE = "mine, and nobody else's"


def contents(folder: Path) -> Contents:
    """All that lies in a folder: bytes of files, ends of links."""
    return {
        path: str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def _sim(folder: Path) -> list[str]:
    from hal_ros.sim.benchmark import episodes

    for name in ("annotation.json", "metadata.yaml", "notes.txt"):
        place = folder / "out" / "test" / episodes("test")[0].name
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(NOTE)
    return ["sim", "--out", str(folder / "out"), "--splits", "test", "--limit", "1", "--overwrite"]


def _ingest(folder: Path) -> list[str]:
    work = Workplace(folder)
    for name in ("one", "two"):
        work.add(name)
    arguments = ["ingest", "bags", "--transcripts", "transcripts", "--out", "mine"]
    assert main(arguments) == 0
    (folder / "mine" / "train" / "one" / "annotation.json").write_text(NOTE)
    (work.transcripts / "two.txt").write_text("grasp\n")
    return arguments


def _train(folder: Path) -> list[str]:
    for name in ("groundTruth", "features", "splits", "run"):
        (folder / name).mkdir()
    (folder / "mapping.txt").write_text("0 background\n1 reach\n")
    for clip in ("one", "two", "three"):
        (folder / "groundTruth" / f"{clip}.txt").write_text("reach\nreach\nbackground\n")
        np.save(folder / "features" / f"{clip}.npy", np.zeros((3, 4), np.float32))
    (folder / "splits" / "train.split1.bundle").write_text("one.txt\ntwo.txt\n")
    (folder / "splits" / "test.split1.bundle").write_text("three.txt\n")
    (folder / "mine.yaml").write_text(f"data: {{folder: '{folder}', layout: auto, cache: '{folder}/cache'}}\n")
    (folder / "run" / "labels.npz").write_text(NOTE)
    return ["train", str(folder / "mine.yaml"), "--checkpoint", str(folder / "run")]


def _export(folder: Path) -> list[str]:
    (folder / ENCODER).write_text(NOTE)  # the user's own encoder, where the bundle is to be
    return ["export", str(folder / "run"), "--out", str(folder)]


def _file(*command: str, name: str = "mine.json") -> Callable[[Path], list[str]]:
    def arguments(folder: Path) -> list[str]:
        bag = write(folder / "bag")
        (folder / name).write_text(json.dumps([NOTE]))
        return [command[0], *([str(bag)] if command[1:] == ("bag",) else []), "--out", str(folder / name)]

    return arguments


def _picture(folder: Path) -> list[str]:
    (folder / "mine.svg").write_text(f"<svg><!-- {NOTE} --></svg>")
    return ["demo", "--out", str(folder / "new"), "--screenshot", str(folder / "mine.svg")]


CASES: dict[str, Callable[[Path], list[str]]] = {
    "sim": _sim,
    "ingest": _ingest,
    "train": _train,
    "export": _export,
    "device": _file("device"),
    "label": _file("label", "bag", name="mine.mcap"),
    "replay": _file("replay", "bag", name="mine.mcap"),
    "report": _file("report", "bag", name="report.html"),
    "demo": _file("demo"),
    "demo's picture": _picture,
    "bench": _file("bench"),
}
MARKS = {
    "demo's picture": pytest.mark.ros,
    "sim": pytest.mark.sim,
    "train": pytest.mark.torch,
    "export": pytest.mark.torch,
}
ELSEWHERE = {
    "evaluate": "test_result_rows_spare_a_users_file",
    "tables": "test_result_rows_spare_a_users_file",
    "predict": "test_labels_spare_an_annotation_of_their_name",
    "recover": "test_a_recording_is_not_mended_over_a_users_folder",
    "recorder": "test_a_recording_is_not_begun_in_a_users_folder",
    "compile": "",  # writes into its own cache alone
    **dict.fromkeys(("verify", "doctor", "view", "segmenter", "player", "simulated_robot"), ""),  # write nothing
}


def test_every_command_is_thought_of() -> None:
    assert {*(name.partition("'")[0] for name in CASES), *ELSEWHERE} == {*SUBCOMMANDS, *NODES}
    assert all(not name or name in globals() for name in ELSEWHERE.values())


@pytest.mark.parametrize("command", [pytest.param(name, marks=MARKS.get(name, ())) for name in CASES])
def test_a_users_file_in_the_way_stays(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(building, "in_order", lambda job, made, _: map(job, made))
    monkeypatch.setattr(os, "environ", dict(os.environ))  # the demo sets its own
    monkeypatch.chdir(tmp_path)
    arguments = CASES[command](tmp_path)
    before = contents(tmp_path)
    capsys.readouterr()
    assert main(arguments) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith(f"hal {arguments[0]}: "), said
    assert not [line for line in said if line.startswith("Traceback")], said
    assert {path: content for path, content in contents(tmp_path).items() if path in before} == before


def test_result_rows_spare_a_users_file(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"metric": "MoF", "mean": 1.0, "std": None}]
    write_records(tmp_path / "rows.json", rows)
    write_records(tmp_path / "rows.json", rows * 2)
    (tmp_path / "mine.json").write_text(json.dumps([NOTE]))
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match=r"mine\.json: is there already and is not result rows"):
        write_records(tmp_path / "mine.json", rows)
    assert contents(tmp_path) == before


def test_labels_spare_an_annotation_of_their_name(tmp_path: Path) -> None:
    write_labels(tmp_path, "clip", ["reach", "grasp"])
    write_labels(tmp_path, "clip", ["reach", "grasp"])
    with pytest.raises(ConfigError, match=r"clip\.txt: is there already and is not the same labels"):
        write_labels(tmp_path, "clip", ["reach", "reach"])
    assert (tmp_path / "clip.txt").read_text() == "reach\ngrasp\n"


def test_a_recording_is_not_mended_over_a_users_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write(tmp_path / "bag")
    (file,) = bag.glob("*.mcap")
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(file.read_bytes()[:-100])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "metadata.yaml").write_text(NOTE)
    before = contents(tmp_path)
    assert main(["recover", str(cut), "--out", str(tmp_path / "mine")]) == 1
    assert contents(tmp_path) == before
    assert "hal recover: " in capsys.readouterr().err


def test_a_recording_is_not_begun_in_a_users_folder(tmp_path: Path) -> None:
    for name in ("metadata.yaml", "mine_0.mcap"):
        (tmp_path / name / "mine").mkdir(parents=True)
        (tmp_path / name / "mine" / name).write_text(NOTE)
    before = contents(tmp_path)
    for name in ("metadata.yaml", "mine_0.mcap"):
        with pytest.raises(BagError, match=name):
            BackgroundWriter(tmp_path / name / "mine", {}, 1 << 20)
    assert contents(tmp_path) == before


@pytest.mark.torch
def test_an_export_replaces_the_files_of_a_bundle_alone(tmp_path: Path) -> None:
    from hal_ros.export.bundle import check_place

    (tmp_path / ENCODER).write_bytes(b"a graph")
    (tmp_path / "README.md").write_text(NOTE)
    save_card(make_card(), tmp_path)
    check_place(tmp_path)
    (tmp_path / ENCODER).write_bytes(b"another graph")
    with pytest.raises(HalError, match=r"encoder\.onnx: is no file of the bundle there, or was changed"):
        check_place(tmp_path)
