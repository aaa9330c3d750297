"""`hal ingest`: what it prints, where, with which exit code, and which arguments belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hal_ros.cli import main
from hal_ros.datasets import build as building
from hal_ros.datasets import plan as planning
from hal_ros.datasets.look.asked import AskedState, AskedStreams
from hal_ros.datasets.plan import Problems, Request
from hal_ros.train.config import load_config
from user_folder import CAMERA, JOINTS, TICKS, Workplace, messages, write_config

BAGS, TRANSCRIPTS = Path("bags"), Path("transcripts")
MINE = ("ingest", "bags", "--transcripts", "transcripts", "--out", "mine")
FOLDER = "expected the folder with <bag name>.txt for each bag"
OWN = (
    *(("--out", "x"), ("--config", "x"), ("--split", "x"), ("--camera-topic", "/x"), ("--joint-topic", "/x")),
    *(("--copy",), ("--partial",), ("--replace",), ("--camera", "/x"), ("--state", "x=/x")),
)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A user's folder, in which the command is called; bags are read in this process, which is quicker."""
    monkeypatch.setattr(building, "in_order", lambda job, made, _: map(job, made))
    monkeypatch.chdir(tmp_path)
    return Workplace(tmp_path)


def test_what_was_done_is_printed(work: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    work.add("demo_0")
    work.add("demo_1", "reach", "grasp")
    assert main([*MINE]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines() == [
        "topic                    type                      Hz  skew ms  bags  stream",
        f"{CAMERA}  sensor_msgs/Image       10.0        0   2/2  camera (clock)",
        f"{JOINTS}            sensor_msgs/JointState  10.0        0   2/2  joints",
        "joints: a, b",
        f"mine/train: 1 episode, 1 of this call: {TICKS} ticks, 0 of them held",
        f"mine/validation: 1 episode, 1 of this call: {TICKS} ticks, 0 of them held",
        "3 actions: grasp, lift, reach",
        "next: hal train mine/train.yaml",
    ]
    assert main([*MINE]) == 0  # follows the settings that it wrote
    assert capsys.readouterr() == printed


def test_problems_are_told_once_on_stderr(work: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    work.add("demo")
    (work.transcripts / "demo.txt").unlink()
    assert main(["ingest", "bags/demo", "gone", "gone", *MINE[2:]]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "hal ingest: gone: does not exist; expected .mcap or .db3 files or rosbag2 folders",
        "hal ingest: bag demo: has no transcript; expected transcripts/demo.txt",
        "hal ingest: nothing was added to mine",
    ]
    assert not work.out.exists()


def test_a_bag_that_gives_no_tick_is_told_too(work: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    cut = [m._replace(data=m.data[:30]) if m.topic == CAMERA else m for m in messages()]
    work.add("demo", content=cut)
    assert main([*MINE]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"hal ingest: bag demo: gives no tick; expected messages on {CAMERA} (camera: {TICKS} messages malformed)",
        "hal ingest: nothing was added to mine",
    ]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What is asked for, and not done."""
    seen: list[Request] = []

    def refuse(request: Request) -> Problems:
        seen.append(request)
        return Problems(Path("mine"), ())

    monkeypatch.setattr(planning, "plan", refuse)
    return seen


def test_what_is_not_said_is_left_to_the_plan(work: Workplace, asked: list[Request]) -> None:
    assert main(["ingest", "bags", "more", "--transcripts", "transcripts"]) == 1
    assert asked == [Request((BAGS, Path("more")), TRANSCRIPTS)]


def test_every_argument_is_asked_for(work: Workplace, asked: list[Request]) -> None:
    topics = ["--camera-topic", "/c", "--joint-topic", "/j", "--state", "w=/w:a,b", "--camera", "front=/f"]
    flags = ["--copy", "--partial", "--replace", "--groups", "users.csv"]
    config = write_config(work)
    assert main([*MINE, "--config", str(config), "--split", "", *topics, *flags]) == 1
    data = load_config(config).data
    mine = Path("mine")
    states = {"w": AskedState(("/w",), ("a", "b")), "joints": AskedState(("/j",))}
    streams = AskedStreams({"front": ("/f",), "camera": ("/c",)}, states, only=True)
    assert asked == [
        Request((BAGS,), TRANSCRIPTS, mine, config, data, "", streams, True, True, True, groups=Path("users.csv"))
    ]


@pytest.mark.parametrize("arguments", [("--out", "mine"), ()])
def test_the_settings_in_the_dataset_are_followed(
    work: Workplace, asked: list[Request], arguments: tuple[str, ...]
) -> None:
    folder = work.out if arguments else Path("datasets/mine")
    folder.mkdir(parents=True)
    write_config(work).rename(folder / "train.yaml")
    main(["ingest", "bags", "--transcripts", "transcripts", *arguments])
    assert [request.data for request in asked] == [load_config(folder / "train.yaml").data]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("bags", "--transcripts", "transcripts", "--splits", "train"), "is for settings; expected --split for bags"),
        (
            ("bags", "--transcripts", "transcripts", "--state", "x"),
            "--state x: has no name or no topic; expected --state",
        ),
        (("bags", "--transcripts", "transcripts", "--camera", "x="), "--camera x=: has no name or no topic"),
        (("bags",), "bags: is no settings file; expected one .yaml, or bags with --transcripts DIR"),
        (("a.yaml", "b.yaml"), "a.yaml: is no settings file"),
        (("bags", "--transcripts", "transcripts", "--config", "gone.yaml"), "config gone.yaml: "),
        (("gone.yaml",), "config gone.yaml: "),
        *((("bags", *own), f"--transcripts is missing; {FOLDER}") for own in OWN),
    ],
)
def test_arguments_that_do_not_belong_together_are_refused(
    work: Workplace, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], text: str
) -> None:
    assert main(["ingest", *arguments]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("hal ingest: ")
    assert text in printed


@pytest.mark.torch
def test_each_split_of_the_settings_is_told(
    work: Workplace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hal_ros.train import stages

    class EncodedClip:
        ticks = 30

    def ingest(_: Any, splits: list[str]) -> Any:
        prepared = [
            stages.PreparedSplit([EncodedClip()] * 2, [Path("x")] * 3, split.ljust(64, "f"))  # type: ignore[list-item]  # a double
            for split in splits
        ]
        return stages.IngestedSplits(None, None, prepared)  # type: ignore[arg-type]  # nobody asks for them

    monkeypatch.setattr(stages, "ingest", ingest)
    assert main(["ingest", str(write_config(work))]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "train: 3 episodes, 60 ticks, trainfffffff",
        "validation: 3 episodes, 60 ticks, validationff",
    ]
    assert main(["ingest", str(write_config(work)), "--splits", "test"]) == 0
    assert capsys.readouterr().out == "test: 3 episodes, 60 ticks, testffffffff\n"
