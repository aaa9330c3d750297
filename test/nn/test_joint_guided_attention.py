"""What the eye sees depends on its own tick alone, and on where the joints point."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from hal_ros.nn.joint_guided_attention import Eye, EyeConfig, attend  # noqa: E402

CONFIG = EyeConfig(actions=5, joint_values=9, grid=(3, 2, 6), width=12, cell_width=8, gazes=2, keypoints=3)


@pytest.fixture
def eye() -> Eye:
    torch.manual_seed(0)
    eye = Eye(CONFIG).eval()
    with torch.no_grad():
        for parameter in eye.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return eye


def ticks(count: int, seed: int = 0) -> tuple[Any, ...]:
    random = torch.Generator().manual_seed(seed)
    feature = torch.randn(1, count, CONFIG.feature_dim, generator=random)
    joints = torch.randn(1, count, 9, generator=random)
    return feature, joints, (torch.rand(1, count, 9, generator=random) < 0.8).float()


@torch.no_grad()
def test_ticks_are_seen_one_by_one(eye: Eye) -> None:
    inputs = ticks(7)
    together = eye(*inputs)
    assert together.shape == (1, 7, CONFIG.width)
    for tick in range(7):
        alone = eye(*(tensor[:, tick : tick + 1] for tensor in inputs))
        torch.testing.assert_close(alone[:, 0], together[:, tick])
    assert float((together[:, 0] - together[:, 1]).abs().max()) > 1e-2


@torch.no_grad()
def test_joints_say_where_to_look_and_unknown_ones_say_nothing(eye: Eye) -> None:
    feature, joints, valid = ticks(4)
    other = torch.where(valid > 0, joints, torch.full_like(joints, 50.0))
    assert torch.equal(eye(feature, joints, valid), eye(feature, other, valid))
    assert float((eye(feature, joints, valid) - eye(feature, joints + 1, valid)).abs().max()) > 1e-2


@torch.no_grad()
def test_standardising_inside_the_eye_is_standardising_before_it(eye: Eye) -> None:
    feature, joints, valid = ticks(4)
    before = eye(feature, joints, valid)
    channels = CONFIG.grid[2]
    mean, spread = torch.randn(channels), torch.rand(channels) + 0.5
    eye.mean.copy_(mean)
    eye.spread.copy_(spread)
    raw = (feature.reshape(4, -1, channels) * spread + mean).reshape(1, 4, -1)
    torch.testing.assert_close(eye(raw, joints, valid), before, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_head_gives_probabilities(eye: Eye) -> None:
    log_probs = eye.head(eye(*ticks(6)))
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(1, 6))


def test_config_survives_json() -> None:
    assert EyeConfig.from_json(json.loads(json.dumps(CONFIG.to_json()))) == CONFIG


def test_an_older_checkpoints_config_is_read() -> None:
    saved = CONFIG.to_json()
    saved["joints"] = saved.pop("joint_values") // 3
    assert EyeConfig.from_json(json.loads(json.dumps(saved))) == CONFIG


@torch.no_grad()
def test_without_states_a_constant_guides_the_gazes() -> None:
    torch.manual_seed(0)
    eye = Eye(replace(CONFIG, joint_values=0)).eval()
    feature, nothing = ticks(4)[0], torch.zeros(1, 4, 0)
    before = eye(feature, nothing, nothing)
    for tick in range(4):
        alone = eye(feature[:, tick : tick + 1], nothing[:, :1], nothing[:, :1])
        torch.testing.assert_close(alone[:, 0], before[:, tick])
    eye.constant.add_(1.0)
    assert float((eye(feature, nothing, nothing) - before).abs().max()) > 1e-2


@torch.no_grad()
def test_each_camera_has_an_eye_of_its_own(eye: Eye) -> None:
    other = Eye(CONFIG).eval()
    first, joints, valid = ticks(3)
    second, _, _ = ticks(3, seed=1)
    both = attend([eye, other], torch.cat([first, second], -1), joints, valid)
    torch.testing.assert_close(both, torch.cat([eye(first, joints, valid), other(second, joints, valid)], -1))
    assert not torch.allclose(both, attend([eye, other], torch.cat([second, first], -1), joints, valid))
    assert torch.equal(attend([eye], first, joints, valid), eye(first, joints, valid))
    assert attend([], first[..., :0], joints, valid).shape == (1, 3, 0)
