"""What a training may begin with, and that networks over more actions say what they said before."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

import torch

import colour_bundle
from colour_episodes import write_episode
from fakes import COLOURS
from hal_ros.core.errors import CardError, ConfigError, DatasetError
from hal_ros.datasets.config import TRAINING, VALIDATION
from hal_ros.export.bundle import write_weights
from hal_ros.export.to_onnx import StepGraph
from hal_ros.fit import checkpoint
from hal_ros.nn.hal import CausalHal, HalConfig, Inputs
from hal_ros.nn.joint_guided_attention import Eye, EyeConfig
from hal_ros.runtime.bundle import CARD, WEIGHTS, load_bundle, save_card
from hal_ros.train import chain, run, stages
from hal_ros.train.config import TrainConfig, config_from_mapping
from hal_ros.train.eye import load_eye
from hal_ros.train.warm_start.start import VOCABULARY, Start, extended, read_start
from synthetic_episodes import ACTIONS, GRID, SETTINGS, make_encoded_clips

pytestmark = pytest.mark.torch

OLD, NEW = {TRAINING: ["RB", "BR"], VALIDATION: ["RB"]}, {TRAINING: ["RGB", "GBR"], VALIDATION: ["RBG"]}
"""The states tell green from the others: the gripper is closed."""


def settings(folder: Path, orders: dict[str, list[str]], **faster: Any) -> TrainConfig:
    """Write bags with states alone, 12 ticks a letter, and return the settings of a short training on them."""
    for split, words in orders.items():
        for index, word in enumerate(words):
            write_episode(folder / split / f"{folder.name}-{index}", "".join(12 * letter for letter in word), True)
            names = "\n".join(COLOURS["RGB".index(letter)] for letter in word)
            (folder / split / f"{folder.name}-{index}" / "transcript.txt").write_text(names)
    given: dict[str, Any] = SETTINGS
    states = {"streams": {"states": {"arm": {"names": ["a", "b"]}}}}
    data = {"folder": str(folder), "cache": str(folder / "cache"), "processes": 1, "lag_ticks": 1, **states}
    optimiser = {"epochs": 6, "learning_rate": 0.02, **faster}
    return config_from_mapping({**given, "data": data, "optimiser": optimiser})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that knows two colours."""
    folder = tmp_path_factory.mktemp("old")
    return run.train(settings(folder / "data", OLD), folder / "run")


