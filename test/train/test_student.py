"""Training learns, repeats itself, and goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hal_ros.core.errors import DatasetError  # noqa: E402
from hal_ros.datasets.clips import Clip  # noqa: E402
from hal_ros.fit import checkpoint  # noqa: E402
from hal_ros.fit.loop import RunSession  # noqa: E402
from hal_ros.train import student as loop  # noqa: E402
from hal_ros.train.batches import plan, training_clips  # noqa: E402
from hal_ros.train.clips import Columns, Supervised, annotated  # noqa: E402
from hal_ros.train.config import FEWEST_EPOCHS, config_from_mapping  # noqa: E402
from hal_ros.train.decoding import calibrate, fit_both_temperatures  # noqa: E402
from hal_ros.train.student import answer, epochs_for, fit, logits, new_model, validate  # noqa: E402
from synthetic_episodes import ACTIONS, COLUMNS, SETTINGS, look_at, make_encoded_clips, random_clips, restrict  # noqa: E402

CONFIG = config_from_mapping(SETTINGS)
MATERIAL, VALIDATION = random_clips(6, seed=0), random_clips(2, seed=1)


def quiet(_: Any) -> None:
    pass


def train(
    config: Any,
    folder: Any = None,
    material: Any = MATERIAL,
    validation: Any = VALIDATION,
    columns: Any = COLUMNS,
    report: Callable[..., Any] = quiet,
) -> Any:
    model = new_model(config, ACTIONS, columns, material.clips)
    return fit(config, model, material, validation, RunSession(folder, report))


def weights(trained: Any) -> dict[Any, Any]:
    return {name: tensor.clone() for name, tensor in trained.model.state_dict().items()}


def same(first: Any, second: Any) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def with_epochs(config: Any, epochs: int) -> Any:
    return replace(config, optimiser=replace(config.optimiser, epochs=epochs))


def with_losses(config: Any, **losses: Any) -> Any:
    return replace(config, losses=replace(config.losses, **losses))


def test_it_learns_what_needs_both_eyes_and_joints() -> None:
    config = with_epochs(CONFIG, 8)
    encoded_clips, others = make_encoded_clips(10, seed=0), make_encoded_clips(2, seed=1)
    attended, others_seen, camera_masked = look_at(config, encoded_clips, others, restrict(others, "joints"))
    trained = train(config, material=annotated(attended), validation=annotated(others_seen))
    assert trained.accuracy > 0.8
    assert validate(trained.model, annotated(camera_masked), CONFIG.data.lag_ticks)[1] < 0.7  # the control


def test_what_is_taught_is_the_target_and_not_the_annotation() -> None:
    def shifted(material: Any) -> Any:
        return replace(material, targets={name: (ids + 1) % ACTIONS for name, ids in material.targets.items()})

    trained = train(with_epochs(CONFIG, 12), material=shifted(MATERIAL), validation=shifted(VALIDATION))
    assert validate(trained.model, VALIDATION, CONFIG.data.lag_ticks)[0] < 0.4
    assert validate(trained.model, shifted(VALIDATION), CONFIG.data.lag_ticks)[0] > 0.6


def test_soft_targets_without_certainty_teach_uncertainty() -> None:
    soft = {name: 0.7 * np.eye(ACTIONS)[target] + 0.075 for name, target in MATERIAL.targets.items()}
    trained = train(with_epochs(CONFIG, 10), material=replace(MATERIAL, targets=soft))
    said = np.concatenate([answer(trained.model, clip).log_probs for clip in VALIDATION.clips])
    assert 0.6 < float(np.exp(said.max(1)).mean()) < 0.85


def test_feature_vectors_alone_are_learned_from() -> None:
    columns = Columns(0, COLUMNS.values)

    def plain(material: Any) -> Supervised:
        clips = [Clip(c.name, COLUMNS.split(c.inputs).joints, c.actions, c.transcript) for c in material.clips]
        return Supervised(clips, material.targets)

    trained = train(with_epochs(CONFIG, 8), None, plain(MATERIAL), plain(VALIDATION), columns)
    assert trained.accuracy > 0.8


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    assert same(weights(train(CONFIG)), weights(train(CONFIG)))
    assert not same(weights(train(CONFIG)), weights(train(replace(CONFIG, seed=1))))


@pytest.mark.parametrize(
    "config",
    [CONFIG, with_losses(CONFIG, reconstruction=0.1, kl=0.01, slowness=0.1, boundary=0.1)],
    ids=["bare", "hal"],
)
def test_a_resumed_run_ends_as_the_uninterrupted_one(config: Any, tmp_path: Path) -> None:
    whole = train(config, tmp_path / "whole")
    cut_off(config, tmp_path / "cut")
    resumed = train(config, tmp_path / "cut")
    assert same(weights(whole), weights(resumed))
    first, second = checkpoint.load(tmp_path / "whole"), checkpoint.load(tmp_path / "cut")
    assert first.tensors.keys() == second.tensors.keys()
    assert same(first.tensors, second.tensors)
    assert first.about == second.about


def cut_off(config: Any, folder: Any, epochs: int = 2) -> None:
    """Train, and interrupt as a person would: after an epoch was saved."""

    def stop(line: Any) -> None:
        if line.startswith(f"epoch {epochs}/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, folder, report=stop)


def test_resuming_without_the_optimisers_moments_would_be_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(CONFIG, tmp_path / "whole")
    cut_off(CONFIG, tmp_path / "cut")
    monkeypatch.setattr(checkpoint, "restore_optimiser", lambda *_: None)
    train(CONFIG, tmp_path / "cut")
    first, second = checkpoint.load(tmp_path / "whole"), checkpoint.load(tmp_path / "cut")
    assert not same(first.part("model"), second.part("model"))


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    train(with_epochs(CONFIG, 1), tmp_path)
    (tmp_path / checkpoint.FILE).write_bytes(b"no archive")
    with pytest.raises(DatasetError, match=r"checkpoint\.npz"):
        train(CONFIG, tmp_path)


def test_few_clips_are_gone_through_until_there_are_enough_steps_unless_epochs_are_told() -> None:
    def epochs(epochs: int, least_steps: int) -> int:
        return epochs_for(replace(CONFIG, optimiser=replace(CONFIG.optimiser, **locals())), MATERIAL)

    batches = max(map(len, plan(training_clips(MATERIAL), CONFIG.batches, np.random.default_rng(0))))
    assert epochs(0, 0) == FEWEST_EPOCHS == epochs(0, FEWEST_EPOCHS * batches)
    assert epochs(0, FEWEST_EPOCHS * batches + 1) == FEWEST_EPOCHS + 1
    assert epochs(0, 100 * batches) == 100
    assert epochs(3, 100 * batches) == 3


def test_changes_are_standardised_by_the_training_clips() -> None:
    config = replace(CONFIG, model=replace(CONFIG.model, differences=(1, 3)))
    model = new_model(config, ACTIONS, COLUMNS, MATERIAL.clips)
    spread = model.differences.spread.reshape(2, -1).numpy()
    joints = [COLUMNS.split(clip.inputs).joints for clip in MATERIAL.clips]
    for lag, found in zip((1, 3), spread, strict=True):
        moved = np.concatenate([rows[lag:] - rows[:-lag] for rows in joints])
        np.testing.assert_allclose(found, np.sqrt(np.square(moved).mean(0)), rtol=1e-4)
    assert (
        train(replace(config, optimiser=replace(config.optimiser, epochs=1))).model.differences.first.weight.grad
        is not None
    )


def test_clips_without_targets_are_refused() -> None:
    with pytest.raises(DatasetError, match="no training clip"):
        train(CONFIG, material=replace(MATERIAL, targets={}))


def test_a_long_clip_is_answered_in_pieces_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = train(with_epochs(CONFIG, 1))
    (clip,) = random_clips(1, seed=3, ticks=90).clips
    whole = answer(trained.model, clip)
    monkeypatch.setattr(loop, "ANSWER_TICKS", 7)
    in_pieces = answer(trained.model, clip)
    for name, values in vars(whole).items():
        np.testing.assert_allclose(values, getattr(in_pieces, name), atol=1e-5)


def test_temperatures_and_decoder_are_fitted_to_one_run_of_the_model_byte_for_byte_as_to_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "ANSWER_TICKS", 64)  # in pieces
    clips, lag_ticks = VALIDATION.clips, CONFIG.data.lag_ticks
    model = new_model(CONFIG, ACTIONS, COLUMNS, MATERIAL.clips).eval()
    plain = [answer(model, clip) for clip in clips]
    expected = fit_both_temperatures(plain, [clip.actions for clip in clips], lag_ticks)
    model.temperature.fill_(7.0)  # what it had before changes nothing
    runs: list[Clip] = []
    monkeypatch.setattr(loop, "answer", lambda model, clip: (runs.append(clip), answer(model, clip))[1])
    temperatures, found = calibrate(model, clips, lag_ticks)
    assert temperatures == expected and len(runs) == len(clips)
    assert not np.isin(temperatures, 1).any()  # or the rest would prove nothing
    for clip, one, before in zip(clips, found, plain, strict=True):
        again = answer(model, clip)
        assert all(values.tobytes() == vars(again)[name].tobytes() for name, values in vars(one).items())
        assert logits(model, clip).at(torch.ones(2)).lagged_log_probs.tobytes() == before.lagged_log_probs.tobytes()


def test_clips_of_one_tick_and_constant_or_missing_features_are_survived() -> None:
    one = Clip("one", MATERIAL.clips[0].inputs[:1], np.zeros(1, np.int64), (0,))
    constant = np.full((30, COLUMNS.width), 3.0, np.float32)
    constant[:, COLUMNS.attended] = constant[:, -COLUMNS.values :] = 0  # nothing of it is valid
    clips = [one, Clip("constant", constant, np.ones(30, np.int64), (1,))]
    trained = train(with_epochs(CONFIG, 1), material=Supervised(clips, {c.name: c.actions for c in clips}))
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights(trained).values())
    assert np.isfinite(answer(trained.model, clips[0]).log_probs).all()
