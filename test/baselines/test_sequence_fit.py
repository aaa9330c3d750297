"""Laws of the baselines' trainer, and what its models answer on the clips that nobody wishes for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from hal_ros.baselines import sequence_answers
from hal_ros.baselines.presets import PRESETS
from hal_ros.baselines.sequence import NOW, WholeClipModel
from hal_ros.baselines.sequence_answers import FittedSequence, change
from hal_ros.baselines.sequence_config import NETWORKS, SequenceConfig, build
from hal_ros.baselines.sequence_fit import Question, confirmed_accuracy, fit_sequence
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import ConfigError
from hal_ros.datasets.clips import Clip
from hal_ros.fit.loop import RunSession
from hal_ros.train.answers import Answers, confirmed_actions
from hal_ros.train.clips import Supervised

K, LAG = 3, 2
SMALL = {
    "width": 16,
    "layers": 3,
    "stages": 2,
    "dropout": 0.0,
    "batch": 4,
    "epochs": 12,
    "least_batches": 0,
    "learning_rate": 0.01,
    "clip_ticks": 20,
    "sampling_steps": 2,
}
WINDOWS = {"window_ticks": 16, "window_stride_ticks": 4, "loss_ticks": 1, "batch": 16}
OWN: dict[str, dict[str, Any]] = {
    "gru": WINDOWS,
    "mini_road": {**WINDOWS, "window_stride_ticks": 8},
    "online_tas": {"epochs": 9, "validate_every": 20},
    "asformer": {"epochs": 8},
    "diffact": {"epochs": 20},
}
LEAST_LEARNT = {"online_tas": 0.7, "diffact": 0.55}
"""Of what must be remembered, by those that learn slowly: the whole clip in one step, answers out of noise."""
NORMS_OVER_TIME = ("asformer", "diffact")


def config(kind: Any, **changes: Any) -> SequenceConfig:
    return SequenceConfig(kind, **{**SMALL, **OWN.get(kind, {}), **changes})


def pulses(count: int, seed: int, ticks: int = 60) -> list[Any]:
    """A pulse in column 0, 1 or 2 begins an action; afterwards nothing shows which one it was."""
    random = np.random.default_rng(seed)
    clips = []
    for index in range(count):
        inputs = random.normal(0, 0.1, (ticks, K + 1)).astype(np.float32)
        actions = np.zeros(ticks, np.int64)
        for start in range(0, ticks, 10):
            action = int(random.integers(K))
            inputs[start, action] += 3
            actions[start : start + 10] = action
        clips.append(Clip(f"{seed}-{index}", inputs, actions, ()))
    return clips


def annotated(clips: Any) -> Supervised:
    return Supervised(clips, {clip.name: clip.actions for clip in clips})


TRAINING, VALIDATION = annotated(pulses(16, 0)), annotated(pulses(4, 1))


def fit(
    settings: Any,
    training: Any = TRAINING,
    validation: Any = VALIDATION,
    seed: int = 0,
    folder: Any = None,
    report: Any = [].append,
) -> Any:
    return fit_sequence(settings, Question(K, LAG, seed), training, validation, RunSession(folder, report))


def weights(fitted: Any) -> Any:
    return torch.cat([tensor.flatten() for tensor in fitted.model.state_dict().values()])


@pytest.mark.parametrize("kind", NETWORKS)
def test_it_learns_what_must_be_remembered(kind: Any) -> None:
    settings, least = config(kind), LEAST_LEARNT.get(kind, 0.85)
    fitted = fit(settings)
    assert confirmed_accuracy(fitted, annotated(pulses(4, 2))) > least
    assert fitted.accuracy > least * (0.75 if settings.validate_every > 1 else 1)  # answers held too long are wrong
    assert 0 <= fitted.epoch < settings.epochs
    assert fitted.model.answer_every == 1


def test_shuffled_targets_teach_nothing() -> None:
    random = np.random.default_rng(0)
    shuffled = {clip.name: random.permutation(clip.actions) for clip in TRAINING.clips}
    fitted = fit(config("gru"), dataclasses.replace(TRAINING, targets=shuffled))
    assert confirmed_accuracy(fitted, annotated(pulses(4, 2))) < 0.6


@pytest.mark.parametrize("kind", NETWORKS)
def test_one_seed_one_result(kind: Any) -> None:
    short = config(kind, epochs=1, dropout=0.3)
    assert torch.equal(weights(fit(short)), weights(fit(short)))
    assert not torch.equal(weights(fit(short)), weights(fit(short, seed=1)))


def test_an_interrupted_run_ends_as_the_uninterrupted_one(tmp_path: Path) -> None:
    settings = config("causal_tcn", epochs=3, dropout=0.3)
    whole = fit(settings, folder=tmp_path / "whole")

    class CutError(Exception):
        pass

    def cut(line: Any) -> None:
        if "epoch 2/" in line:
            raise CutError

    with pytest.raises(CutError):
        fit(settings, folder=tmp_path / "cut", report=cut)
    epochs = []
    resumed = fit(settings, folder=tmp_path / "cut", report=epochs.append)
    assert len(epochs) == 1  # the third
    assert torch.equal(weights(resumed), weights(whole))
    assert (resumed.epoch, resumed.accuracy) == (whole.epoch, whole.accuracy)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    fit(config("gru", epochs=1), folder=tmp_path)
    with pytest.raises(ConfigError, match="its config is"):
        fit(config("gru", epochs=2), folder=tmp_path)
    with pytest.raises(ConfigError, match="its seed is 0; expected 1"):
        fit(config("gru", epochs=1), folder=tmp_path, seed=1)


def test_probabilities_of_0_and_1_teach_what_ids_teach() -> None:
    chances = {clip.name: np.eye(K)[clip.actions] for clip in TRAINING.clips}
    short = config("causal_tcn", epochs=1)
    assert torch.allclose(
        weights(fit(short)), weights(fit(short, dataclasses.replace(TRAINING, targets=chances))), atol=1e-6
    )


def test_without_validation_targets_the_last_epoch_is_taken() -> None:
    assert fit(config("gru", epochs=2), validation=Supervised([], {})).epoch == 1


def test_few_clips_are_gone_through_oftener() -> None:
    settings = config("causal_tcn", epochs=2, least_batches=9, batch=4)
    assert settings.epochs_for([30] * 4) == 9
    assert settings.epochs_for([30] * 9) == 3
    assert settings.epochs_for([30] * 400) == 2
    lines = []
    few = Supervised(TRAINING.clips[:4], TRAINING.targets)
    fit(dataclasses.replace(settings, least_batches=3), few, report=lines.append)
    assert len(lines) == 3


def test_settings_that_no_run_could_use_are_refused() -> None:
    with pytest.raises(ConfigError, match="kind is 'lstm'; expected one of gru"):
        SequenceConfig("lstm")
    with pytest.raises(ConfigError, match="epochs is 0"):
        SequenceConfig("gru", epochs=0)
    with pytest.raises(ConfigError, match="expected 0 <= loss <= window"):
        SequenceConfig("gru", window_ticks=8, loss_ticks=9)


# --- clips that nobody wishes for -------------------------------------------------------------------------------------


def untrained(kind: Any, inputs: Any = K + 1) -> FittedSequence:
    torch.manual_seed(0)
    small = dataclasses.replace(PRESETS[kind], width=8, layers=3, stages=2, clip_ticks=20, sampling_steps=2)
    return FittedSequence(build(small, inputs, K, LAG), LAG, 0, 0.0)


def sound(answers: Any, ticks: Any) -> None:
    for log_probs in (answers.log_probs, answers.lagged_log_probs):
        assert log_probs.shape == (ticks, K)
        assert log_probs.dtype == np.float32
        assert np.allclose(np.exp(log_probs).sum(1), 1, atol=1e-5)
    assert answers.boundary.shape == (ticks,)
    assert ((answers.boundary >= 0) & (answers.boundary <= 1)).all()


@pytest.mark.parametrize("kind", NETWORKS)
def test_one_tick_none_constants_and_nothing_but_missing_values(kind: Any) -> None:
    fitted = untrained(kind)
    for ticks, value in ((1, 0.5), (0, 0.0), (20, 3.0), (20, np.nan)):
        sound(fitted.answer(Clip("odd", np.full((ticks, K + 1), value), np.zeros(ticks, np.int64), ())), ticks)


@pytest.mark.parametrize("kind", NETWORKS)
def test_training_survives_odd_clips_and_actions_that_never_occur(kind: Any) -> None:
    nothing = Clip("nan", np.full((9, K + 1), np.nan), np.full(9, NO_ACTION), ())
    odd = [
        Clip("one", np.ones((1, K + 1)), np.array([1]), (1,)),
        Clip("constant", np.ones((30, K + 1)), np.ones(30, np.int64), (1,)),
        nothing,
        Clip("empty", np.ones((0, K + 1)), np.zeros(0, np.int64), ()),
    ]
    fitted = fit(config(kind, epochs=2), annotated(odd), annotated([nothing]))
    assert torch.isfinite(weights(fitted)).all()
    sound(fitted.answer(odd[1]), 30)


@pytest.mark.parametrize("kind", [kind for kind in NETWORKS if kind not in NORMS_OVER_TIME])
def test_a_long_clip_is_answered_in_chunks_as_if_at_once(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, clip = untrained(kind), pulses(1, 3, ticks=210)[0]
    whole = fitted.answer(clip)
    monkeypatch.setattr(sequence_answers, "CHUNK_TICKS", 40)
    in_chunks = fitted.answer(clip)
    for name, wanted in vars(whole).items():
        assert np.allclose(getattr(in_chunks, name), wanted, atol=1e-5)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_hundred_thousand_ticks_never_stand_in_memory_at_once(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = untrained(kind, inputs=2)
    fitted.model.answer_every = 20  # what stands in memory stays the same
    longest = []
    standard = fitted.model.standard
    monkeypatch.setattr(fitted.model, "standard", lambda inputs: longest.append(inputs.shape[1]) or standard(inputs))
    ticks = 2_500 if kind in ("online_tas", "pro_tas", "mini_road", "diffact") else 100_000
    clip = Clip("long", np.zeros((ticks, 2), np.float16), np.zeros(ticks, np.int64), ())
    sound(fitted.answer(clip), ticks)
    reach = 2 * fitted.model.reach_ticks if isinstance(fitted.model, WholeClipModel) else 0
    assert len(longest) > 1
    assert max(longest) <= sequence_answers.CHUNK_TICKS + reach + LAG


@pytest.mark.parametrize("kind", NORMS_OVER_TIME)
def test_what_has_norms_over_time_answers_a_clip_at_once_as_long_as_it_can(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, clip = untrained(kind), pulses(1, 3, ticks=210)[0]
    whole = fitted.answer(clip)
    with torch.no_grad():
        alone = fitted.model(torch.from_numpy(clip.inputs)[None], torch.ones(1, clip.ticks))
    assert np.allclose(whole.log_probs, torch.log_softmax(alone[-1, 0, :, NOW], -1).numpy(), atol=1e-5)
    monkeypatch.setattr(sequence_answers, "CHUNK_TICKS", 40)
    assert not np.allclose(fitted.answer(clip).log_probs, whole.log_probs, atol=1e-5)


# --- answers ----------------------------------------------------------------------------------------------------------


def test_boundaries_are_what_moves_between_actions() -> None:
    log_probs = np.log(np.array([[0.8, 0.2], [0.8, 0.2], [0.3, 0.7]], np.float32))
    assert np.allclose(change(log_probs), [1, 0, 0.5], atol=1e-6)


def test_confirmed_actions_take_the_provisional_answers_where_no_other_comes() -> None:
    now, lagged = np.eye(K, dtype=np.float32)[[0, 0, 0, 0]], np.eye(K, dtype=np.float32)[[2, 2, 1, 2]]
    assert confirmed_actions(Answers(now, lagged, np.zeros(4, np.float32)), 2).tolist() == [1, 2, 0, 0]
    assert confirmed_actions(Answers(now[:1], lagged[:1], np.zeros(1, np.float32)), 2).tolist() == [0]


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_cost_of_a_tick_is_measured(kind: Any) -> None:
    fitted = untrained(kind)
    assert fitted.ms_per_tick(ticks=5) > 0
    assert fitted.parameter_count == fitted.model.parameter_count


def test_every_network_has_its_settings() -> None:
    assert {preset.kind for preset in PRESETS.values()} == set(NETWORKS)
    assert all(PRESETS[kind].kind == kind for kind in NETWORKS)
