"""Ingest gives what the segmenter would have seen, once, and refuses what it can't use."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.card import DecoderSpec, EncoderSpec, ModelCard
from hal_ros.core.errors import BagError, DatasetError
from hal_ros.core.observations import Observation
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.step import StepInput, StepOutput
from hal_ros.core.streams.spec import CameraSpec, StateSpec, single

pytest.importorskip("rosbags")

from hal_ros.bags.frames import due_frames
from hal_ros.bags.inputs import AS_IN_THE_CARD, find_inputs
from hal_ros.bags.messages import header_message, known_class, serialise
from hal_ros.bags.reader import BagWriter, read_messages
from hal_ros.datasets import episodes

START_NS = 1_000_000_000
IMAGE_PERIOD_NS = 66_666_667
SIDE = 16
CAMERA, JOINTS = "/camera/color/image_raw", "/joint_states"
STREAMS = single(CameraSpec(size_px=SIDE), StateSpec(names=("shoulder", "elbow"), max_age_s=0.05), 10.0, 3)
CARD = ModelCard(
    name="small",
    vocabulary=("reach", "grasp"),
    streams=STREAMS,
    encoder=EncoderSpec(3),
    lag_ticks=2,
    window_ticks=5,
    decoder=DecoderSpec(),
    supervision="annotations",
)


def write_bag(folder: Path, missing: range = range(0), images: int = 45, bad: int = -1, jpeg: bool = False) -> Path:
    """A camera at 15 Hz whose picture's grey tells its number, joints at 100 Hz; `missing` images are left out."""
    bag = folder / "episode"
    with BagWriter(bag) as writer:
        end_ns = START_NS + images * IMAGE_PERIOD_NS
        for stamp_ns in range(START_NS, end_ns, 10_000_000):
            write_joints(writer, stamp_ns)
        for number in range(images):
            if number not in missing:
                write_image(writer, number, "rgb99" if number == bad else "rgb8", jpeg)
    middle = START_NS + images * IMAGE_PERIOD_NS // 2
    segments = [("reach", START_NS, middle), ("grasp", middle, end_ns - 300_000_000)]
    entries = [{"action": a, "start_ns": s, "end_ns": e} for a, s, e in segments]
    (bag / episodes.ANNOTATION).write_text(json.dumps({"segments": entries}))
    (bag / episodes.TRANSCRIPT).write_text("reach\ngrasp\n")
    return bag


def write_joints(writer: BagWriter, stamp_ns: int) -> None:
    position = np.array([1.0, np.nan, stamp_ns / 1e9])
    names = ["other", "elbow", "shoulder"]
    state = known_class("sensor_msgs/msg/JointState")(
        header_message(stamp_ns, ""), names, position, position, np.empty(0)
    )
    writer.write(JOINTS, state.__msgtype__, serialise(state), stamp_ns)


def write_image(writer: BagWriter, number: int, encoding: str, jpeg: bool) -> None:
    stamp_ns = START_NS + number * IMAGE_PERIOD_NS
    pixels = np.full((2 * SIDE, 3 * SIDE, 3), 5 * number, np.uint8)
    header = header_message(stamp_ns, "camera")
    if jpeg:
        data = cv2.imencode(".jpg", pixels)[1].reshape(-1)
        message = known_class("sensor_msgs/msg/CompressedImage")(header, "jpeg", data)
    else:
        shape = (2 * SIDE, 3 * SIDE, encoding, 0, 9 * SIDE)
        message = known_class("sensor_msgs/msg/Image")(header, *shape, pixels.reshape(-1))
    topic = f"{CAMERA}/compressed" if jpeg else CAMERA
    writer.write(topic, message.__msgtype__, serialise(message), stamp_ns + 5_000_000)


class Recorder:
    """A back end that remembers every input and whether a fresh state began with it."""

    name = "recorder"

    def __init__(self) -> None:
        self.inputs: list[StepInput] = []
        self.fresh: list[bool] = []

    def encode(self, image: Any) -> Any:
        return image.reshape(-1, 3).mean(0).astype(np.float32)

    def initial_state(self) -> str:
        return "fresh"

    def step(self, inputs: Any, state: Any) -> tuple[StepOutput, str]:
        self.inputs.append(inputs)
        self.fresh.append(state == "fresh")
        return StepOutput(np.zeros(2, np.float32), np.zeros(2, np.float32), 0.0), "going"


