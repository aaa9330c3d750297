"""`hal label` as a user calls it; what it does to a bag is tested with `hal_ros.offline.labelling`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from fakes import SIZE_PX, FakeBackend, make_card, picture
from hal_ros.bags.messages import header_message, known_class, serialise
from hal_ros.bags.reader import BagWriter, read_messages
from hal_ros.bags.sensors import IMAGE
from hal_ros.cli import main
from hal_ros.core.streams.spec import JOINT_STATE
from hal_ros.offline import bundle
from hal_ros.offline.replay import LABEL_TOPIC
from hal_ros.runtime.bundle import save_card

CAMERAS = ("/left", "/right")
TICKS = 5


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle that the fake backend runs."""
    monkeypatch.setattr(bundle, "open_backend", lambda opened, *_: (FakeBackend(opened.card), "by the test"))
    monkeypatch.setattr(bundle, "check_golden", lambda *_: None)
    (tmp_path / "model").mkdir()
    return save_card(make_card(), tmp_path / "model").folder


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    """Two cameras and two topics of joint states, so that each must be named."""
    with BagWriter(tmp_path / "run") as writer:
        for tick in range(TICKS):
            header = header_message(10**9 + tick * 10**8, "camera")
            for camera in CAMERAS:
                pixels = picture("red").reshape(-1)
                image = known_class(IMAGE)(header, SIZE_PX, SIZE_PX, "rgb8", 0, 3 * SIZE_PX, pixels)
                writer.write(camera, IMAGE, serialise(image), 10**9 + tick * 10**8)
            for arm in ("/arm", "/gripper"):
                joints = known_class(JOINT_STATE)(header, ["a", "b"], *[np.ones(2)] * 3)
                writer.write(arm, JOINT_STATE, serialise(joints), 10**9 + tick * 10**8)
    return tmp_path / "run"


def test_what_is_given_reaches_the_labelling(
    model: Path, bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--model", str(model), "--camera-topic", "/right", "--joint-topic", "/arm", "--out", str(tmp_path / "out")]
    assert main(["label", str(bag), *given]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].endswith("on fake (by the test)") and printed[1] == f"{bag}: camera /right, joints /arm"
    assert printed[2].startswith(f"{TICKS} labels, ")
    assert printed[-1] == f"{tmp_path / 'out'}: written, {4 * TICKS} messages of the bag and the answers"
    assert sum(message.topic == LABEL_TOPIC for message in read_messages(tmp_path / "out")) == TICKS
    again = ["label", str(tmp_path / "out"), *given[:-1], str(tmp_path / "again")]
    assert main(again) == 1
    assert "or --replace" in capsys.readouterr().err
    assert main([*again, "--replace"]) == 0
    assert f"{tmp_path / 'out'}: {LABEL_TOPIC}, " in capsys.readouterr().out


def test_what_must_be_named_is_asked_for_in_one_line(
    model: Path, bag: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["label", str(bag), "--model", str(model)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hal label: several topics carry ")


def test_several_bags_go_beside_or_into_a_folder_and_one_that_fails_stops_none(
    model: Path, bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bags = tmp_path / "bags"
    for name in ("a", "b", "c"):
        shutil.copytree(bag, bags / name)
        (bags / name / "run_0.mcap").rename(bags / name / f"{name}_0.mcap")
        (bags / name / "metadata.yaml").unlink()
    (bags / "b" / "b_0.mcap").write_bytes(b"no bag at all")
    given = ["--model", str(model), "--camera-topic", "/right", "--joint-topic", "/arm", "--processes", "1"]
    assert main(["label", str(bags), *given, "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert printed.out.count("on fake (by the test)") == 1
    assert f"1 of 3 bags were not labelled: {bags / 'b'}" in printed.err
    assert str(bags / "b") in printed.out.replace("c_0", "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a-labelled", "c-labelled"]
    assert main(["label", str(bags), *given, "--out", str(tmp_path / "out.mcap")]) == 1
    assert "out.mcap: names a file; expected a folder for 3 bags" in capsys.readouterr().err
    assert main(["label", str(bags / "a"), str(bags / "c"), *given]) == 0
    assert {path.name for path in bags.iterdir()} == {"a", "b", "c", "a-labelled", "c-labelled"}


def test_what_killed_calls_left_is_removed_by_the_next_one(model: Path, bag: Path, tmp_path: Path) -> None:
    left = tmp_path / "run-labelled.unfinished-abc"
    left.mkdir()
    (left / ".lock").touch()
    (tmp_path / "run-labelled.unfinished-of-mine").mkdir()  # no lock: nobody's that is known
    assert main(["label", str(bag), "--model", str(model), "--camera-topic", "/right", "--joint-topic", "/arm"]) == 0
    assert not left.exists() and (tmp_path / "run-labelled.unfinished-of-mine").exists()


def test_less_than_one_process_is_refused(bag: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["label", str(bag), "--processes", "0"]) == 1
    assert "--processes is 0; expected 1 or more" in capsys.readouterr().err
