"""A small eye and model whose every parameter matters, for several kinds of robots, and what a bundle needs beside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from hal_ros.core.card import DecoderSpec, EncoderSpec, ModelCard
from hal_ros.core.streams.spec import CameraSpec, StateSpec, StreamSpec, single
from hal_ros.export.bundle import EncoderPair, Golden, Ingredients
from hal_ros.export.to_onnx import StepGraph
from hal_ros.nn.encoder import build_encoder
from hal_ros.nn.hal import CausalHal, HalConfig
from hal_ros.nn.joint_guided_attention import Eye, EyeConfig

SIZE_PX = 32
EYE = EyeConfig(actions=4, joint_values=6, grid=(4, 4, 52), width=12, cell_width=8, gazes=2, keypoints=3)
CONFIG = HalConfig(actions=4, joint_values=6, attended=12, width=16, heads=2, lookback=(3, 5, 9), feed_forward=32)
CAMERA, JOINTS = CameraSpec(size_px=SIZE_PX), StateSpec(names=("one", "two"))
ONE = single(CAMERA, JOINTS)
TWO = StreamSpec(
    "front",
    {"front": CAMERA, "wrist": CAMERA},
    {"arm": JOINTS, "wrench": StateSpec(("/wrench",), fields=("wrench.force.x", "wrench.force.y", "wrench.force.z"))},
)
ROBOTS = {
    "one": ONE,
    "two": TWO,
    "camera": single(CAMERA, None),
    "cameras": replace(TWO, states={}),
    "states": StreamSpec("arm", {}, TWO.states),
}
"""One camera and joints, as in 0.1.0; two of each; one camera alone, two cameras alone, two states alone."""


def make_graph(config: HalConfig = CONFIG, caches: str = "shift", streams: StreamSpec = ONE) -> StepGraph:
    """The same weights each time, away from the zeros and ones that they start with."""
    torch.manual_seed(0)
    cameras, values = len(streams.cameras), streams.value_count
    eyes = [Eye(replace(EYE, joint_values=values)) for _ in range(cameras)]
    graph = StepGraph(eyes, CausalHal(replace(config, cameras=cameras, joint_values=values)), caches).eval()
    with torch.no_grad():
        for parameter in graph.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for eye in graph.eyes:
            eye.spread *= 2.0
        for joints in [graph.model.joints, *(eye.joints for eye in graph.eyes)] if values else []:
            joints.mean += 0.5
        for camera in graph.model.camera_inputs():
            camera.spread.mul_(1.5)
        graph.model.temperature.copy_(torch.tensor([1.5, 0.7]))
    return graph


def make_card(dtype: str = "uint8", target: str = "10", streams: StreamSpec = ONE) -> ModelCard:
    """What is known of the model before its graphs are there."""
    return ModelCard(
        name="small",
        vocabulary=("a", "b", "c", "d"),
        streams=replace(streams, max_held_ticks=2),
        encoder=EncoderSpec(1, dtype) if streams.cameras else None,
        lag_ticks=2,
        window_ticks=1,
        decoder=DecoderSpec(),
        supervision="annotations",
        target=target,
    )


def make_encoders(dtype: str = "uint8") -> EncoderPair:
    """The real encoder over small pictures."""
    return EncoderPair(*(build_encoder(SIZE_PX, dtype=dtype, half=half) for half in (False, True)))


def make_golden(streams: StreamSpec = ONE) -> Golden:
    """Six ticks, each camera's picture missing at one of them."""
    random, cameras, values = np.random.default_rng(0), len(streams.cameras), streams.value_count
    side = streams.size_px
    arrays: list[Any] = [
        random.integers(0, 256, (6, cameras, side, side, 3), dtype=np.uint8),
        np.array([[1, 1], [1, 1], [0, 1], [1, 0], [1, 1], [1, 1]], np.float32)[:, :cameras],
        random.normal(size=(6, values)).astype(np.float32),
        np.ones((6, values), np.float32),
    ]
    return Golden(*arrays)


def make_ingredients(caches: str = "shift", streams: StreamSpec = ONE) -> Ingredients:
    """All that a bundle for today's TensorRT is made of."""
    encoders = make_encoders() if streams.cameras else None
    return Ingredients(make_graph(CONFIG, caches, streams), make_card(streams=streams), encoders, make_golden(streams))