def stream(bag: Path) -> Recorder:
    """Play the bag through the segmenter, frame by frame, with nothing of `datasets.episodes`' rows."""
    recorder = Recorder()
    segmenter = Segmenter(CARD, recorder)
    state = segmenter.start()
    for frame in due_frames(read_messages(bag), find_inputs(bag, STREAMS, "small"), Counter()):
        due = frame.due
        observation = Observation(due.stamp_ns, due.tick, due.origin_ns, frame.pictures, due.values, due.valid)
        *_, state = segmenter.step(observation, state)
    return recorder


@pytest.mark.parametrize("missing", [range(0), range(10, 15), range(10, 25), range(3)])
@pytest.mark.parametrize("bad", [-1, 21])
def test_rows_are_what_the_segmenter_steps_through(tmp_path: Path, missing: Any, bad: int) -> None:
    """No gap, one that is bridged by held ticks, one that starts a fresh grid; with and without a broken image."""
    bag = write_bag(tmp_path, missing, bad=bad)
    episode, recorder = episodes.ingest(bag, CARD), stream(bag)
    assert len(episode.stamp_ns) == len(recorder.inputs)
    assert episode.fresh.tolist() == recorder.fresh
    for tick, inputs in enumerate(recorder.inputs):
        np.testing.assert_array_equal(inputs.feature, recorder.encode(episode.images["camera"][tick]))
        np.testing.assert_array_equal(inputs.joints, episode.joints[tick])
        np.testing.assert_array_equal(inputs.joints_valid, episode.joints_valid[tick])
    assert bool(episode.held.any()) == (missing == range(10, 15) or (bad == 21 and len(missing) < 10))


def test_stamps_rise_and_images_are_those_of_their_stamps(tmp_path: Path) -> None:
    episode = episodes.ingest(write_bag(tmp_path), CARD)
    assert (np.diff(episode.stamp_ns) > 0).all()
    numbers = np.rint((episode.stamp_ns - START_NS) / IMAGE_PERIOD_NS)
    np.testing.assert_array_equal(episode.images["camera"][:, 0, 0, 0], 5 * numbers)


def test_joints_are_the_newest_before_the_image_and_absent_ones_are_flagged(tmp_path: Path) -> None:
    episode = episodes.ingest(write_bag(tmp_path), CARD)
    age_s = episode.stamp_ns / 1e9 - episode.joints[:, 0]  # the shoulder's position is its sample's time
    assert (age_s > -1e-6).all()
    assert (age_s <= 0.0101).all()
    np.testing.assert_array_equal(episode.joints_valid, np.tile([1, 0, 1, 0, 0, 0], (len(age_s), 1)))


def test_actions_are_the_annotations_at_the_stamps(tmp_path: Path) -> None:
    bag = write_bag(tmp_path)
    episode = episodes.ingest(bag, CARD)
    assert episode.actions is not None
    segments = episodes.read_annotation(bag)
    for stamp, action in zip(episode.stamp_ns.tolist(), episode.actions.tolist(), strict=True):
        true = [CARD.vocabulary.index(s.action) for s in segments if s.start_ns <= stamp < s.end_ns]
        assert action == (true[0] if true else NO_ACTION)
    assert set(episode.actions.tolist()) == {0, 1, NO_ACTION}
    assert episode.transcript == ("reach", "grasp")


def test_compressed_images_are_read_too(tmp_path: Path) -> None:
    episode = episodes.ingest(write_bag(tmp_path, jpeg=True), CARD)
    assert episode.image_valid.all()
    assert abs(int(episode.images["camera"][9, 0, 0, 0]) - 5 * 13) <= 8


def test_a_second_call_reads_the_cache_and_a_changed_bag_or_setting_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag, cache = write_bag(tmp_path), tmp_path / "cache"
    folder = episodes.cached(bag, CARD, AS_IN_THE_CARD, cache)
    stored, made = episodes.load(folder), episodes.ingest(bag, CARD)
    np.testing.assert_array_equal(stored.images["camera"], made.images["camera"])
    for name in (*episodes.ROW_KEYS, "actions"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(made, name))
    assert (stored.name, stored.transcript, stored.counters) == (made.name, made.transcript, made.counters)
    with monkeypatch.context() as patch:
        patch.setattr(episodes, "ingest", lambda *_: pytest.fail("ingested twice"))
        assert episodes.cached(bag, CARD, AS_IN_THE_CARD, cache) == folder
        floats = replace(CARD, encoder=EncoderSpec(3, "float32"))  # what the graph takes changes no picture
        assert episodes.cached(bag, floats, AS_IN_THE_CARD, cache) == folder
    assert episodes.cached(bag, replace(CARD, streams=replace(STREAMS, rate_hz=5.0)), AS_IN_THE_CARD, cache) != folder
    (bag / episodes.TRANSCRIPT).write_text("grasp\n")
    assert episodes.cached(bag, CARD, AS_IN_THE_CARD, cache) != folder


