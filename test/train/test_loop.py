"""Training learns, repeats itself, and goes on where it stopped."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from synthetic_tracks import HAL, SETTINGS, make_tracks  # noqa: E402

from hal_ros.core.errors import DatasetError  # noqa: E402
from hal_ros.train import checkpoint  # noqa: E402
from hal_ros.train.config import config_from_mapping  # noqa: E402
from hal_ros.train.decoding import choose_decoder, fit_temperatures  # noqa: E402
from hal_ros.train.loop import fit, new_model, validate  # noqa: E402
from hal_ros.train.tracks import measure  # noqa: E402

CONFIG = config_from_mapping(SETTINGS)


def train(config, folder=None, tracks=None):
    tracks = tracks or make_tracks(6, seed=0)
    model = new_model(config, HAL, measure(tracks, HAL.grid[2]))
    return fit(config, model, tracks, make_tracks(2, seed=1), folder, report=lambda _: None)


def weights(trained):
    return {name: tensor.clone() for name, tensor in trained.model.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def with_epochs(config, epochs):
    return replace(config, optimiser=replace(config.optimiser, epochs=epochs))


def test_it_learns_what_needs_both_eyes_and_joints():
    config = with_epochs(CONFIG, 12)
    tracks = make_tracks(10, seed=0)
    trained = train(config, tracks=tracks)
    assert trained.accuracy > 0.8
    blind = replace(config, batches=replace(config.batches, modalities="joints"))
    assert validate(trained.model, make_tracks(2, seed=1), blind)[1] < 0.7  # the control: joints alone do not do


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    assert same(weights(train(CONFIG)), weights(train(CONFIG)))
    assert not same(weights(train(CONFIG)), weights(train(replace(CONFIG, seed=1))))


def test_a_resumed_run_ends_as_the_uninterrupted_one(tmp_path, monkeypatch):
    whole = train(CONFIG, tmp_path / "whole")
    cut_off(tmp_path / "cut", monkeypatch)
    resumed = train(CONFIG, tmp_path / "cut")
    assert same(weights(whole), weights(resumed))
    first, second = checkpoint.load(tmp_path / "whole"), checkpoint.load(tmp_path / "cut")
    assert same(first.tensors, second.tensors)
    assert first.about == second.about


def cut_off(folder, monkeypatch, epochs=2):
    """Train, and interrupt as a person would: after an epoch was saved."""
    from hal_ros.train import loop

    finish = loop._Run.finish_epoch

    def finish_and_stop(run, epoch, accuracy):
        finish(run, epoch, accuracy)
        if epoch + 1 == epochs:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop._Run, "finish_epoch", finish_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train(CONFIG, folder)


def test_resuming_without_the_optimisers_moments_would_be_noticed(tmp_path, monkeypatch):
    train(CONFIG, tmp_path / "whole")
    cut_off(tmp_path / "cut", monkeypatch)
    monkeypatch.setattr(checkpoint, "restore_optimiser", lambda *_: None)
    train(CONFIG, tmp_path / "cut")
    first, second = checkpoint.load(tmp_path / "whole"), checkpoint.load(tmp_path / "cut")
    assert not same(first.part("model"), second.part("model"))


def test_a_damaged_checkpoint_is_refused(tmp_path):
    train(with_epochs(CONFIG, 1), tmp_path)
    (tmp_path / checkpoint.TENSORS).write_bytes(b"no archive")
    with pytest.raises(DatasetError, match=r"checkpoint\.npz"):
        train(CONFIG, tmp_path)


def test_temperatures_and_decoder_are_chosen_on_the_tracks_given():
    trained = train(with_epochs(CONFIG, 10))
    tracks = make_tracks(2, seed=1)
    before = copy.deepcopy(trained.model.state_dict())
    now, lagged = fit_temperatures(trained.model, tracks, CONFIG.data.lag_ticks)
    assert trained.model.temperature.tolist() == pytest.approx([now, lagged])
    assert all(
        torch.equal(before[name], tensor) for name, tensor in trained.model.state_dict().items() if "temp" not in name
    )
    decoded = choose_decoder(trained.model, tracks, CONFIG.data.lag_ticks)
    assert decoded.decoder.kind == "hysteresis"
    assert 0 < decoded.mof <= 100
