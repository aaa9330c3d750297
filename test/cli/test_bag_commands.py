"""`hal replay` and `hal recover` as a user meets them: what they print, write and return."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fakes import SIZE_PX, FakeBackend, make_card, picture
from hal_ros.bags.definitions import BagTypes
from hal_ros.bags.frames import due_frames
from hal_ros.bags.inputs import inputs_among
from hal_ros.bags.messages import deserialise, header_message, known_class, serialise
from hal_ros.bags.reader import METADATA, BagMessage, BagWriter, read_messages
from hal_ros.bags.sensors import IMAGE
from hal_ros.cli import main
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.streams.spec import JOINT_STATE
from hal_ros.offline import bundle, run
from hal_ros.offline.replay import LABEL_TOPIC, PLAN_TOPIC, replay
from hal_ros.runtime.bundle import save_card

CAMERA, JOINTS = "/camera/color/image_raw", "/joint_states"
START_NS, PERIOD_NS = 5_000_000_000, 100_000_000
STORY = ["red"] * 5 + ["blue"] * 6


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle that the fake backend runs."""
    monkeypatch.setattr(bundle, "open_backend", lambda opened, *_: (FakeBackend(opened.card), "by the test"))
    monkeypatch.setattr(bundle, "check_golden", lambda *_: None)
    (tmp_path / "model").mkdir()
    return save_card(make_card(), tmp_path / "model").folder


def sensors() -> list[BagMessage]:
    messages = []
    for tick, colour in enumerate(STORY):
        header = header_message(START_NS + tick * PERIOD_NS, "camera")
        pixels = picture(colour).reshape(-1)
        image = known_class(IMAGE)(header, SIZE_PX, SIZE_PX, "rgb8", 0, 3 * SIZE_PX, pixels)
        joints = known_class(JOINT_STATE)(header, ["a", "b"], np.ones(2), np.ones(2), np.ones(2))
        stamp_ns = START_NS + tick * PERIOD_NS
        messages.append(BagMessage(JOINTS, JOINT_STATE, stamp_ns, serialise(joints)))
        messages.append(BagMessage(CAMERA, IMAGE, stamp_ns + 1, serialise(image)))
    return messages


def answers(first: int = 0) -> list[BagMessage]:
    card = make_card()
    inputs = inputs_among({CAMERA: IMAGE, JOINTS: JOINT_STATE}, BagTypes(), card.streams, card.name)
    frames = due_frames(sensors()[first:], inputs, Counter())
    return list(replay(frames, Segmenter(card, FakeBackend(card))))


def write(path: Path, messages: list[BagMessage]) -> Path:
    with BagWriter(path) as bag:
        for topic, type_name, receive_ns, data, _ in messages:
            bag.write(topic, type_name, data, receive_ns)
    return path


