"""Other forms of encoder.onnx, for `measure_cpu.py`: graphs that compute the same, 8-bit integers, ways to run them."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from hal_ros.core.arrays import ByteArray, FloatArray
from hal_ros.core.errors import BackendError
from hal_ros.runtime.sessions import open_session

NORMALISATION = ("mean", "scale")  # the encoder's constants; each holds one value, however often

Encode = Callable[[ByteArray], FloatArray]
"""A picture (S, S, 3) uint8 to its feature (D,)."""


class Variant(NamedTuple):
    """A file and a way to run it."""

    name: str
    path: Path
    open: Callable[[], Encode]


class Quantisation(NamedTuple):
    """How to quantise. Weights have a scale for each channel; biases stay float32, as TensorRT wants them.

    Signed activations have the zero point 0, which is all that TensorRT takes. With 8-bit weights the kernels for AVX2
    without VNNI overflow their 16-bit sums; 7 bits fit. With `clips` the range of a clipped convolution is the clip's;
    without, it is that of the values before it, which may be 15 times as wide.
    """

    name: str
    signed: bool = True
    weight_bits: int = 7
    clips: bool = True
    method: str = "MinMax"
    skipped: int = 0  # so many convolutions from the image on stay float32
    pointwise_only: bool = False  # only 1x1 convolutions


QUANTISATIONS = (
    Quantisation("int8, ranges before the clips, 8-bit weights", weight_bits=8, clips=False),
    Quantisation("int8, 8-bit weights", weight_bits=8),
    Quantisation("int8"),
    Quantisation("int8, percentile", method="Percentile"),
    Quantisation("int8, entropy", method="Entropy"),
    Quantisation("int8, 1x1 only", pointwise_only=True),
    Quantisation("int8, first two layers left out", skipped=2),
    Quantisation("uint8, 8-bit weights", signed=False, weight_bits=8),
    Quantisation("uint8", signed=False),
    Quantisation("uint8, percentile", signed=False, method="Percentile"),
    Quantisation("uint8, 1x1 only", signed=False, pointwise_only=True),
    Quantisation("uint8, first two layers left out", signed=False, skipped=2),
)


def normalised_by(model: onnx.ModelProto, shape: tuple[int, ...]) -> onnx.ModelProto:
    """Return the encoder with the constants of its normalisation in another shape, () or (1, 1, 1, 3).

    Raises BackendError when its channels are normalised differently.
    """
    changed = _copy(model)
    for tensor in changed.graph.initializer:
        if tensor.name in NORMALISATION:
            values = numpy_helper.to_array(tensor)
            if (values != values.flat[0]).any():
                raise BackendError(f"{tensor.name} is {values.tolist()}; expected one value for all channels")
            tensor.CopyFrom(numpy_helper.from_array(np.full(shape, values.flat[0], np.float32), tensor.name))
    return changed


def stored_as_float32(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the encoder with its weights stored as float32, not as float16 behind Cast nodes."""
    changed = _copy(model)
    graph, stored = changed.graph, {tensor.name: tensor for tensor in changed.graph.initializer}
    casts = [node for node in graph.node if node.op_type == "Cast" and node.input[0] in stored]
    for node in casts:
        tensor = stored[node.input[0]]
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), node.output[0]))
        graph.node.remove(node)
    return changed


def quantised(model: onnx.ModelProto, how: Quantisation, pictures: ByteArray) -> onnx.ModelProto:
    """Return the encoder with quantise-dequantise pairs, their ranges taken from pictures (N, S, S, 3)."""
    from onnxruntime import quantization as q  # late: slow to import, and the tests of the graphs need none

    class Reader(q.CalibrationDataReader):  # type: ignore[misc]  # its base is untyped
        def __init__(self) -> None:
            self.feeds: Iterator[dict[str, Any]] = ({"image": picture[None]} for picture in pictures)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.feeds, None)

    source = stored_as_float32(model)
    for node in source.graph.node:
        node.name = node.output[0]  # the quantiser chooses nodes by name
    with tempfile.TemporaryDirectory() as folder, _quiet():
        target = Path(folder, "quantised.onnx")
        q.quantize_static(
            source,
            target,
            Reader(),
            quant_format=q.QuantFormat.QDQ,
            activation_type=q.QuantType.QInt8 if how.signed else q.QuantType.QUInt8,
            weight_type=q.QuantType.QInt8,
            per_channel=True,
            reduce_range=how.weight_bits == 7,
            op_types_to_quantize=["Conv", "Clip"] if how.clips else ["Conv"],
            nodes_to_exclude=_left_out(source, how),
            calibrate_method=q.CalibrationMethod[how.method],
            extra_options={"ActivationSymmetric": how.signed, "WeightSymmetric": True, "QuantizeBias": False},
        )
        return onnx.load(target)


