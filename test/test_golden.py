"""Files that version 0.1.0 wrote: today's code reads them, and gives the answers that it gave. See golden/README.md."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hal_ros.bags.definitions import BagTypes
from hal_ros.bags.frames import due_frames
from hal_ros.bags.inputs import find_inputs
from hal_ros.bags.mcap_files import McapFile
from hal_ros.bags.messages import deserialise, known_class, serialise
from hal_ros.bags.reader import BagMessage, BagNotes, BagWriter, raw_topics, read_messages
from hal_ros.bags.recover import recover
from hal_ros.core.errors import BackendError, CardError, DatasetError
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.streams.spec import CameraSpec, StateSpec, single
from hal_ros.offline.bundle import BundleChoice
from hal_ros.offline.named_ticks import named_frames, named_ticks
from hal_ros.offline.recording import read_recording
from hal_ros.offline.replay import BOUNDARY_TOPIC, LABEL_TOPIC, VOCABULARY_TOPIC, compare, replay
from hal_ros.offline.run import ReplayJob, run_replay
from hal_ros.runtime.backend import open_backend
from hal_ros.runtime.bundle import CARD, GOLDEN, WEIGHTS, Bundle, load_bundle
from hal_ros.runtime.golden import check_golden

FOLDER = Path(__file__).parent / "golden" / "0.1.0"
RECORDING, ANSWERS, RUN = FOLDER / "recording.mcap", FOLDER / "answers.mcap", FOLDER / "run"
TABLETOP = "c0d82d496053"  # the bundle that labelled the recording
PROBABILITY_ERROR = 1e-4  # another CPU's instruction set moves a probability by about 1e-6
JOINTS = (*(f"joint_{index}" for index in range(6)), "left_carriage_joint")
VOCABULARY = ("carry", "idle", "move", "pick_red", "place_plate", "press_button")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """The old bundle, in a folder that a test may change."""
    shutil.copytree(FOLDER / "bundle", tmp_path / "bundle")
    return load_bundle(tmp_path / "bundle")


def flip(path: Path, offset: int) -> None:
    """Change one byte."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def replayed(bundle: Bundle, brightness: int = 0) -> list[BagMessage]:
    """The answers to the recording, or to one whose pictures are brighter."""
    segmenter = Segmenter(bundle.card, open_backend(bundle, "onnxruntime")[0])
    inputs = find_inputs(RECORDING, bundle.card.streams, bundle.card.name)
    frames = due_frames(read_messages(RECORDING, inputs.all_topics), inputs, Counter())
    if brightness:
        frames = (replace(f, pictures={"camera": np.asarray(f.pictures["camera"]).clip(brightness)}) for f in frames)
    return list(replay(frames, segmenter))


def difference(found: Any, expected: Any) -> float:
    """The largest difference of a float in two messages; infinite if anything else in them differs."""
    if is_dataclass(found) and found.__msgtype__ == expected.__msgtype__:  # a newer form may say more
        return max(difference(getattr(found, f.name), getattr(expected, f.name)) for f in fields(expected))
    if isinstance(found, np.ndarray) and found.shape == expected.shape:
        return float(np.abs(found - expected).max(initial=0.0))
    if isinstance(found, float):
        return abs(found - float(expected))
    return 0.0 if found == expected else np.inf


def differences(found: list[BagMessage], expected: list[BagMessage]) -> list[float]:
    """Of each message; topics and times of receipt have to be equal."""
    assert [(m.topic, m.type_name, m.receive_ns) for m in found] == [
        (m.topic, m.type_name, m.receive_ns) for m in expected
    ]
    old, pairs = BagTypes.of(ANSWERS), zip(found, expected, strict=True)
    return [difference(deserialise(a.type_name, a.data), old.deserialise(b.type_name, b.data)) for a, b in pairs]


def test_the_card_says_what_it_said(bundle: Bundle) -> None:
    card = bundle.card
    assert (card.name, card.vocabulary, card.supervision) == ("golden", VOCABULARY, "annotations")
    assert (card.rate_hz, card.lag_ticks, card.max_held_ticks, card.window_ticks) == (10.0, 4, 5, 7)
    assert bundle.sha256.startswith("79ea4ac02c58")
    assert card.decoder.priors is not None
    assert card.streams == single(
        CameraSpec(size_px=32), StateSpec(names=JOINTS, max_age_s=card.streams.states["joints"].max_age_s), 10.0, 5
    )
    assert (card.streams.clock, card.streams.names, card.streams.value_count) == ("camera", ("camera", "joints"), 21)
    assert card.encoder is not None and card.encoder.dtype == "uint8"
    with (bundle.folder / CARD).open("a") as file:
        file.write(" ")
    assert not load_bundle(bundle.folder).sha256.startswith("79ea4ac02c58")


@pytest.mark.parametrize("backend", ["onnxruntime", pytest.param("torch", marks=pytest.mark.torch)])
def test_the_bundle_computes_what_it_computed(bundle: Bundle, backend: str) -> None:
    check_golden(bundle, open_backend(bundle, backend)[0])


