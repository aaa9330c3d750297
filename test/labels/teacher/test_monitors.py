"""The monitors tell a hierarchy that lives from one that has collapsed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hal_ros.labels.teacher.monitors import mean_change, probe_accuracy, watch  # noqa: E402
from hal_ros.labels.teacher.network import PyramidConfig, PyramidTeacher  # noqa: E402
from hal_ros.nn.latent import Elbo  # noqa: E402

CONFIG = PyramidConfig(actions=3, features=4, width=16, heads=2, layers=3, visual_layer=1)


def watched(model: Any, elbo: Any = None) -> Any:
    random = np.random.default_rng(0)
    labels = [np.repeat(random.permutation(3), 8) for _ in range(8)]
    clips = [(torch.eye(4)[label][None].float(), np.eye(3, dtype=np.float32)[label]) for label in labels]
    return watch(model, elbo, clips)


def test_a_collapsed_action_latent_is_seen() -> None:
    torch.manual_seed(0)
    model = PyramidTeacher(CONFIG).eval()
    elbo = Elbo(16, CONFIG.visual_width, CONFIG.action_width, "standard", 0.0)
    alive = watched(model, elbo)
    with torch.no_grad():
        for part in (model.action.mean, model.action.log_variance):
            part.weight.zero_()
            part.bias.zero_()
    dead = watched(model, elbo)
    assert alive["action_variance"] > 1e-3 > dead["action_variance"]
    assert alive["change_ratio"] > 0.1 > dead["change_ratio"]
    assert alive["action_probe"] > 0.9 > 0.6 > dead["action_probe"]
    assert alive["action_alive"] > dead["action_alive"] == 0
    assert dead["visual_probe"] == alive["visual_probe"] > 0.9


def test_without_an_elbo_or_labels_the_rest_is_watched() -> None:
    model = PyramidTeacher(CONFIG)
    assert "action_kl" not in watched(model)
    only = watch(model, None, [(torch.zeros(1, 5, 4), None), (torch.zeros(1, 1, 4), None)])
    assert "action_probe" not in only
    assert np.isfinite(list(only.values())).all()


def test_change_is_between_unit_vectors() -> None:
    turn = np.array([[1.0, 0.0], [0.0, 3.0], [0.0, 5.0]])
    assert mean_change([turn]) == pytest.approx(1.0, abs=1e-5)  # 2 for the turn, 0 for the growth
    assert mean_change([turn[:1]]) == 0


def test_a_probe_finds_what_is_there() -> None:
    random = np.random.default_rng(0)
    labels = [random.integers(0, 3, 50) for _ in range(4)]
    clear = [np.eye(3)[label] + random.normal(size=(50, 3)) * 0.1 for label in labels]
    assert probe_accuracy(clear, labels) > 0.98
    assert probe_accuracy([random.normal(size=(50, 3)) for _ in labels], labels) < 0.5
