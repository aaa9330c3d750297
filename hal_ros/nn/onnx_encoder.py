"""A user's own encoder: an ONNX file, checked, and wrapped into the graph that a bundle holds.

The file takes one picture, (1, S, S, 3) or (1, 3, S, S) of uint8, float32 or float16, whose values are 0..255 either
way, and gives one map, run of tokens, or vector. The bundle's graph takes `image (1, S, S, 3)` and gives `feature
(1, D)` float32, cell by cell, as the built-in encoder does. What is put around the file's own nodes are Cast,
Transpose, Slice and Reshape; operator set and weights stay as they are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from hal_ros.core.errors import ConfigError
from hal_ros.nn.encoder import IMAGE_TYPES, IR_VERSION, OPSET
from hal_ros.outside.reading import Expected, read_bytes, reading, reason

LARGEST_BYTES = 2**31 - 1
"""What one ONNX file can hold; a bundle's encoder is one file."""
OWN_FILE = Expected(ConfigError, "an ONNX file", 2 * LARGEST_BYTES)
OLDEST_OPSET = 13
UINT8, FLOAT, HALF = int(TensorProto.UINT8), int(TensorProto.FLOAT), int(TensorProto.FLOAT16)
PICTURE_TYPES = {UINT8: "uint8", FLOAT: "float32", HALF: "float16"}
OWN = "own/"
"""What the names of all nodes and tensors of the user's begin with, lest they meet those around them."""


@dataclass(frozen=True)
class OwnEncoder:
    """A user's graph as it was read, its weights inside and its batch of one."""

    path: Path
    model: onnx.ModelProto
    sha256: str  # of the file, and of the files with weights that it names
    size_px: int  # S
    channels_first: bool  # pictures and maps are (1, channels, rows, columns)
    dtype: str  # of pictures

    @property
    def picture_name(self) -> str:
        """What the graph calls its input."""
        return str(self.model.graph.input[0].name)

    @property
    def picture_shape(self) -> tuple[int, ...]:
        """(1, 3, S, S) or (1, S, S, 3)."""
        side = self.size_px
        return (1, 3, side, side) if self.channels_first else (1, side, side, 3)

    @property
    def takes(self) -> str:
        """What goes in, in words."""
        return f"pictures {_shape_text(self.picture_shape)} {self.dtype}"


@dataclass(frozen=True)
class OwnMap:
    """What a user's graph gives, as a grid of cells."""

    shape: tuple[int, ...]  # as it comes out
    grid: tuple[int, int, int]  # rows, columns, channels; (1, 1, D) is a vector
    class_token: bool = False  # the first token is none of the grid's, and is left out
    half: bool = False  # of float16

    @property
    def gives(self) -> str:
        """What comes out, in words."""
        rows, columns, channels = self.grid
        what = f"a map of {rows} x {columns} cells of {channels} values"
        what = f"a vector of {channels} values" if len(self.shape) == 2 else what
        return what + (", behind a class token that is left out" if self.class_token else "")


# --- reading ----------------------------------------------------------------------------------------------------------


def read_own(path: Path, size_px: int) -> OwnEncoder:
    """Read a user's graph for pictures of S px; ConfigError naming the file, what is wrong and what was expected."""
    with reading(path, OWN_FILE):
        return _read_own(path, size_px)


def _read_own(path: Path, size_px: int) -> OwnEncoder:
    model, sha256 = _read(path)
    graph = model.graph
    constants = {entry.name for entry in graph.initializer}
    inputs = [entry for entry in graph.input if entry.name not in constants]  # an old format lists weights as inputs
    _expect(len(inputs) == 1, path, f"has {_listed(inputs, 'input')}", "one, the picture")
    _expect(len(graph.output) == 1, path, f"has {_listed(graph.output, 'output')}", "one, a map, tokens or a vector")
    _check_opset(model, path)
    channels_first = _check_picture(inputs[0], size_px, path)
    picture = onnx.ValueInfoProto()
    picture.CopyFrom(inputs[0])
    picture.type.tensor_type.shape.dim[0].dim_value = 1
    del graph.input[:]
    graph.input.append(picture)
    graph.output[0].type.tensor_type.ClearField("shape")  # of the batch as it was; a run tells the true one
    _strip(model)
    dtype = PICTURE_TYPES[picture.type.tensor_type.elem_type]
    return OwnEncoder(path, model, sha256, size_px, channels_first, dtype)


