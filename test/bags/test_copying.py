"""A bag that is written again holds all that the old one did, and appears when it is whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from mcap.records import Attachment
from mcap.writer import Writer

from bag_layouts import ODD_NAME, STRING, make_messages, write_mcap
from hal_ros.bags.copying import Changes, beside, copy_bag, whole
from hal_ros.bags.mcap_files import McapFile
from hal_ros.bags.messages import schema_text
from hal_ros.bags.reader import METADATA, BagNotes, RawMessage, raw_messages, topic_forms
from hal_ros.core.errors import BagError

IDL = b"=" * 80 + b"\nIDL: std_msgs/msg/String\nmodule std_msgs { module msg { struct String { string data; }; }; };"


def mixed(path: Path) -> Path:
    """All that MCAP can hold: attachments, records of one name, other encodings, a topic in several forms."""
    with path.open("wb") as stream:
        writer = Writer(stream, chunk_size=100)
        writer.start("ros2", "test")
        writer.add_metadata("note", {"by": "one"})
        writer.add_metadata("note", {"by": "two"})
        writer.add_metadata("rosbag2", {"serialized_metadata": "what metadata.yaml says"})
        idl = writer.register_schema(STRING, "ros2idl", IDL)
        msg = writer.register_schema(STRING, "ros2msg", schema_text(STRING).encode())
        number = writer.register_schema("std_msgs/msg/Int8", "ros2msg", b"int8 data")
        note = writer.register_schema("note", "jsonschema", b"{}")
        forms = [
            writer.register_channel("/chat", "cdr", idl, {"offered_qos_profiles": "a"}),
            writer.register_channel("/chat", "cdr", msg),
            writer.register_channel("/chat", "cdr", number),
            writer.register_channel("/note", "json", note, {"who": "me"}),
            writer.register_channel("/bare", "", 0),
        ]
        writer.register_channel("/silent", "cdr", number)
        for at in range(40):
            writer.add_message(forms[at % 5], 10**18 + at, bytes([at]), 10**18 - at, at * 7)
        writer.add_attachment(1, 2, "a.txt", "text/plain", b"kept")
        writer.finish()
    return path


def test_nothing_is_lost_in_a_copy(tmp_path: Path) -> None:
    bag, notes = mixed(tmp_path / "a.mcap"), BagNotes()
    done = copy_bag(bag, tmp_path / "copy", notes)
    assert (done.messages, done.attachments, str(notes)) == (40, 1, "")
    assert list(raw_messages(tmp_path / "copy", BagNotes())) == list(raw_messages(bag, BagNotes()))
    one, other = (sorted(topic_forms(path), key=str) for path in (bag, tmp_path / "copy"))
    assert one == other and len(one) == 6
    with McapFile(tmp_path / "copy" / "copy_0.mcap") as file:
        assert [record.metadata for record in file.metadata] == [{"by": "one"}, {"by": "two"}]
        assert list(file.attachments()) == [Attachment(1, 2, "a.txt", "text/plain", b"kept")]
    information = yaml.safe_load((tmp_path / "copy" / METADATA).read_text())["rosbag2_bagfile_information"]
    assert information["message_count"] == 40
    assert sorted(entry["message_count"] for entry in information["topics_with_message_count"]) == [0, 8, 8, 8, 8, 8]


def test_what_is_left_out_and_what_is_added(tmp_path: Path) -> None:
    bag = write_mcap(tmp_path / "a.mcap", make_messages())
    begun: list[int] = []
    added = [RawMessage("/answer", STRING, b"yes", at, None, None) for at in (1_000, 1_005, 9_999)]
    changes = Changes(("/count",), added, {"note": {"by": "me"}}, lambda _, at: begun.append(at))
    done = copy_bag(bag, tmp_path / "out.mcap", BagNotes(), changes)
    after = list(raw_messages(tmp_path / "out.mcap", BagNotes()))
    kept = [one for one in raw_messages(bag, BagNotes()) if one.topic != "/count"]
    assert done.messages == len(kept) and begun == [1_000]
    assert [one for one in after if one.topic != "/answer"] == kept
    assert [one.receive_ns for one in after] == sorted(one.receive_ns for one in after)
    assert [one.topic for one in after if one.receive_ns == 1_000] == ["/chat", "/answer"]


@pytest.mark.parametrize(
    ("bag", "expected"),
    [
        ("run_2024.01", "run_2024.01-new"),
        ("run_2024.02", "run_2024.02-new"),
        ("file.mcap", "file-new"),
        ("file.db3", "file-new"),
        ("file.mcap.zstd", "file-new"),
        ("file_2024.01", "file_2024.01-new"),
        (f"{ODD_NAME}.mcap", f"{ODD_NAME}-new"),
    ],
)
def test_a_copy_bears_its_bags_name(bag: str, expected: str, tmp_path: Path) -> None:
    if bag.startswith("run"):
        (tmp_path / bag).mkdir()
    assert beside(tmp_path / bag, "-new") == tmp_path / expected


@pytest.mark.parametrize("where", [".", "..", "sub/.."])
def test_dots_are_resolved(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run" / ("sub" if where == ".." else "."))
    assert beside(Path(where), "-new").resolve() == tmp_path / "run-new"


def write_whole(out: Path, meanwhile: Callable[[], object]) -> None:
    with whole(out) as place:
        place.write_text("half")
        error = meanwhile()
        if isinstance(error, BaseException):
            raise error


def test_what_fails_leaves_nothing_and_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.iterdir())
    for name in ("there", "dangling"):
        with pytest.raises(BagError, match="exists"), whole(tmp_path / name):
            pass
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "out", KeyboardInterrupt)
    with pytest.raises(BagError, match="exists by now"):
        write_whole(tmp_path / "out", lambda: (tmp_path / "out").write_text("theirs"))
    assert (tmp_path / "out").read_text() == "theirs"
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "out"])
    with whole(tmp_path / "deep" / "out") as place:
        place.write_text("all")
    assert (tmp_path / "deep" / "out").read_text() == "all"
