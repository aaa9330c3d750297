"""`hal replay` from a bag to its verdict: what is said, what is compared, and that nothing is kept meanwhile."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import SIZE_PX, FakeBackend, make_card, picture
from hal_ros.bags.answer_messages import BOUNDARY_TYPE
from hal_ros.bags.messages import header_message, known_class, serialise
from hal_ros.bags.reader import BagMessage, BagWriter, read_messages
from hal_ros.bags.sensors import IMAGE
from hal_ros.core.streams.spec import JOINT_STATE
from hal_ros.offline import bundle, run
from hal_ros.offline.bundle import BundleChoice
from hal_ros.offline.labelling import LabelJob, run_label
from hal_ros.offline.recording import read_recording
from hal_ros.offline.replay import BOUNDARY_TOPIC, LABEL_TOPIC, AgainstRecording
from hal_ros.offline.run import ReplayJob, run_replay

START_NS = 5_000_000_000
STORY = ["red"] * 5 + ["blue"] * 6 + ["green"] * 4
SLOW = (
    "the tick grid began anew 13 times: camera comes at 1.2 Hz, the model's ticks at 10 Hz; expected 2.5 Hz at least; "
    "segments end there"
)
MB = 1_000_000


@pytest.fixture
def choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BundleChoice:
    """A bundle that the fake backend runs."""
    monkeypatch.setattr(bundle, "open_backend", lambda opened, *_: (FakeBackend(opened.card), "by the test"))
    monkeypatch.setattr(bundle, "check_golden", lambda *_: None)
    (tmp_path / "model").mkdir()
    from hal_ros.runtime.bundle import save_card

    return BundleChoice(save_card(make_card(), tmp_path / "model").folder)


def labelled(path: Path, choice: BundleChoice, period_ns: int = 10**8) -> tuple[Path, list[str]]:
    """Write a bag of images and joints with its labels; returns it, and what was said of labelling it."""
    with BagWriter(path) as bag:
        for tick, colour in enumerate(STORY):
            stamp_ns = START_NS + tick * period_ns
            header, pixels = header_message(stamp_ns, "camera"), picture(colour).reshape(-1)
            joints = known_class(JOINT_STATE)(header, ["a", "b"], *[np.ones(2)] * 3)
            bag.write("/joint_states", JOINT_STATE, serialise(joints), stamp_ns)
            image = known_class(IMAGE)(header, SIZE_PX, SIZE_PX, "rgb8", 0, 3 * SIZE_PX, pixels)
            bag.write("/camera/color/image_raw", IMAGE, serialise(image), stamp_ns + 1)
    lines: list[str] = []
    run_label(LabelJob(path), choice, lines.append)
    return path.with_name(f"{path.name}-labelled"), lines


def answers(bag: Path) -> list[BagMessage]:
    return list(read_messages(bag, (LABEL_TOPIC, BOUNDARY_TOPIC)))


def test_a_labelled_bag_is_replayed_written_and_compared(choice: BundleChoice, tmp_path: Path) -> None:
    bag, _ = labelled(tmp_path / "run", choice)
    lines: list[str] = []
    assert run_replay(ReplayJob(bag, tmp_path / "out", ticks_from=bag), choice, lines.append)
    assert lines[2] == f"{tmp_path / 'out' / 'out_0.mcap'}: written"
    assert lines[3] == f"{len(STORY)} labels, 4 boundaries"
    assert lines[-2:] == [
        f"{LABEL_TOPIC}: {len(STORY)} of {len(STORY)} recorded messages equal byte for byte",
        f"{BOUNDARY_TOPIC}: 4 of 4 recorded messages equal byte for byte",
    ]
    assert answers(tmp_path / "out") == answers(bag)
    assert run_replay(ReplayJob(bag), choice, lines.append)  # from where its first label begins


def test_a_camera_that_is_slower_than_the_model_is_told_with_both_rates(choice: BundleChoice, tmp_path: Path) -> None:
    bag, lines = labelled(tmp_path / "slow", choice, 800_000_000)
    assert SLOW in lines
    lines = []
    run_replay(ReplayJob(bag, from_start=True), choice, lines.append)
    assert SLOW in lines
    assert read_recording(bag).remark == (
        "the tick grid began anew 13 times: what drives it comes at 1.2 Hz, the model's ticks at 10 Hz; "
        "segments end there"
    )
    bag, lines = labelled(tmp_path / "usual", choice)
    assert not any("anew" in line for line in [*lines, read_recording(bag).remark])


@pytest.mark.parametrize("out", [None, "out"])
def test_memory_does_not_grow_with_the_answers(
    out: str | None, choice: BundleChoice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def many(*_: Any) -> Iterator[BagMessage]:
        for index in range(80):
            yield BagMessage(BOUNDARY_TOPIC, BOUNDARY_TYPE, START_NS + index, bytes(MB))

    bag, _ = labelled(tmp_path / "run", choice)
    monkeypatch.setattr(run, "replay", many)
    tracemalloc.start()
    try:
        run_replay(ReplayJob(bag, tmp_path / out if out else None, from_start=True), choice, lambda _: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30 * MB


def test_what_waits_to_be_compared_is_what_lies_between_two_topics(tmp_path: Path, choice: BundleChoice) -> None:
    bag, _ = labelled(tmp_path / "run", choice)
    recorded, read = answers(bag), []
    from hal_ros.bags.definitions import BagTypes

    source = (read.append(message) or message for message in recorded)
    against = AgainstRecording(source, (LABEL_TOPIC, BOUNDARY_TOPIC), BagTypes.of(bag))
    for number, answer in enumerate(against.of(recorded), 1):
        assert answer == recorded[number - 1] and len(read) == number  # never ahead of what is replayed
    assert all(result.holds and result.equal == result.recorded for result in against.results())