def _read(path: Path) -> tuple[onnx.ModelProto, str]:
    """Return the graph with all its weights inside, and the hash of what was read."""
    try:
        content = read_bytes(path, OWN_FILE)
    except ConfigError as error:
        why = reason(error.__cause__ or error)
        raise ConfigError(f"data.encoder: {path} can't be read ({why}); expected an ONNX file") from error
    _check_size(len(content), path)
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # of protobuf, which onnx does not name
        raise ConfigError(f"data.encoder: {path} is not an ONNX file") from error
    _expect(bool(model.graph.node), path, "is not an ONNX file, or has no nodes", "an encoder's graph")
    try:
        beside = [path.parent / name for name in _external_files(model)]
        _check_size(len(content) + sum(file.stat().st_size for file in beside), path)
        external_data_helper.load_external_data_for_model(model, str(path.parent))  # refuses places elsewhere
        onnx.checker.check_model(model)
        return model, _sha256(content, beside)
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ConfigError(f"data.encoder: {path} is no valid ONNX graph ({_line(error)})") from error


def _check_size(size: int, path: Path) -> None:
    _expect(size <= LARGEST_BYTES, path, f"holds {size / 1e9:.1f} GB with its weights", "2 GB at most")


def _sha256(content: bytes, beside: Iterable[Path]) -> str:
    digest = hashlib.sha256(content)
    for path in beside:
        with path.open("rb") as file:
            while block := file.read(1 << 24):
                digest.update(block)
    return digest.hexdigest()


def _external_files(model: onnx.ModelProto) -> list[str]:
    tensors = [t for t in model.graph.initializer if external_data_helper.uses_external_data(t)]
    return sorted({external_data_helper.ExternalDataInfo(tensor).location for tensor in tensors})


def _check_opset(model: onnx.ModelProto, path: Path) -> None:
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    found = versions[0] if versions else None
    _expect((found or 0) >= OLDEST_OPSET, path, f"has operator set {found}", f"ai.onnx {OLDEST_OPSET} or newer")
    if found is not None and found <= OPSET:
        model.ir_version = min(model.ir_version, IR_VERSION)  # older readers take it; it holds nothing newer
    model.ir_version = max(model.ir_version, 4)  # from which on weights need not be inputs


def _check_picture(entry: onnx.ValueInfoProto, size_px: int, path: Path) -> bool:
    """Return whether channels come first."""
    kind, side = entry.type.tensor_type, size_px
    dims = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in kind.shape.dim]
    last, first = [side, side, 3], [3, side, side]
    fits = len(dims) == 4 and (isinstance(dims[0], str) or dims[0] == 1) and dims[1:] in (last, first)
    fits = fits and kind.elem_type in PICTURE_TYPES
    found = f"{_type(kind.elem_type)} {_shape_text(dims)}"
    shapes = f"{_shape_text([1, *last])} or {_shape_text([1, *first])}"
    expected = f"{', '.join(PICTURE_TYPES.values())} of fixed shape {shapes}, for cameras of {side} px"
    _expect(fits, path, f"takes {entry.name} {found}", expected)
    return dims[1:] == first


def _strip(model: onnx.ModelProto) -> None:
    """Drop what names source files of the machine that exported, and shapes that were found for another batch."""
    del model.metadata_props[:]
    del model.graph.value_info[:]
    model.doc_string = model.graph.doc_string = ""
    nodes = [node for function in model.functions for node in function.node]
    for entry in (*model.graph.node, *nodes, *model.graph.input, *model.graph.output, *model.graph.initializer):
        entry.doc_string = ""
        del entry.metadata_props[:]


# --- what comes out ---------------------------------------------------------------------------------------------------