def test_replay_writes_labels_and_says_what_it_read(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write(tmp_path / "run", sensors())
    for name in ("first.mcap", "second.mcap"):
        assert main(["replay", str(bag), "--model", str(model), "--out", str(tmp_path / name)]) == 0
    printed = capsys.readouterr().out
    assert f"camera {CAMERA}, joints {JOINTS}" in printed
    assert "11 labels, 3 boundaries" in printed
    assert "times real time" in printed
    assert (tmp_path / "first.mcap").read_bytes() == (tmp_path / "second.mcap").read_bytes()
    written = list(read_messages(tmp_path / "first.mcap"))
    assert [m for m in written if m.topic != "/segmenter/vocabulary"] == answers()
    assert written[0].topic == "/segmenter/vocabulary"
    assert deserialise(written[0].type_name, written[0].data).labels == list(make_card().vocabulary)


def test_an_interrupted_replay_leaves_nothing_behind(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write(tmp_path / "run", sensors())
    there = sorted(tmp_path.iterdir())

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for name in ("out.mcap", "out"):
        arguments = ["replay", str(bag), "--model", str(model), "--out", str(tmp_path / name)]
        with monkeypatch.context() as patch:
            patch.setattr(run, "write_vocabulary", stop)
            assert main(arguments) != 0
        assert sorted(tmp_path.iterdir()) == there
    for name, file in (("out.mcap", "out.mcap"), ("out", "out/out_0.mcap")):
        assert main(["replay", str(bag), "--model", str(model), "--out", str(tmp_path / name)]) == 0
        assert f"{tmp_path / file}: written\n" in capsys.readouterr().out


def test_replay_compares_with_the_recorded_labels(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write(tmp_path / "run", sensors() + answers())
    assert main(["replay", str(bag), "--model", str(model), "--ticks-from", str(bag)]) == 0
    printed = capsys.readouterr().out
    assert (
        f"{LABEL_TOPIC}: 11 of 11 recorded messages equal byte for byte\n" in printed and "--ticks-from" not in printed
    )


def test_replay_begins_with_the_recorded_labels(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write(tmp_path / "run", sensors() + answers(6))  # the node came after three images
    assert main(["replay", str(bag), "--model", str(model)]) == 0
    printed = capsys.readouterr().out
    assert f"{LABEL_TOPIC}: 8 of 8 recorded messages equal byte for byte\n" in printed
    assert "3 messages of the clock before the first recorded label" in printed
    assert main(["replay", str(bag), "--model", str(model), "--from-start"]) == 0
    assert f"{LABEL_TOPIC}: 0 of 8 recorded" in capsys.readouterr().out


def test_replay_returns_one_when_recorded_labels_are_not_repeated(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = answers()
    label = deserialise(changed[1].type_name, changed[1].data)
    label.confidence = 0.25
    changed[1] = changed[1]._replace(data=serialise(label))
    bag = write(tmp_path / "run", sensors() + changed)
    assert main(["replay", str(bag), "--model", str(model)]) == 0  # a comparison, no promise
    assert f"--ticks-from {bag} steps what the labels name" in capsys.readouterr().out
    assert main(["replay", str(bag), "--model", str(model), "--ticks-from", str(bag)]) == 1
    printed = capsys.readouterr().out
    assert f"{LABEL_TOPIC}: 10 of 11 recorded messages equal byte for byte; the first that differs" in printed
    other = write(tmp_path / "bare", sensors())
    assert main(["replay", str(bag), "--model", str(model), "--ticks-from", str(other)]) == 1  # names no tick at all


def test_replay_follows_a_plan(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write(tmp_path / "run", sensors())
    plan = tmp_path / "plan.txt"
    plan.write_text("red  # the first step\n\nblue\ngreen\n")
    assert (
        main(["replay", str(bag), "--model", str(model), "--plan", str(plan), "--out", str(tmp_path / "o.mcap")]) == 0
    )
    printed = capsys.readouterr().out
    assert "0.0 s  step  1 of 3      red" in printed and "step  2 of 3      blue" in printed
    assert "green" not in printed and "something else" not in printed
    written = [m for m in read_messages(tmp_path / "o.mcap") if m.topic == PLAN_TOPIC]
    progress = [deserialise(m.type_name, m.data) for m in written]
    assert len(progress) == len(STORY) - make_card().lag_ticks
    assert [p.label for p in (progress[0], progress[-1])] == ["red", "blue"]
    assert progress[-1].remaining_steps == 1 and 0 < progress[0].progress < progress[-1].progress < 1


@pytest.mark.parametrize(
    ("text", "says"), [("red\nblu", "'blu' is unknown; did you mean 'blue'?"), ("# none", "plan is empty")]
)
def test_a_plan_that_can_not_be_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    plan = tmp_path / "plan.txt"
    plan.write_text(text)
    bag = write(tmp_path / "run", sensors())
    assert main(["replay", str(bag), "--model", str(model), "--plan", str(plan)]) == 1
    error = capsys.readouterr().err
    assert str(plan) in error and says in error and error.count("\n") == 1


def test_replay_refuses_in_one_line(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.mcap").touch()
    bag = write(tmp_path / "run", answers())  # no camera
    existing = write(tmp_path / "with_camera", sensors())
    for arguments in (
        [tmp_path / "gone"],
        [tmp_path / "empty.mcap"],
        [bag],
        [existing, "--image-topic", "/other"],
        [existing, "--out", existing],
        [existing, "--model", tmp_path / "gone"],
        [existing, "--plan", tmp_path / "gone"],
    ):
        assert main(["replay", "--model", str(model), *map(str, arguments)]) == 1, arguments
        error = capsys.readouterr().err
        assert error.startswith("hal replay: "), arguments
        assert error.count("\n") == 1, arguments


def test_recover_finishes_a_cut_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write(tmp_path / "run", sensors())
    assert main(["recover", str(bag)]) == 0
    assert "nothing to recover" in capsys.readouterr().out
    (bag / METADATA).unlink()
    file = bag / "run_0.mcap"
    file.write_bytes(file.read_bytes()[:-300])
    assert main(["recover", str(bag)]) == 0
    assert f"{bag}-recovered: 22 messages recovered" in capsys.readouterr().out
    assert list(read_messages(Path(f"{bag}-recovered"))) == sensors()
    assert main(["recover", str(bag)]) == 1  # never over what is there
    assert capsys.readouterr().err.startswith("hal recover: ")
    assert main(["recover", str(tmp_path / "gone")]) == 1
