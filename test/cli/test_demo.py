"""`hal demo` with its real processes: it works, it says why when it doesn't, and Ctrl-C leaves nothing behind."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

pytest.importorskip("rclpy")
from colour_bundle import write_bundle
from fakes import COLOURS, picture
from hal_ros.bags import messages
from hal_ros.bags.reader import BagWriter, read_messages
from hal_ros.live import shared_memory
from hal_ros.runtime.bundle import GOLDEN, load_bundle, save_card

pytestmark = [pytest.mark.ros, pytest.mark.slow]
DEADLINE_S = 100
FIRST_NS, PERIOD_NS, COUNT = 1_000_000_000, 1_000_000_000 // 15, 60
PROGRAMS = ("hal_ros.ros.player", "hal_ros.ros.segmenter.main", "hal_ros.ros.recorder")


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    """Write four seconds of pictures that change their colour every second, with joints and truth."""
    image_type = messages.known_class("sensor_msgs/msg/CompressedImage")
    joints_type = messages.known_class("sensor_msgs/msg/JointState")
    truth_type = messages.known_class("hal_msgs/msg/ActionTruth")
    with BagWriter(tmp_path / "bag") as writer:
        for index in range(COUNT):
            stamp_ns = FIRST_NS + index * PERIOD_NS
            colour = COLOURS[index // 15 % 3]
            header = messages.header_message(stamp_ns, "camera")
            _, jpeg = cv2.imencode(".jpg", picture(colour, 64)[..., ::-1])
            zeros = np.zeros(2)
            for topic, message in (
                ("/joint_states", joints_type(header, ["a", "b"], zeros, zeros, zeros)),
                ("/camera/color/image_raw/compressed", image_type(header, "jpeg", jpeg.ravel())),
                ("/simulation/action_truth", truth_type(header, colour, 1 + index // 15)),
            ):
                writer.write(topic, message.__msgtype__, messages.serialise(message), stamp_ns)
    return tmp_path / "bag"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "colours").folder


def start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hal_ros", "demo", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def processes_of(domain: str) -> list[str]:
    """Return the command lines of the demo's processes that run in this test's domain."""
    return [line for process in psutil.process_iter() if (line := _program_in(process, domain))]


def _program_in(process: psutil.Process, domain: str) -> str:
    with contextlib.suppress(psutil.Error):  # it has just ended
        command = process.cmdline()
        if any(program in command for program in PROGRAMS) and process.environ().get("ROS_DOMAIN_ID") == domain:
            return " ".join(command)
    return ""


def segments_of(domain: str) -> list[str]:
    """Return the ports in shared memory that belong to this test's domain; each participant has one or two."""
    first = 7400 + 250 * int(domain)
    own = {f"fastdds_port{port}" for port in range(first, first + 250)}
    return sorted(own & {path.name for path in shared_memory.FOLDER.iterdir()})


@pytest.fixture
def environment(child_environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """Return the environment for a demo; after the test, nothing of it may be left, neither processes nor memory."""
    domain = child_environment["ROS_DOMAIN_ID"]
    before = segments_of(domain)  # somebody else's crash may have left some in this domain
    yield child_environment
    assert processes_of(domain) == []
    assert set(segments_of(domain)) <= set(before)


def test_a_bag_is_played_labelled_recorded_and_reported(
    tmp_path: Path, bag: Path, model: Path, environment: dict[str, str]
) -> None:
    out, picture_path = tmp_path / "out", tmp_path / "view.svg"
    demo = start(
        environment, "--recording", str(bag), "--model", str(model), "--out", str(out), "--duration", "5",
        "--screenshot", str(picture_path),
    )  # fmt: skip
    output, errors = demo.communicate(timeout=DEADLINE_S)
    assert demo.returncode == 0, errors
    assert "first label after" in output
    assert "report.html" in output
    assert str(out / "recording") in output
    labels = [
        messages.deserialise(message.type_name, message.data).label
        for message in read_messages(out / "recording", {"/action_label"})
    ]
    assert set(labels) == set(COLOURS)
    assert (out / "report.html").stat().st_size > 1000
    assert "<svg" in picture_path.read_text(encoding="utf-8")
    assert {path.stem for path in (out / "logs").glob("*.log")} == {"player", "segmenter", "recorder"}


@pytest.mark.parametrize(("after", "presses"), [("starting", 1), ("starting", 2), ("first label after", 2)])
def test_ctrl_c_leaves_nothing_behind(
    tmp_path: Path, bag: Path, model: Path, environment: dict[str, str], after: str, presses: int
) -> None:
    arguments = ["--recording", str(bag), "--model", str(model), "--out", str(tmp_path / "out")]
    demo = start(environment, *arguments)
    assert demo.stdout is not None
    assert any(after in line for line in demo.stdout)
    for _ in range(presses):
        demo.send_signal(signal.SIGINT)
    _, errors = demo.communicate(timeout=DEADLINE_S)
    assert demo.returncode == 130, errors
    assert "Traceback" not in errors


def test_a_process_that_dies_ends_the_demo_with_its_last_words(
    tmp_path: Path, bag: Path, model: Path, environment: dict[str, str]
) -> None:
    bundle = load_bundle(model)
    stored = dict(np.load(model / GOLDEN))
    np.savez(model / GOLDEN, **stored | {"log_probs": stored["log_probs"][::-1]})
    save_card(bundle.card, model)  # whole, but its golden arrays say that the engine is wrong
    demo = start(environment, "--recording", str(bag), "--model", str(model), "--out", str(tmp_path / "out"))
    _, errors = demo.communicate(timeout=DEADLINE_S)
    assert demo.returncode == 1
    assert "segmenter ended by itself with code 1" in errors
    assert "golden.npz" in errors  # out of the segmenter's log


def test_a_killed_process_leaves_no_shared_memory(
    tmp_path: Path, bag: Path, model: Path, environment: dict[str, str]
) -> None:
    arguments = ["--recording", str(bag), "--model", str(model), "--out", str(tmp_path / "out")]
    demo = start(environment, *arguments)
    assert demo.stdout is not None
    assert any("labels 1" in line for line in demo.stdout)  # two figures: it has run for a while
    children = psutil.Process(demo.pid).children()
    next(child for child in children if "hal_ros.ros.segmenter.main" in child.cmdline()).kill()
    _, errors = demo.communicate(timeout=DEADLINE_S)
    assert demo.returncode == 1
    assert "segmenter ended by itself with code -9" in errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--duration", "0"], "--duration is 0"),
        (["--recording", "/nowhere.mcap"], "/nowhere.mcap"),
        (["--model", "/nowhere"], "/nowhere"),
        (["--out", "/proc"], "--out /proc exists"),
    ],
)
def test_wrong_arguments_end_at_once_with_one_line(
    tmp_path: Path, bag: Path, model: Path, environment: dict[str, str], arguments: list[str], words: str
) -> None:
    rest = {"--model": str(model), "--recording": str(bag), "--out": str(tmp_path / "out"), "--duration": "5"}
    rest |= dict([arguments])
    demo = start(environment, *(part for option in rest.items() for part in option))
    output, errors = demo.communicate(timeout=DEADLINE_S)
    assert demo.returncode == 1
    assert words in errors
    assert "Traceback" not in output + errors
    assert not (tmp_path / "out").exists()