def map_of(own: OwnEncoder, shape: Sequence[int], dtype: str) -> OwnMap:
    """Return how an output of this shape and type is read, as docs/training.md tells; ConfigError where it can't be.

    Of four axes the channels are where those of the picture are. Of three, (1, N, C), the N tokens are a square, or
    one and a class token in front of it. Of two, (1, D), it is one cell.
    """
    shape, what, half = tuple(shape), f"gives {dtype} {_shape_text(shape)}", dtype == "float16"
    _expect(half or dtype == "float32", own.path, what, "float32 or float16")
    kinds = "a map of four axes, tokens (1, N, C) or a vector (1, D)"
    _expect(2 <= len(shape) <= 4 and shape[0] == 1 and min(shape) > 0, own.path, what, kinds)
    if len(shape) == 2:
        return OwnMap(shape, (1, 1, shape[1]), half=half)
    if len(shape) == 4:
        first = own.channels_first
        rows, columns, channels = (shape[2], shape[3], shape[1]) if first else shape[1:]
        order = "channels, rows, columns" if first else "rows, columns, channels"
        _expect(rows == columns, own.path, what, f"(1, {order}), as the picture, and square")
        return OwnMap(shape, (rows, columns, channels), half=half)
    for skipped in (0, 1):
        side = math.isqrt(shape[1] - skipped)
        if side and side * side == shape[1] - skipped:
            return OwnMap(shape, (side, side, shape[2]), bool(skipped), half)
    raise ConfigError(
        f"data.encoder: {own.path} {what}; expected a square of tokens, or one class token in front of it"
    )


# --- the bundle's graph -----------------------------------------------------------------------------------------------


def wrapped(own: OwnEncoder, found: OwnMap, dtype: str = "uint8") -> onnx.ModelProto:
    """Return `image (1, S, S, 3) 0..255 of dtype -> feature (1, D) float32` around the user's nodes."""
    model = onnx.compose.add_prefix(own.model, OWN)
    graph, side = model.graph, own.size_px
    before, name = _before(own, dtype)
    after, constants = _after(graph.output[0].name, own, found)
    _rename(graph, graph.input[0].name, name)
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info("image", IMAGE_TYPES[dtype], [1, side, side, 3]))
    graph.output.append(helper.make_tensor_value_info("feature", FLOAT, [1, math.prod(found.grid)]))
    graph.initializer.extend(constants)
    graph.name = "encoder"
    return model


def _before(own: OwnEncoder, dtype: str) -> tuple[list[onnx.NodeProto], str]:
    """Return the nodes that make the user's picture of the bundle's, and its name; no nodes where they are alike."""
    nodes, value = [], "image"
    if own.dtype != dtype:
        wanted = next(kind for kind, name in PICTURE_TYPES.items() if name == own.dtype)
        nodes.append(helper.make_node("Cast", [value], [value := "image_cast"], to=wanted))
    if own.channels_first:
        nodes.append(helper.make_node("Transpose", [value], [value := "image_channels_first"], perm=[0, 3, 1, 2]))
    return nodes, value


def _after(value: str, own: OwnEncoder, found: OwnMap) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return the nodes that make the feature of the user's output, and their constants."""
    constants = {"feature_shape": [1, math.prod(found.grid)]}
    nodes = [helper.make_node("Cast", [value], [value := "map_cast"], to=FLOAT)] if found.half else []
    if found.class_token:
        constants |= {"first_token": [1], "last_token": [found.shape[1]], "token_axis": [1]}
        places = ["first_token", "last_token", "token_axis"]
        nodes.append(helper.make_node("Slice", [value, *places], [value := "map_tokens"]))
    if len(found.shape) == 4 and own.channels_first:
        nodes.append(helper.make_node("Transpose", [value], [value := "map_channels_last"], perm=[0, 2, 3, 1]))
    nodes.append(helper.make_node("Reshape", [value, "feature_shape"], ["feature"]))
    return nodes, [numpy_helper.from_array(np.array(places, np.int64), name) for name, places in constants.items()]


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Let all nodes that read a tensor, those of nested graphs too, read another one."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        for attribute in node.attribute:
            for nested in (attribute.g, *attribute.graphs):
                _rename(nested, old, new)
    for entry in graph.output:  # of a nested graph that hands it through
        entry.name = new if entry.name == old else entry.name


# --- words ------------------------------------------------------------------------------------------------------------


def _expect(holds: bool, path: Path, found: str, expected: str) -> None:
    if not holds:
        raise ConfigError(f"data.encoder: {path} {found}; expected {expected}")


def _listed(entries: Iterable[onnx.ValueInfoProto], kind: str) -> str:
    names = [entry.name for entry in entries]
    return f"{len(names)} {kind}s" + (f" ({', '.join(names)})" if names else "")


def _shape_text(dims: Sequence[Any]) -> str:
    return f"({', '.join(map(str, dims))})"


def _type(element: int) -> str:
    return TensorProto.DataType.Name(element).lower() if element else "no tensor"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
