"""Latents: their file, their axes, their changes, their pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clip_answers import ACTIONS, TRUTH
from hal_ros.experiments.documents import latents
from hal_ros.experiments.documents.latents import Latents

VOCABULARY = ("move", "pick", "place")


def latent_clip(seed: int) -> Latents:
    random = np.random.default_rng(seed)
    centres = np.eye(ACTIONS, 8)[TRUTH]
    return Latents("one", TRUTH, random.normal(size=(40, 8)), 5 * centres + 0.01 * random.normal(size=(40, 8)))


def test_principal_axes_hold_most_of_the_variance() -> None:
    values = np.random.default_rng(0).normal(size=(100, 5)) * [10, 3, 0.1, 0.1, 0.1]
    places, shares = latents.principal(values)
    assert places.shape == (100, 2)
    assert shares.sum() == pytest.approx(1, abs=1e-2)
    assert abs(np.corrcoef(places[:, 0], values[:, 0])[0, 1]) > 0.99


def test_latents_change_where_the_action_does() -> None:
    found = latents.changes(latent_clip(0).context)
    assert set(np.argsort(found)[-3:]) == {10, 20, 30}
    assert found[0] == 0


def test_latents_come_back_from_their_file(tmp_path: Path) -> None:
    latents.save_latents(tmp_path / "latents.npz", [latent_clip(0)])
    (after,) = latents.load_latents(tmp_path / "latents.npz")
    assert after.name == "one" and np.array_equal(after.actions, TRUTH)
    assert np.allclose(after.context, latent_clip(0).context, atol=1e-2)


def test_pictures_are_the_same_every_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("a", "b"):
        latents.draw_scatter([latent_clip(0)], VOCABULARY, tmp_path / name / "s.svg")
        latents.draw_changes(latent_clip(0), VOCABULARY, 0.1, tmp_path / name / "d.svg")
    for picture in ("s.svg", "d.svg"):
        assert (tmp_path / "a" / picture).read_bytes() == (tmp_path / "b" / picture).read_bytes()
    assert "place" in (tmp_path / "a" / "s.svg").read_text()
