"""A recording loses nothing silently: neither to a full queue nor to a disk that refuses."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mcap.reader import make_reader

from hal_ros.bags.background_writer import BackgroundWriter, Recorded, Topic
from hal_ros.bags.messages import schema_text
from hal_ros.bags.reader import BagNotes, qos_profile, qos_text, read_messages
from hal_ros.bags.writer import COMPRESSIONS, BagWriter
from hal_ros.core.errors import BagError

IMAGE = "sensor_msgs/msg/Image"
MIB = 1 << 20
DEADLINE_S = 20.0


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        threading.Event().wait(0.01)


def message(number: int, size: int = 1000) -> Recorded:
    return Recorded("/image", IMAGE, number.to_bytes(size, "little"), 1_000 + number, 500 + number)


def start(folder: Path, queue_bytes: int = 64 * MIB) -> BackgroundWriter:
    recording = BackgroundWriter(folder, {"bundle": {"name": "x"}}, queue_bytes)
    recording.announce(Topic("/image", IMAGE, qos_text([qos_profile()]), schema_text(IMAGE)))
    return recording


def test_all_that_was_put_is_in_the_file(tmp_path: Path) -> None:
    recording = start(tmp_path / "run")
    sent = [message(number) for number in range(500)]
    for one in sent:
        recording.put(one)
    recording.close()
    assert [m.data for m in read_messages(tmp_path / "run")] == [m.data for m in sent]
    assert recording.written["/image"] == 500
    assert not recording.dropped.total()


def test_what_is_put_while_it_flushes_is_written_though_it_is_closed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushing, let_go = threading.Event(), threading.Event()

    def slow_flush(writer: BagWriter) -> None:
        flushing.set()
        assert let_go.wait(DEADLINE_S)

    monkeypatch.setattr(BagWriter, "flush_if_due", slow_flush)
    recording = start(tmp_path / "run")
    assert flushing.wait(DEADLINE_S)
    recording.put(message(1))
    closing = threading.Thread(target=recording.close)
    closing.start()
    until(lambda: recording._ending)
    let_go.set()
    closing.join(DEADLINE_S)
    assert recording.written["/image"] == 1


def test_a_quiet_recording_reaches_the_disk_without_being_closed(tmp_path: Path) -> None:
    recording = start(tmp_path / "run")
    try:
        recording.put(message(1))
        until(lambda: list(read_messages(recording.file)))
        notes = BagNotes()
        assert [m.receive_ns for m in read_messages(recording.file, notes=notes)] == [1_001]
        assert notes.cut_off
    finally:
        recording.close()


def test_what_does_not_fit_is_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_through = threading.Event()
    recording = start(tmp_path / "run", queue_bytes=10_000)
    write = recording._writer.write
    monkeypatch.setattr(recording._writer, "write", lambda *args: let_through.wait(DEADLINE_S) and write(*args))
    for number in range(50):
        recording.put(message(number))
    let_through.set()
    recording.close()
    read = [m.receive_ns - 1_000 for m in read_messages(tmp_path / "run")]
    assert recording.dropped["/image"] == 50 - len(read)
    assert 10 <= len(read) <= 11
    assert read == list(range(len(read)))  # the oldest are kept


@pytest.fixture
def full_device(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "device"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def noise(number: int) -> Recorded:
    """A message that does not compress."""
    import random

    return message(number)._replace(data=random.Random(number).randbytes(20_000))


def test_a_full_device_ends_the_recording_with_one_line(full_device: Path) -> None:
    recording = start(full_device / "run")
    sent = [noise(number) for number in range(100)]
    for one in sent:
        recording.put(one)
        if one.receive_ns == 1_005:
            until(lambda: len(list(read_messages(recording.file))) == 6)
    until(lambda: recording.failure is not None)
    recording.put(sent[0])
    with pytest.raises(BagError, match="No space left on device") as caught:
        recording.close()
    assert "\n" not in str(caught.value)
    kept = [m.data for m in read_messages(recording.file)]
    assert kept == [m.data for m in sent[: len(kept)]]
    assert len(kept) >= 6
    assert recording.written["/image"] + recording.dropped["/image"] >= 100


LIMITED = """
import resource, sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from test_background_writer import noise, start, until
from hal_ros.bags.reader import read_messages
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
recording = start(Path({folder!r}))
recording.put(noise(0))
until(lambda: list(read_messages(recording.file)))
for number in range(1, 100):
    recording.put(noise(number))
until(lambda: recording.failure is not None)
print(recording.failure)
print(len(list(read_messages(recording.file))))
"""


def test_a_limit_on_file_size_ends_the_recording_with_one_line(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    root = Path(__file__).parents[2]
    code = LIMITED.format(root=str(root), tests=str(Path(__file__).parent), folder=str(tmp_path / "run"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    failure, kept = done.stdout.splitlines()
    assert "File too large" in failure
    assert int(kept) >= 1


def test_an_unforeseen_error_of_the_writer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = start(tmp_path / "run")
    monkeypatch.setattr(recording._writer, "write", lambda *_: 1 / 0)
    recording.put(message(1))
    with pytest.raises(BagError, match="ZeroDivisionError"):
        recording.close()


def test_a_file_where_the_folder_should_be_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("in the way")
    with pytest.raises(BagError, match="can't be made"):
        BackgroundWriter(tmp_path / "recordings" / "run", {}, MIB)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_chunks_are_compressed_as_asked(tmp_path: Path, compression: str) -> None:
    recording = BackgroundWriter(tmp_path / "run", {}, 64 * MIB, compression)
    recording.announce(Topic("/image", IMAGE, qos_text([qos_profile()]), schema_text(IMAGE)))
    sent = [message(number, 100_000) for number in range(3)]
    for one in sent:
        recording.put(one)
    recording.close()
    with recording.file.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    assert {index.compression for index in summary.chunk_indexes} == {"" if compression == "none" else compression}
    assert [one.data for one in read_messages(tmp_path / "run")] == [one.data for one in sent]