def test_an_ingest_that_was_cut_off_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bag, cache = write_bag(tmp_path), tmp_path / "cache"

    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(episodes, "save", cut_off)
        with pytest.raises(KeyboardInterrupt):
            episodes.cached(bag, CARD, AS_IN_THE_CARD, cache)
    assert episodes.load(episodes.cached(bag, CARD, AS_IN_THE_CARD, cache)).name == "episode"


def segments(start_ns: str, end_ns: str, action: str = "reach") -> str:
    return f'{{"segments": [{{"action": "{action}", "start_ns": {start_ns}, "end_ns": {end_ns}}}]}}'


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        '{"segments": [{"action": "reach"}]}',
        segments("1.5", "1e30"),
        segments("true", "1e30"),
        segments("NaN", "5"),
        segments("5", "3"),
        segments("0", "9", "push"),
        segments("1", "5"),  # seconds, or of another recording: no tick lies there
    ],
)
def test_a_broken_annotation_is_refused(tmp_path: Path, text: str) -> None:
    bag = write_bag(tmp_path)
    (bag / episodes.ANNOTATION).write_text(text)
    with pytest.raises(DatasetError, match=r"annotation\.json: .*"):
        episodes.ingest(bag, CARD)


def test_what_is_told_in_a_file_that_is_gone_is_missed(tmp_path: Path) -> None:
    for name, read in (
        (episodes.ANNOTATION, episodes.read_annotation),
        (episodes.TRANSCRIPT, episodes.read_transcript),
    ):
        (tmp_path / name).symlink_to("gone")
        with pytest.raises(DatasetError, match=f"{name}: can't be read"):
            read(tmp_path)


def test_an_action_outside_the_vocabulary_is_refused(tmp_path: Path) -> None:
    bag = write_bag(tmp_path)
    with pytest.raises(DatasetError, match="grasp"):
        episodes.ingest(bag, replace(CARD, vocabulary=("reach", "lift")))


def test_a_bag_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="no topics"):
        episodes.ingest(write_bag(tmp_path, images=0), CARD)


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no episode"):
        episodes.find_bags(tmp_path, "train")


def test_two_calls_at_a_time_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one begins while the first one writes, and is done before it."""
    bag, cache = write_bag(tmp_path), tmp_path / "cache"
    usual, folders = episodes.save, []

    def save(episode: Any, folder: Any) -> None:
        monkeypatch.setattr(episodes, "save", usual)
        (folder / "begun").touch()
        folders.append(episodes.cached(bag, CARD, AS_IN_THE_CARD, cache))
        assert (folder / "begun").exists()
        usual(episode, folder)

    monkeypatch.setattr(episodes, "save", save)
    folders.append(episodes.cached(bag, CARD, AS_IN_THE_CARD, cache))
    assert folders == [folders[0]] * 2
    assert list(cache.iterdir()) == folders[:1]
    assert episodes.load(folders[0]).name == "episode"


def test_restarts_are_told_but_not_the_first_grid(tmp_path: Path) -> None:
    assert episodes.faults({"restarts": 1}) == ""
    assert episodes.faults({"restarts": 2, "zero": 1}) == "1 message without a stamp, 1 restart of the tick grid"
    counters = episodes.ingest(write_bag(tmp_path, range(10, 25)), CARD).counters
    assert episodes.faults(counters) == "1 restart of the tick grid, joints: 21 ticks partial"


def test_what_is_odd_in_a_bags_files_is_remembered(tmp_path: Path) -> None:
    bag = write_bag(tmp_path)
    assert episodes.ingest(bag, CARD).remarks == ()
    (bag / "metadata.yaml").write_text("")
    episode = episodes.ingest(bag, CARD)
    (remark,) = episode.remarks
    assert "read from the files alone" in remark
    (tmp_path / "cached").mkdir()
    episodes.save(episode, tmp_path / "cached")
    assert episodes.load(tmp_path / "cached").remarks == (remark,)