def test_other_golden_arrays_are_noticed(bundle: Bundle) -> None:
    opened = open_backend(bundle, "onnxruntime")[0]
    with np.load(bundle.path(GOLDEN)) as stored:
        arrays: dict[str, Any] = dict(stored)
    arrays["joints"][20] += 0.5
    np.savez(bundle.path(GOLDEN), **arrays)
    with pytest.raises(BackendError, match=r"golden\.npz by .* at tick"):
        check_golden(bundle, opened)


@pytest.mark.parametrize("name", [path.name for path in (FOLDER / "bundle").iterdir() if path.name != CARD])
def test_a_changed_byte_of_a_bundle_is_noticed(bundle: Bundle, name: str) -> None:
    flip(bundle.folder / name, 2000)
    with pytest.raises(CardError, match=f"{name}: SHA-256"):
        load_bundle(bundle.folder)


def as_today(message: BagMessage) -> BagMessage:
    """An event that closes a segment was detected at the stream's end; now it is where it stands, see docs/adr/0008."""
    if message.topic != BOUNDARY_TOPIC:
        return message
    event = BagTypes.of(ANSWERS).deserialise(message.type_name, message.data)
    if not event.to_label:
        event.detected_at = event.header.stamp
    said = {field.name: getattr(event, field.name) for field in fields(event)}
    today = serialise(known_class(message.type_name)(**said, session=0))
    return message._replace(data=today[: len(message.data)])


def test_a_recording_gets_the_answers_that_it_got(bundle: Bundle) -> None:
    expected = [as_today(message) for message in read_messages(ANSWERS, [LABEL_TOPIC, BOUNDARY_TOPIC])]
    found = replayed(bundle)
    assert Counter(message.topic for message in found) == {LABEL_TOPIC: 81, BOUNDARY_TOPIC: 7}
    distances = differences(found, expected)
    assert max(distances) <= PROBABILITY_ERROR
    for topic in (LABEL_TOPIC, BOUNDARY_TOPIC):  # what is equal is so byte for byte
        result = compare(expected, found, topic, BagTypes.of(ANSWERS))
        pairs = zip(expected, distances, strict=True)
        assert result.equal == sum(m.topic == topic and not distance for m, distance in pairs)
    assert set(segments(found)) == {"idle", "move", "pick_red", "carry", "place_plate", ""}


def segments(messages: list[BagMessage]) -> list[str]:
    return [deserialise(m.type_name, m.data).to_label for m in messages if m.topic == BOUNDARY_TOPIC]


def test_other_pictures_are_noticed(bundle: Bundle) -> None:
    labels = [message for message in replayed(bundle, brightness=40) if message.topic == LABEL_TOPIC]
    assert max(differences(labels, list(read_messages(ANSWERS, [LABEL_TOPIC])))) > PROBABILITY_ERROR


def test_the_ticks_that_the_answers_name_are_found_again(bundle: Bundle) -> None:
    card = bundle.card
    inputs = find_inputs(RECORDING, card.streams, card.name)
    ticks, segments = named_ticks(read_messages(ANSWERS, [LABEL_TOPIC]), card, BagTypes.of(ANSWERS))
    counters: Counter[str] = Counter()
    frames = list(named_frames(read_messages(RECORDING, inputs.all_topics), ticks, inputs, counters))
    plain = list(due_frames(read_messages(RECORDING, inputs.all_topics), inputs, Counter()))
    assert (len(frames), segments, counters["missing"]) == (81, 0, 0)
    for found, expected in zip(frames, plain, strict=True):
        assert found.due.sources == expected.due.sources
        assert (found.due.stamp_ns, found.due.tick) == (expected.due.stamp_ns, expected.due.tick)
        np.testing.assert_array_equal(found.due.values, expected.due.values)
        np.testing.assert_array_equal(found.due.valid, expected.due.valid)
        np.testing.assert_array_equal(found.pictures["camera"], expected.pictures["camera"])


def as_0_1_0_wrote_it(path: Path, answers: list[BagMessage]) -> Path:
    """A recording in the forms of that version: labels end before their inputs, events before their session."""
    forms = raw_topics(ANSWERS)
    lengths = {topic: [len(m.data) for m in read_messages(ANSWERS, [topic])] for topic in (LABEL_TOPIC, BOUNDARY_TOPIC)}
    assert b"InputStamp" not in forms[LABEL_TOPIC].schema
    with BagWriter(path) as bag:
        for topic, form in forms.items():
            bag.copy_topic(topic, form)
        for message in answers:
            data = message.data[: lengths[message.topic].pop(0)]
            bag.write(message.topic, message.type_name, data, message.receive_ns)
    return path


