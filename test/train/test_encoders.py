"""A user's own encoder is tried before it is trusted, and is part of what names a run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import helper, numpy_helper  # noqa: E402

from hal_ros.core.card import EncoderSpec  # noqa: E402
from hal_ros.core.errors import ConfigError  # noqa: E402
from hal_ros.datasets.config import DataConfig  # noqa: E402
from hal_ros.runtime.encode import PictureEncoder  # noqa: E402
from hal_ros.train import encoders, stages  # noqa: E402
from hal_ros.train.config import TrainConfig  # noqa: E402
from own_encoders import (  # noqa: E402
    CHANNELS,
    FLOAT,
    SIDE,
    SIZE_PX,
    conv_map,
    conv_planes,
    conv_vector,
    one_node,
    reference,
    save,
)

PICTURE = [1, 3, SIZE_PX, SIZE_PX]


def settings(path: Path) -> DataConfig:
    return DataConfig(encoder=f"onnx:{path}", image_size_px=SIZE_PX, joints=("a",), cache=str(path.parent / "cache"))


def test_the_card_says_what_the_encoder_is(tmp_path: Path) -> None:
    path = conv_map(tmp_path / "mine.onnx")
    source = f"onnx:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    whole = SIDE * SIDE * CHANNELS
    assert encoders.grid_of(settings(path)) == (SIDE, SIDE, CHANNELS)
    assert encoders.encoder_spec(settings(path)) == EncoderSpec(whole, "uint8", source, CHANNELS)
    vector = settings(conv_vector(tmp_path / "vector.onnx"))
    assert encoders.grid_of(vector) == (1, 1, CHANNELS)


def test_features_are_the_users_map_and_it_is_told_how_it_was_read(tmp_path: Path) -> None:
    told: list[str] = []
    data = settings(conv_planes(tmp_path / "mine.onnx"))
    written = encoders.ensure_encoder(data, told.append)
    assert written is not None
    picture = np.random.default_rng(1).integers(0, 256, (SIZE_PX, SIZE_PX, 3), np.uint8)
    np.testing.assert_allclose(PictureEncoder(written).encode(picture), reference(picture).ravel(), atol=1e-5)
    (line,) = told
    assert "mine.onnx: takes pictures (1, 3, 32, 32) float32, values 0..255; gives a map of 4 x 4 cells of 6" in line


def test_another_file_is_another_encoder_wherever_it_lies(tmp_path: Path) -> None:
    def run(path: Path) -> str:
        return stages.settings_sha256(TrainConfig(data=settings(path)))

    told = list[str]().append
    first, moved = conv_map(tmp_path / "a.onnx"), conv_map(tmp_path / "b.onnx")
    assert run(first) == run(moved)
    assert encoders.ensure_encoder(settings(first), told) == encoders.ensure_encoder(settings(moved), told)
    before = run(first)
    conv_map(first, seed=1)
    os.utime(first, (1, 1))
    assert run(first) != before
    assert encoders.ensure_encoder(settings(first), told) != encoders.ensure_encoder(settings(moved), told)


def nan(path: Path) -> Path:
    """The logarithm of 0 is none, that of noise is one."""
    node = helper.make_node("Log", ["x"], ["y"])
    return save(path, [node], [("x", FLOAT, PICTURE)], [("y", FLOAT, PICTURE)], [])


def large(path: Path) -> Path:
    nodes = [helper.make_node("Mul", ["x", "thousand"], ["y"])]
    constants = [numpy_helper.from_array(np.array(1000, np.float32), "thousand")]
    return save(path, nodes, [("x", FLOAT, PICTURE)], [("y", FLOAT, PICTURE)], constants)


def five_axes(path: Path) -> Path:
    nodes = [helper.make_node("Unsqueeze", ["x", "axis"], ["y"])]
    ends = [("x", FLOAT, PICTURE)], [("y", FLOAT, [1, 1, *PICTURE[1:]])]
    return save(path, nodes, *ends, [numpy_helper.from_array(np.array([0], np.int64), "axis")])


def by_chance(path: Path) -> Path:
    """Answers another way each time."""
    node = helper.make_node("RandomUniform", [], ["map"], shape=[1, 3, 2, 2])
    return save(path, [node], [("x", FLOAT, [1, 3, SIZE_PX, SIZE_PX])], [("map", FLOAT, [1, 3, 2, 2])], [])


def blind(path: Path) -> Path:
    """Answers the same whatever it is shown."""
    node = helper.make_node("Identity", ["always"], ["map"])
    always = [numpy_helper.from_array(np.ones((1, 4), np.float32), "always")]
    return save(path, [node], [("x", FLOAT, [1, 3, SIZE_PX, SIZE_PX])], [("map", FLOAT, [1, 4])], always)


def fails(path: Path) -> Path:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    ends = [("x", FLOAT, ["batch", *PICTURE[1:]])], [("y", FLOAT, ["a", "b", "c"])]
    return save(path, nodes, *ends, [numpy_helper.from_array(np.array([1, 7, -1], np.int64), "shape")])


@pytest.mark.parametrize(
    ("write", "fault"),
    [
        (nan, r"gives 3072 values such as -inf for a picture that is black; expected finite ones within \+-65504"),
        (by_chance, "gives another feature each time for a picture that is black; expected a graph without random"),
        (blind, "gives the same for all pictures; expected what tells them apart"),
        (large, r"gives 3072 values such as 255000 for a picture that is white; expected finite ones"),
        (five_axes, r"gives float32 \(1, 1, 3, 32, 32\); expected a map of four axes, tokens"),
        (fails, "ONNX Runtime can't"),
        (lambda path: one_node(path, "Cast", gives=onnx.TensorProto.INT32, to=6), r"gives int32 .*; expected float32"),
    ],
)
def test_what_fails_on_a_picture_is_refused_in_one_line(
    write: Callable[[Path], Path], fault: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=rf"data\.encoder: .*mine\.onnx:? {fault}") as caught:
        encoders.grid_of(settings(write(tmp_path / "mine.onnx")))
    assert "\n" not in str(caught.value)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.encoder: .*none\.onnx can't be read \(No such file"):
        encoders.grid_of(settings(tmp_path / "none.onnx"))


def test_half_precision_of_a_users_own_is_not_made(tmp_path: Path) -> None:
    data = settings(conv_map(tmp_path / "mine.onnx"))
    assert encoders.build(data, half=True) is None
    single = encoders.build(data, "float32")
    assert single is not None
    assert single.graph.input[0].type.tensor_type.elem_type == FLOAT


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"encoder": "mine.onnx"}, r"data\.encoder is 'mine\.onnx'; expected onnx:PATH, or nothing"),
        ({"encoder": "onnx:"}, r"data\.encoder is 'onnx:'; expected onnx:PATH"),
        ({"encoder_stage": 3}, r"data\.encoder_stage is 3 beside data\.encoder"),
        ({"layout": "mstcn"}, r"but there are no pictures; expected bags with cameras"),
    ],
)
def test_settings_that_mean_nothing_beside_it_are_refused(
    changes: dict[str, object], fault: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=fault):
        TrainConfig(data=replace(settings(tmp_path / "mine.onnx"), **changes))  # type: ignore[arg-type]