def _left_out(model: onnx.ModelProto, how: Quantisation) -> list[str]:
    """Return the names of the convolutions that stay float32, each with the clip behind it."""
    nodes = model.graph.node
    convolutions = [node for node in nodes if node.op_type == "Conv"]
    kept = [
        node
        for number, node in enumerate(convolutions)
        if number < how.skipped or (how.pointwise_only and _kernel(node) != [1, 1])
    ]
    outputs = {node.output[0] for node in kept}
    clips = [node for node in nodes if node.op_type == "Clip" and node.input[0] in outputs]
    return [node.name for node in (*kept, *clips)]


def _kernel(node: onnx.NodeProto) -> list[int]:
    return next(list(entry.ints) for entry in node.attribute if entry.name == "kernel_shape")


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the quantiser logs and prints: advice on preparing the graph, which is done, and its progress."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(previous)


# --- ways to run them -------------------------------------------------------------------------------------------------


def variants(shipped: Path, folder: Path, pictures: ByteArray, openvino: Path | None) -> list[Variant]:
    """Write all forms of a shipped encoder into a folder; the first variant is the shipped file itself.

    `pictures` (N, S, S, 3) are what the 8-bit forms are calibrated on, `openvino` the folder where it was installed.
    """
    model = onnx.load(shipped)
    by_scalars = normalised_by(model, ())
    vectors, scalars = (
        _saved(folder, "vectors", normalised_by(model, (1, 1, 1, 3))),
        _saved(folder, "scalars", by_scalars),
    )
    float32 = _saved(folder, "float32", stored_as_float32(by_scalars))
    prepared = folder / "prepared.onnx", folder / "prepared.ort"
    for path in prepared:  # what ONNX Runtime makes of the graph on this very processor
        _session(scalars, optimized_model_filepath=str(path))
    found = [
        Variant("as shipped", shipped, _runner(shipped)),
        Variant("normalised by vectors", vectors, _runner(vectors)),
        Variant("normalised by scalars", scalars, _runner(scalars)),
        Variant("… weights stored as float32", float32, _runner(float32)),
        Variant("… optimised offline, .onnx", prepared[0], _runner(prepared[0], optimise=False)),
        Variant("… optimised offline, .ort", prepared[1], _runner(prepared[1], optimise=False)),
        Variant("… no arena", scalars, _runner(scalars, enable_cpu_mem_arena=False)),
        Variant("… no memory pattern", scalars, _runner(scalars, enable_mem_pattern=False)),
        Variant("… IO binding", scalars, lambda: _bound(_session(scalars))),
        Variant("… two threads", scalars, _runner(scalars, intra_op_num_threads=2)),
    ]
    for number, how in enumerate(QUANTISATIONS):
        path = _saved(folder, f"int8-{number}", quantised(by_scalars, how, pictures))
        found.append(Variant(how.name, path, _runner(path)))
    if openvino is not None:
        last = found[-1]
        found.append(Variant("OpenVINO, normalised by scalars", scalars, lambda: _openvino(openvino, scalars)))
        found.append(Variant(f"OpenVINO, {last.name}", last.path, lambda: _openvino(openvino, last.path)))
    return found


def _saved(folder: Path, name: str, model: onnx.ModelProto) -> Path:
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def _session(path: Path, optimise: bool = True, **settings: Any) -> ort.InferenceSession:
    """Open a graph as the node does, but for the settings."""
    return open_session(path, optimised="tick" if optimise else "off", **settings)


def _runner(path: Path, optimise: bool = True, **settings: Any) -> Callable[[], Encode]:
    """Return what opens a session and returns its encoder."""

    def encode(session: ort.InferenceSession, picture: ByteArray) -> FloatArray:
        feature: FloatArray = session.run(["feature"], {"image": picture[None]})[0][0]
        return feature

    return lambda: functools.partial(encode, _session(path, optimise, **settings))


def _bound(session: ort.InferenceSession) -> Encode:
    image = np.zeros(session.get_inputs()[0].shape, np.uint8)
    feature: FloatArray = np.zeros(session.get_outputs()[0].shape, np.float32)
    binding = session.io_binding()
    binding.bind_input("image", "cpu", 0, np.uint8, image.shape, image.ctypes.data)
    binding.bind_output("feature", "cpu", 0, np.float32, feature.shape, feature.ctypes.data)

    def encode(picture: ByteArray) -> FloatArray:
        image[0] = picture
        session.run_with_iobinding(binding)
        copied: FloatArray = feature[0].copy()
        return copied

    return encode


def _openvino(folder: Path, path: Path) -> Encode:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # behind all others: its numpy must not replace ours
    try:
        openvino = importlib.import_module("openvino")
    except ImportError as error:
        raise BackendError(f"--openvino {folder}: holds no OpenVINO ({error})") from error
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    settings |= {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    request, output = compiled.create_infer_request(), compiled.output(0)

    def encode(picture: ByteArray) -> FloatArray:
        feature: FloatArray = request.infer([picture[None]], share_inputs=True, share_outputs=True)[output][0].copy()
        return feature

    return encode
