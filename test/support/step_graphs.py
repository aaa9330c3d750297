"""A small eye and model whose every parameter matters, and what a bundle needs beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hal_ros.core.card import DecoderSpec, ImageSpec, JointSpec, ModelCard
from hal_ros.export.bundle import EncoderPair, Golden
from hal_ros.export.to_onnx import StepGraph
from hal_ros.nn.encoder import build_encoder
from hal_ros.nn.hal import CausalHal, HalConfig
from hal_ros.nn.joint_guided_attention import Eye, EyeConfig

SIZE_PX = 32
EYE = EyeConfig(actions=4, joints=2, grid=(4, 4, 52), width=12, cell_width=8, gazes=2, keypoints=3)
CONFIG = HalConfig(actions=4, joint_values=6, attended=12, width=16, heads=2, lookback=(3, 5, 9), feed_forward=32)


def make_graph(config: HalConfig = CONFIG, caches: str = "shift") -> StepGraph:
    """The same weights each time, away from the zeros and ones that they start with."""
    torch.manual_seed(0)
    graph = StepGraph(Eye(EYE), CausalHal(config), caches).eval()
    with torch.no_grad():
        for parameter in graph.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        graph.eye.joints.mean += 0.5
        graph.model.joints.mean += 0.5
        graph.model.seen_spread *= 1.5
        graph.eye.spread *= 2.0
        graph.model.temperature.copy_(torch.tensor([1.5, 0.7]))
    return graph


def make_card(dtype: str = "uint8", target: str = "10") -> ModelCard:
    """What is known of the model before its graphs are there."""
    return ModelCard(
        name="small",
        vocabulary=("a", "b", "c", "d"),
        image=ImageSpec(SIZE_PX, dtype),
        joints=JointSpec(("one", "two"), 0.1),
        rate_hz=10.0,
        lag_ticks=2,
        max_held_ticks=2,
        feature_dim=0,
        window_ticks=1,
        decoder=DecoderSpec(),
        supervision="annotations",
        target=target,
    )


def make_encoders(dtype: str = "uint8") -> EncoderPair:
    """The real encoder over small pictures."""
    return EncoderPair(*(build_encoder(SIZE_PX, dtype=dtype, half=half) for half in (False, True)))


def make_golden() -> Golden:
    """Six ticks, one of them without a picture."""
    random = np.random.default_rng(0)
    arrays: list[Any] = [
        random.integers(0, 256, (6, SIZE_PX, SIZE_PX, 3), dtype=np.uint8),
        np.array([1, 1, 0, 1, 1, 1], np.float32),
        random.normal(size=(6, 6)).astype(np.float32),
        np.ones((6, 6), np.float32),
    ]
    return Golden(*arrays)