def probabilities(model: Any, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    joints = torch.from_numpy(random.normal(size=(1, 30, 6)).astype(np.float32))
    nothing = torch.zeros(1, 30, 0)
    with torch.no_grad():
        return model(Inputs(nothing, nothing, joints, torch.ones(1, 30, 6)), model.initial_state())[0].log_probs[0]


def test_more_actions_leave_the_odds_of_the_old_ones() -> None:
    torch.manual_seed(0)
    model = CausalHal(HalConfig(3, 6, attended=0, cameras=0, width=16, heads=2, lookback=(3, 5))).eval()
    before, after = probabilities(model), probabilities(extended(model, 5))
    assert after.shape[1] == 5
    torch.testing.assert_close(after[:, :3].log_softmax(1), before)
    assert not (after.argmax(1) >= 3).any(), "what nobody has shown is nowhere the likeliest"


def test_a_run_adds_actions_behind_its_own_and_learns_them(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blue, green, red = sorted(COLOURS)  # of the new transcripts alone, green would be the second
    assert json.loads((finished / VOCABULARY).read_text()) == [blue, red]
    folder = run.train_from(
        finished, settings(tmp_path / "data", NEW, learning_rate=0.05, least_steps=100), tmp_path / "run"
    )
    again = read_start(folder)
    assert again.card.vocabulary == (blue, red, green)
    assert again.model.config.actions == 3
    printed = capsys.readouterr().out
    assert f"from {finished}: its 2 actions, and {green}" in printed
    assert "each clip has a new action: only what is new learns" in printed
    _, _, (training, _) = stages.ingest(stages.load_run(folder).config, (TRAINING, VALIDATION))
    labels = torch.from_numpy(training.encoded_clips[0].actions.astype(np.int64))
    states = torch.from_numpy(training.encoded_clips[0].joints)[None]
    nothing = torch.zeros(1, len(labels), 0)
    with torch.no_grad():
        answers, _ = again.model(Inputs(nothing, nothing, states, torch.ones_like(states)), again.model.initial_state())
    greens = labels == 2
    assert (answers.log_probs[0].argmax(1)[greens] == 2).float().mean() > 0.5
    with pytest.raises(ConfigError, match=r"knows all of .*; expected an action that it lacks"):
        run.train_from(folder, settings(tmp_path / "data", {}), tmp_path / "other")


def test_old_actions_that_are_not_shown_again_are_not_called_unlearned(finished: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    (clip,) = make_encoded_clips(1, seed=0)
    green = dataclasses.replace(clip, actions=np.full_like(clip.actions, 2), transcript=(2,))
    begun = chain.RunSettings(TrainConfig(), tmp_path, lines.append, ("blue", "red", "green", "white"))
    for start in (read_start(finished), None):
        chain._say_unseen(dataclasses.replace(begun, start=start), [green], 4)
    assert lines == [
        "not in these episodes, known from before: blue, red",
        "never in training, so never learned: white",
        "never in training, so never learned: blue, red, white",
    ]


def test_a_run_is_found_by_what_it_began_with(finished: Path, tmp_path: Path) -> None:
    config = settings(tmp_path / "data", NEW)
    _, _, (training, validation) = stages.ingest(config, (TRAINING, VALIDATION))
    names = [stages.run_folder(config, training, validation, start=start) for start in ("", "a", "b")]
    assert len(set(names)) == 3
    assert names[0] == stages.run_folder(config, training, validation)
    assert read_start(finished).sha256 == read_start(finished).sha256


def test_a_run_whose_data_has_grown_since_keeps_its_actions(finished: Path, tmp_path: Path) -> None:
    saved = json.loads((finished / VOCABULARY).read_text())
    (finished / VOCABULARY).rename(tmp_path / "kept")  # as an older version left it
    try:
        assert list(read_start(finished).card.vocabulary) == saved
        folder = Path(stages.load_run(finished).config.data.folder)
        added = folder / TRAINING / "added"
        added.mkdir()
        (added / "transcript.txt").write_text("purple")
        with pytest.raises(ConfigError, match=r"its model knows 2 actions, .* names 3; expected the former's names"):
            read_start(finished)
        (added / "transcript.txt").unlink()
        added.rmdir()
    finally:
        (tmp_path / "kept").rename(finished / VOCABULARY)


@pytest.mark.parametrize("text", ["null", "{}", '"ab"', "[1, 2]", '["a", "a"]', '["a", " "]', "["])
def test_names_that_are_none_are_refused(finished: Path, text: str) -> None:
    saved = (finished / VOCABULARY).read_text()
    (finished / VOCABULARY).write_text(text)
    try:
        with pytest.raises(ConfigError, match=r"vocabulary\.json: can't be read as a JSON list of a run's actions"):
            read_start(finished)
    finally:
        (finished / VOCABULARY).write_text(saved)


def test_a_run_that_still_trains_is_refused(finished: Path, tmp_path: Path) -> None:
    saved = checkpoint.load(finished)
    checkpoint.save(tmp_path / "run", dataclasses.replace(saved, about={**saved.about, "next_epoch": 2}))
    with pytest.raises(ConfigError, match=r"run: has done 2 of 6 epochs; expected a run that is finished$"):
        read_start(tmp_path / "run")
    checkpoint.save(tmp_path / "early" / "eye", saved)
    with pytest.raises(ConfigError, match=r"early: has not trained its model yet; expected a run that is finished$"):
        read_start(tmp_path / "early")


def test_what_is_neither_run_nor_bundle_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ConfigError, match="is neither a run's folder nor a bundle"):
            read_start(place)


def test_a_bundle_goes_on_learning_where_it_has_its_weights(finished: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    colour_bundle.write_bundle(bundle)
    with pytest.raises(ConfigError, match=r"holds graphs alone, which can't go on learning; .* --reference`$"):
        read_start(bundle)
    of_run: Start = read_start(finished)
    model = of_run.model
    model.temperature.fill_(2.0)  # as an export leaves it
    write_weights(StepGraph((), model), bundle / WEIGHTS)
    files = (*load_bundle(bundle).card.files, WEIGHTS)
    save_card(of_run.card, bundle, files)
    start = read_start(bundle)
    assert start.card.vocabulary == of_run.card.vocabulary
    before = probabilities(read_start(finished).model)
    after = probabilities(start.new_model(3))[:, :2].log_softmax(1)
    torch.testing.assert_close(after, before)


def test_a_bundle_of_another_format_is_refused(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    colour_bundle.write_bundle(bundle)
    card = json.loads((bundle / CARD).read_text())
    (bundle / CARD).write_text(json.dumps({**card, "format": 99}))
    with pytest.raises(CardError, match="format"):
        read_start(bundle)


def test_eyes_stay_as_they_are_and_a_run_goes_on_from_its_own_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "grid_of", lambda _: GRID)
    given: dict[str, Any] = SETTINGS
    data = {**given["data"], "cache": str(tmp_path), "actions": ["a", "b", "c", "new"]}
    short = {"epochs": 1, "learning_rate": 0.01}
    teacher = {"width": 16, "heads": 2, "feed_forward": 16, "visual_width": 8, "action_width": 8, "start_epochs": 1}
    sections = {"data": data, "optimiser": short, "teacher": teacher, "supervision": "transcripts"}
    config = config_from_mapping({**given, **sections})
    torch.manual_seed(0)
    eye = Eye(EyeConfig(3, 6, GRID, width=16, cell_width=8, gazes=2, keypoints=3)).eval()
    shape = {**given["model"], "lookback": (3, 5)}
    model = CausalHal(HalConfig(3, 6, attended=16, attended_dropout=shape.pop("seen_dropout"), **shape))
    begins = Start(tmp_path / "old", stages.draft_card(config), (eye,), model, "1" * 64)
    clips = [dataclasses.replace(c, name=f"{c.name}-{s}") for s in range(2) for c in make_encoded_clips(2, s)]

    def go_on(start: Start) -> Any:
        run_settings = chain.RunSettings(config, tmp_path / "run", lambda _: None, start=start)
        return chain.train_on_encoded_clips(run_settings, ACTIONS, clips[:2], clips[2:]).model.state_dict()

    first, again = go_on(begins), go_on(begins)
    assert all(bool((first[name] == again[name]).all()) for name in first)
    kept, before = load_eye(tmp_path / "run" / stages.EYE).state_dict(), eye.state_dict()
    assert kept["glance.weight"].shape[0] == ACTIONS
    for name, tensor in before.items():
        torch.testing.assert_close(kept[name][: len(tensor)] if tensor.ndim else kept[name], tensor)
    with pytest.raises(DatasetError, match="holds a run with other settings or data"):
        go_on(dataclasses.replace(begins, sha256="2" * 64))
