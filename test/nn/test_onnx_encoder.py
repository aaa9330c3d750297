"""A user's own encoder is read as it says, wrapped without changing a value, and refused in one line."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from onnx import helper, numpy_helper  # noqa: E402

from hal_ros.core.errors import ConfigError  # noqa: E402
from hal_ros.nn import onnx_encoder  # noqa: E402
from hal_ros.nn.onnx_encoder import OWN, OwnMap, map_of, read_own, wrapped  # noqa: E402
from own_encoders import (  # noqa: E402
    CHANNELS,
    FLOAT,
    HALF,
    SIDE,
    SIZE_PX,
    UINT8,
    conv_map,
    conv_planes,
    conv_vector,
    one_node,
    reference,
    save,
)

GRID = (SIDE, SIDE, CHANNELS)
PICTURE = [1, 3, SIZE_PX, SIZE_PX]


def picture() -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (SIZE_PX, SIZE_PX, 3), np.uint8)


def feature(model: Any, image: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    kind = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}[session.get_inputs()[0].type]
    (found,) = session.run(["feature"], {"image": image[None].astype(kind)})
    assert found.dtype == np.float32
    return np.asarray(found)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(
    ("write", "shape", "grid"),
    [
        (conv_map, (1, *GRID), GRID),
        (conv_planes, (1, CHANNELS, SIDE, SIDE), GRID),
        (conv_vector, (1, CHANNELS), (1, 1, CHANNELS)),
    ],
)
def test_the_feature_is_the_users_map_cell_by_cell(
    write: Callable[[Path], Path], shape: tuple[int, ...], grid: tuple[int, int, int], dtype: str, tmp_path: Path
) -> None:
    own = read_own(write(tmp_path / "mine.onnx"), SIZE_PX)
    found = map_of(own, shape, "float32")
    assert found.grid == grid
    model = wrapped(own, found, dtype)
    onnx.checker.check_model(model, full_check=True)
    expected = reference(picture()) if grid == GRID else reference(picture()).mean((0, 1))
    np.testing.assert_allclose(feature(model, picture()), expected.reshape(1, -1), atol=1e-5)


def test_half_precision_in_and_out_is_cast(tmp_path: Path) -> None:
    own = read_own(conv_planes(tmp_path / "mine.onnx", HALF), SIZE_PX)
    assert own.takes == "pictures (1, 3, 32, 32) float16"
    model = wrapped(own, map_of(own, (1, CHANNELS, SIDE, SIDE), "float16"))
    np.testing.assert_allclose(feature(model, picture()), reference(picture()).reshape(1, -1), atol=1e-2)


def test_a_class_token_is_left_out(tmp_path: Path) -> None:
    own = read_own(conv_planes(tmp_path / "mine.onnx"), SIZE_PX)
    found = map_of(own, (1, 17, CHANNELS), "float32")
    assert (found.grid, found.class_token) == ((4, 4, CHANNELS), True)
    assert found.gives == "a map of 4 x 4 cells of 6 values, behind a class token that is left out"
    assert map_of(own, (1, 16, CHANNELS), "float32") == OwnMap((1, 16, CHANNELS), (4, 4, CHANNELS))
    assert map_of(own, (1, 1, CHANNELS), "float32").grid == (1, 1, CHANNELS)


def test_the_first_token_is_the_one_that_goes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "weight"], ["cells"], strides=[8, 8]),
        helper.make_node("Reshape", ["cells", "flat"], ["columns"]),
        helper.make_node("Transpose", ["columns"], ["patches"], perm=[0, 2, 1]),
        helper.make_node("Concat", ["class", "patches"], ["tokens"], axis=1),
    ]
    weight = onnx.load(conv_planes(tmp_path / "planes.onnx")).graph.initializer[0]
    constants = [
        weight,
        numpy_helper.from_array(np.array([1, CHANNELS, -1], np.int64), "flat"),
        numpy_helper.from_array(np.full((1, 1, CHANNELS), 99, np.float32), "class"),
    ]
    ends = [("x", FLOAT, [1, 3, SIZE_PX, SIZE_PX])], [("tokens", FLOAT, [1, 17, CHANNELS])]
    own = read_own(save(tmp_path / "mine.onnx", nodes, *ends, constants), SIZE_PX)
    model = wrapped(own, map_of(own, (1, 17, CHANNELS), "float32"))
    np.testing.assert_allclose(feature(model, picture()), reference(picture()).reshape(1, -1), atol=1e-5)


def test_the_users_names_meet_no_others(tmp_path: Path) -> None:
    own = read_own(conv_planes(tmp_path / "mine.onnx"), SIZE_PX)
    model = wrapped(own, map_of(own, (1, CHANNELS, SIDE, SIDE), "float32"))
    (conv,) = [node for node in model.graph.node if node.op_type == "Conv"]
    assert conv.output == [f"{OWN}feature"]
    assert [entry.name for entry in model.graph.output] == ["feature"]
    assert model.opset_import[0].version == 17


def test_nothing_of_the_exporting_machine_is_left(tmp_path: Path) -> None:
    model = onnx.load(conv_planes(tmp_path / "mine.onnx"))
    model.doc_string = "secret"
    for entry in (model, model.graph.node[0]):
        entry.metadata_props.add(key="stack", value="secret")
    onnx.save_model(model, tmp_path / "mine.onnx")
    own = read_own(tmp_path / "mine.onnx", SIZE_PX)
    assert b"secret" not in own.model.SerializeToString()


def test_weights_beside_the_file_are_taken_in_and_hashed(tmp_path: Path) -> None:
    alone = conv_planes(tmp_path / "alone.onnx")
    assert read_own(alone, SIZE_PX).sha256 == hashlib.sha256(alone.read_bytes()).hexdigest()
    onnx.save_model(
        onnx.load(alone), tmp_path / "two.onnx", save_as_external_data=True, location="two.data", size_threshold=0
    )
    own = read_own(tmp_path / "two.onnx", SIZE_PX)
    found = map_of(own, (1, CHANNELS, SIDE, SIDE), "float32")
    np.testing.assert_allclose(feature(wrapped(own, found), picture()), reference(picture()).reshape(1, -1), atol=1e-5)
    data = bytearray((tmp_path / "two.data").read_bytes())
    data[-1] ^= 1
    (tmp_path / "two.data").write_bytes(data)
    assert read_own(tmp_path / "two.onnx", SIZE_PX).sha256 != own.sha256
    (tmp_path / "two.data").unlink()
    with pytest.raises(ConfigError, match=r"two\.onnx is no valid ONNX graph \(.*two\.data"):
        read_own(tmp_path / "two.onnx", SIZE_PX)


def test_what_one_file_can_not_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = onnx.load(conv_planes(tmp_path / "alone.onnx"))
    onnx.save_model(alone, tmp_path / "two.onnx", save_as_external_data=True, location="two.data", size_threshold=0)
    monkeypatch.setattr(onnx_encoder, "LARGEST_BYTES", 3000)
    for name in ("two", "alone"):
        with pytest.raises(ConfigError, match=rf"{name}\.onnx holds .* GB with its weights; expected 2 GB at most"):
            read_own(tmp_path / f"{name}.onnx", SIZE_PX)


def test_weights_are_taken_from_beside_the_file_alone(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    model = onnx.load(conv_planes(tmp_path / "alone.onnx"))
    onnx.save_model(model, tmp_path / "two.onnx", save_as_external_data=True, location="two.data", size_threshold=0)
    text = (tmp_path / "two.onnx").read_bytes().replace(b"two.data", b"../x.bin")
    (tmp_path / "inner" / "two.onnx").write_bytes(text)
    (tmp_path / "two.data").rename(tmp_path / "x.bin")
    with pytest.raises(ConfigError, match=r"two\.onnx is no valid ONNX graph"):
        read_own(tmp_path / "inner" / "two.onnx", SIZE_PX)


def two_inputs(path: Path) -> Path:
    ends = [("x", FLOAT, PICTURE), ("mask", FLOAT, PICTURE)], [("y", FLOAT, PICTURE)]
    return save(path, [helper.make_node("Mul", ["x", "mask"], ["y"])], *ends, [])


def two_outputs(path: Path) -> Path:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])]
    return save(path, nodes, [("x", FLOAT, PICTURE)], [("y", FLOAT, PICTURE), ("z", FLOAT, PICTURE)], [])


def text(path: Path) -> Path:
    path.write_text("this is no graph at all\n" * 9)
    return path


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def old_opset(path: Path) -> Path:
    model = onnx.load(one_node(path))
    model.opset_import[0].version = 9
    onnx.save_model(model, path)
    return path


def no_such_operator(path: Path) -> Path:
    model = onnx.load(one_node(path))
    model.graph.node[0].op_type = "Rleu"
    onnx.save_model(model, path)
    return path


FAULTS: list[tuple[Callable[[Path], Path], str]] = [
    (two_inputs, r"has 2 inputs \(x, mask\); expected one, the picture"),
    (two_outputs, r"has 2 outputs \(y, z\); expected one, a map, tokens or a vector"),
    (text, r"is not an ONNX file"),
    (empty, r"is not an ONNX file"),
    (lambda path: path, r"can't be read \(No such file or directory\); expected an ONNX file"),
    (old_opset, r"has operator set 9; expected ai\.onnx 13 or newer"),
    (no_such_operator, r"is no valid ONNX graph \(.*Rleu"),
    (lambda path: one_node(path, shape=[1, 3, "height", "width"]), r"takes x float \(1, 3, height, width\); expected"),
    (
        lambda path: one_node(path, shape=[1, 3, 224, 224]),
        r"takes x float \(1, 3, 224, 224\); expected .* for cameras of 32 px",
    ),
    (lambda path: one_node(path, shape=[4, 3, 32, 32]), r"takes x float \(4, 3, 32, 32\); expected"),
    (lambda path: one_node(path, shape=[1, 1, 32, 32]), r"takes x float \(1, 1, 32, 32\); expected"),
    (lambda path: one_node(path, shape=[3, 32, 32]), r"takes x float \(3, 32, 32\); expected"),
    (lambda path: one_node(path, kind=onnx.TensorProto.DOUBLE), r"takes x double .*; expected uint8, float32, float16"),
]


@pytest.mark.parametrize(("write", "fault"), FAULTS)
def test_what_can_not_be_an_encoder_is_refused_in_one_line(
    write: Callable[[Path], Path], fault: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "mine.onnx")
    with pytest.raises(ConfigError, match=rf"data\.encoder: .*mine\.onnx {fault}") as caught:
        read_own(path, SIZE_PX)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "dtype", "fault"),
    [
        ((1, 2, 2, 2, 5), "float32", r"gives float32 \(1, 2, 2, 2, 5\); expected a map of four axes"),
        ((5,), "float32", "expected a map of four axes"),
        ((2, 5), "float32", "expected a map of four axes"),
        ((1, 5), "int64", r"gives int64 \(1, 5\); expected float32 or float16"),
        ((1, 261, 8), "float32", "expected a square of tokens, or one class token in front"),
        ((1, 4, 4, 8), "float32", r"expected \(1, channels, rows, columns\), as the picture, and square"),
    ],
)
def test_an_output_that_is_no_map_is_refused(shape: tuple[int, ...], dtype: str, fault: str, tmp_path: Path) -> None:
    own = read_own(one_node(tmp_path / "mine.onnx"), SIZE_PX)
    with pytest.raises(ConfigError, match=fault):
        map_of(own, shape, dtype)


def test_channels_are_where_the_pictures_are(tmp_path: Path) -> None:
    first = read_own(one_node(tmp_path / "mine.onnx"), SIZE_PX)
    last = dataclasses.replace(first, channels_first=False)
    assert map_of(first, (1, 8, 4, 4), "float32").grid == map_of(last, (1, 4, 4, 8), "float32").grid == (4, 4, 8)
    with pytest.raises(ConfigError, match=r"expected \(1, rows, columns, channels\)"):
        map_of(last, (1, 8, 4, 4), "float32")


def test_pictures_of_bytes_may_have_their_channels_first(tmp_path: Path) -> None:
    own = read_own(one_node(tmp_path / "mine.onnx", "Cast", UINT8, gives=FLOAT, to=FLOAT), SIZE_PX)
    model = wrapped(own, map_of(own, (1, 3, SIZE_PX, SIZE_PX), "float32"))
    np.testing.assert_array_equal(feature(model, picture()), picture().reshape(1, -1))