def test_labels_without_inputs_are_repeated_from_what_they_say(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = replayed(bundle)
    old = as_0_1_0_wrote_it(tmp_path / "old.mcap", answers)
    job, choice = ReplayJob(RECORDING, ticks_from=old), BundleChoice(bundle.folder, "onnxruntime")
    assert run_replay(job, choice)
    printed = capsys.readouterr().out
    assert f"{LABEL_TOPIC}: 81 of 81 recorded messages equal byte for byte" in printed
    assert f"{BOUNDARY_TOPIC}: 7 of 7 recorded messages equal byte for byte" in printed
    label = next(m for m in answers if m.topic == LABEL_TOPIC)
    content = deserialise(label.type_name, label.data)
    content.confidence += 0.25
    other = [m._replace(data=serialise(content)) if m is label else m for m in answers]
    changed = as_0_1_0_wrote_it(tmp_path / "changed.mcap", other)
    assert not run_replay(ReplayJob(RECORDING, ticks_from=changed), choice)  # negative control
    assert len(read_recording(old).labels) == 81


def test_the_recording_is_read_for_a_report() -> None:
    pytest.importorskip("jinja2")
    from hal_ros.report.page import metric_table, render, summarise
    from hal_ros.report.streams import read_all_pictures

    recording = read_recording(RECORDING)
    assert (recording.bundle, recording.lag_ticks, recording.rate_hz, recording.remark) == ("tabletop", 4, 10.0, "")
    assert recording.bundle_hash.startswith(TABLETOP)
    assert (len(recording.labels), len(recording.truth), len(recording.vocabulary)) == (81, 121, 16)
    assert [event.to_action for event in recording.events] == ["idle", "move", "pick_red", "carry", "place_plate", ""]
    rows = {row.name: (row.provisional, row.confirmed) for row in metric_table(summarise(recording))}
    assert rows["MoF"] == ("90.1 %", "93.8 %")
    assert rows["boundary F1 at 0.25 s"] == ("66.7 %", "100.0 %")
    pictures = read_all_pictures(RECORDING, recording, list(recording.events))
    assert {picture.shape for picture in pictures.values()} == {(120, 160, 3)}
    assert "tabletop" in render(recording, summarise(recording), pictures)


def test_the_recording_names_its_bundle() -> None:
    with McapFile(RECORDING) as file:
        (record,) = file.metadata
        assert (record.name, record.metadata["name"]) == ("bundle", "tabletop")
        assert record.metadata["sha256"].startswith(TABLETOP)
        assert '"format": 1' in record.metadata["card"]
        assert not file.cut_off and not file.damaged


def test_a_damaged_recording_is_noticed(tmp_path: Path) -> None:
    damaged = Path(shutil.copy(RECORDING, tmp_path))
    flip(damaged, damaged.stat().st_size // 2)
    notes = BagNotes()
    left = list(read_messages(damaged, notes=notes))
    assert left != list(read_messages(RECORDING))
    assert str(notes)


@pytest.mark.parametrize(("lost_bytes", "messages"), [(8_000, 1132), (100_000, 0)], ids=["its index", "its only chunk"])
def test_a_cut_off_recording_is_finished(tmp_path: Path, lost_bytes: int, messages: int) -> None:
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(RECORDING.read_bytes()[:-lost_bytes])
    done = recover(cut)
    assert done is not None
    assert done.messages == messages
    assert list(read_messages(done.folder)) == list(read_messages(RECORDING))[:messages]
    assert recover(RECORDING, tmp_path / "out") is None  # nothing is missing


def test_the_vocabulary_is_in_both(bundle: Bundle) -> None:
    (message,) = read_messages(ANSWERS, [VOCABULARY_TOPIC])
    said = deserialise(message.type_name, message.data)
    assert (tuple(said.labels), said.bundle, said.bundle_hash) == (VOCABULARY, "golden", bundle.sha256)


@pytest.mark.torch
def test_the_run_holds_the_weights_that_were_exported() -> None:
    from hal_ros.train.stages import load_run

    run = load_run(RUN)
    assert run.config.name == "golden" and run.config.optimiser.epochs == 20
    assert run.about["next_epoch"] == 20
    with np.load(FOLDER / "bundle" / WEIGHTS) as stored:
        exported = {name: stored[name] for name in stored.files if name != "about"}
    held = {f"eye/{name}": tensor.numpy() for name, tensor in run.eyes[0].state_dict().items()}
    held |= {f"model/{name}": tensor.numpy() for name, tensor in run.model.state_dict().items()}
    assert held.keys() == exported.keys()
    different = {name for name in held if not np.array_equal(held[name], exported[name])}
    assert different == {"model/temperature"}  # fitted when it was exported


@pytest.mark.torch
def test_a_damaged_run_is_noticed(tmp_path: Path) -> None:
    from hal_ros.train.stages import load_run

    run = shutil.copytree(RUN, tmp_path / "run")
    flip(run / "checkpoint.npz", 60_000)
    with pytest.raises(DatasetError, match="can't be read as a checkpoint"):
        load_run(run)


@pytest.mark.torch
def test_the_runs_labels_are_read() -> None:
    from hal_ros.labels.targets import load_targets

    labels = load_targets(RUN)
    assert {name: len(ids) for name, ids in labels.training.items()} == {"whole": 202}
    assert [VOCABULARY[action] for action in dict.fromkeys(labels.validation["part"].tolist())] == [
        "idle",
        "move",
        "pick_red",
        "carry",
        "place_plate",
    ]
