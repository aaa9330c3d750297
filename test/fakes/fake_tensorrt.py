"""A tensorrt module that computes real numbers: a plan carries its ONNX graph, and an engine runs it in ONNX Runtime.

Each version has only what NVIDIA's module of that version has; the contract tests hold that against the real ones.
`install` puts module and GPU into this process, and by the environment into its children: the folder fake_site is on
their path.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import os
import signal
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto

import fake_cudart
from fake_cudart import ALIGNMENT, ILLEGAL_ADDRESS, NO_DRIVER, CudaError, FakeDevice, FakeGpu, FakeLibrary

VERSIONS = ("8.6.1", "10.3.0", "10.13.3.9", "10.16.1.11", "11.4.0.106")
VARIABLE = "HAL_ROS_FAKE_TENSORRT"
FAKES = Path(__file__).parent
MAGIC = b"FAKEPLAN"
NO_IMPLEMENTATION = "Error Code 10: Internal Error (Could not find any implementation for node {ForeignNode}.)"


@dataclass(frozen=True)
class Faults:
    """What shall go wrong. The parity error applies to graphs of `parity_precision` alone when one is named."""

    no_device: bool = False  # CUDA answers 35
    parity: float = 0.0  # added to the first output of each engine built
    parity_precision: str = ""  # "fp16" or "fp32"
    build: str = ""  # "segv", "kill", "oom" (no implementation for a node), "none" (no plan, no word), "wait" for ever
    deserialize: str = ""  # "none"; "segv" ends the process; "wait" for ever
    capture: str = ""  # "refuse": CUDA can't capture; "differ": the graph computes something else
    fail_at: int = 0  # the n-th execution of an engine ends with an illegal address; 0 for never
    refuse_at: int = 0  # the n-th enqueue is refused by TensorRT
    shape_tensor: str = ""  # this tensor of an engine is read by the host
    static_noise: bool = False  # two runs of one engine on the same inputs differ


@dataclass
class Fakes:
    """What was installed: the module, the GPU below it, and what has happened."""

    module: Any
    gpu: FakeGpu
    faults: Faults
    counts: dict[str, int] = field(default_factory=dict)
    contexts: list[IExecutionContext] = field(default_factory=list)  # those alive and dead, the oldest first

    def count(self, name: str) -> int:
        """Count an event; returns how often it has happened, this time included."""
        self.counts[name] = self.counts.get(name, 0) + 1
        return self.counts[name]

    def cudart(self) -> Any:
        """Return the Cudart of this GPU."""
        from hal_ros.tensorrt.cudart import Cudart

        return Cudart(FakeLibrary(self.gpu), "fake libcudart")


def install(monkeypatch: Any, version: str = "10.3.0", device: FakeDevice | None = None, **faults: Any) -> Fakes:
    """Put the fakes in place of tensorrt and libcudart for this test, and for the processes that it starts."""
    chosen = Faults(**faults)
    fakes = make(version, device or FakeDevice(), chosen)
    monkeypatch.setitem(sys.modules, "tensorrt", fakes.module)
    monkeypatch.setattr("hal_ros.tensorrt.cudart._open", _opener(fakes.gpu))
    for name, value in _environment(version, fakes.gpu.device, chosen).items():
        monkeypatch.setenv(name, value)
    return fakes


def _environment(version: str, device: FakeDevice, faults: Faults) -> dict[str, str]:
    """Return what hands the fakes on to the processes that are started."""
    told = {"version": version, "device": dataclasses.asdict(device), "faults": dataclasses.asdict(faults)}
    paths = [str(FAKES / "fake_site"), str(FAKES), str(FAKES.parents[1]), os.environ.get("PYTHONPATH", "")]
    return {VARIABLE: json.dumps(told), "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def install_here(version: str = "10.3.0") -> Fakes:
    """Put the fakes in place of tensorrt and libcudart for this process and its children, as `hal device --stand-in`.

    The device says what it is, so that nothing that is written names a GPU.
    """
    device = FakeDevice("stand-in, not a GPU", integrated=False)
    os.environ.update(_environment(version, device, Faults()))
    return install_in_child()


def install_in_child() -> Fakes:
    """Do what `install` did, in a process that it was handed on to; the folder fake_site calls this."""
    import hal_ros.tensorrt.cudart as cudart

    told = json.loads(os.environ[VARIABLE])
    told["device"]["compute_capability"] = tuple(told["device"]["compute_capability"])
    fakes = make(told["version"], FakeDevice(**told["device"]), Faults(**told["faults"]))
    sys.modules["tensorrt"] = fakes.module
    cudart._open = _opener(fakes.gpu)  # type: ignore[assignment]  # a double, for the whole process
    return fakes


def _opener(gpu: FakeGpu) -> Callable[[str, int], Any]:
    def opened(name: str, mode: int) -> Any:
        if "libcudart.so.12" not in name:
            raise OSError(f"{name}: cannot open shared object file")
        return FakeLibrary(gpu)

    return opened


# --- values -----------------------------------------------------------------------------------------------------------


class Dims(tuple[int, ...]):
    """A shape. NVIDIA's is a sequence too."""


class IHostMemory(bytes):
    """Memory of TensorRT: a buffer, and no more of a sequence than that."""

    @property
    def nbytes(self) -> int:
        return memoryview(self).nbytes

    def __len__(self) -> int:
        raise TypeError("object of type 'IHostMemory' has no len()")

    def __getitem__(self, index: Any) -> Any:
        raise TypeError("'IHostMemory' object is not subscriptable")


Severity = enum.IntEnum("Severity", {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2, "INFO": 3, "VERBOSE": 4})
TensorLocation = enum.IntEnum("TensorLocation", {"DEVICE": 0, "HOST": 1})
TensorIOMode = enum.IntEnum("TensorIOMode", {"NONE": 0, "INPUT": 1, "OUTPUT": 2})
MemoryPoolType = enum.IntEnum("MemoryPoolType", {"WORKSPACE": 0})
DTYPES = {"FLOAT": np.float32, "HALF": np.float16, "INT8": np.int8, "INT32": np.int32, "BOOL": np.bool_}
DTYPES |= {"UINT8": np.uint8, "INT64": np.int64}
LAYERS = {
    **dict.fromkeys(("MatMul", "Gemm"), "MATRIX_MULTIPLY"),
    **dict.fromkeys(("LayerNormalization",), "NORMALIZATION"),
    **dict.fromkeys(("Softmax", "LogSoftmax"), "SOFTMAX"),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax"), "REDUCE"),
    **dict.fromkeys(("Exp", "Log", "Sqrt", "Neg", "Abs", "Erf"), "UNARY"),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow"), "ELEMENTWISE"),
    **dict.fromkeys(("Sigmoid", "Tanh", "Relu"), "ACTIVATION"),
    **dict.fromkeys(("Conv",), "CONVOLUTION"),
    **dict.fromkeys(("Cast",), "CAST"),
}
OTHER_LAYER = "SHUFFLE"


def enums(major: int) -> dict[str, Any]:
    """Return the enumerations of a major version, with only the members that it has."""
    flags = {8: ("EXPLICIT_BATCH",), 10: ("EXPLICIT_BATCH", "STRONGLY_TYPED"), 11: ("STRONGLY_TYPED",)}[major]
    values = {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 0 if major == 11 else 1}
    builder = ["TF32"] if major == 11 else ["FP16", "TF32", "OBEY_PRECISION_CONSTRAINTS"]
    types_ = [name for name in DTYPES if name != "INT64" or major > 8]
    return {
        "NetworkDefinitionCreationFlag": enum.IntEnum(
            "NetworkDefinitionCreationFlag", {name: values[name] for name in flags}
        ),
        "BuilderFlag": enum.IntEnum("BuilderFlag", builder, start=0),
        "DataType": enum.IntEnum("DataType", types_, start=0),
        "LayerType": enum.IntEnum("LayerType", sorted({*LAYERS.values(), OTHER_LAYER}), start=0),
        "MemoryPoolType": MemoryPoolType,
        "TensorIOMode": TensorIOMode,
        "TensorLocation": TensorLocation,
    }


class ILogger:
    """Base of the users' loggers."""

    Severity = Severity

    def __init__(self) -> None:
        self._initialised = True

    def log(self, severity: Any, msg: str) -> None:
        raise NotImplementedError


class Logger(ILogger):
    """Prints."""

    def __init__(self, min_severity: Severity = Severity.WARNING) -> None:
        super().__init__()
        self.min_severity = min_severity

    def log(self, severity: Severity, msg: str) -> None:
        if severity <= self.min_severity:
            print(f"[TRT] {msg}", file=sys.stderr)


class IProgressMonitor:
    """Base of the users' progress monitors."""

    def __init__(self) -> None:
        self._initialised = True

    def phase_start(self, phase_name: str, parent_phase: str, num_steps: int) -> None:
        raise NotImplementedError

    def step_complete(self, phase_name: str, step: int) -> bool:
        raise NotImplementedError

    def phase_finish(self, phase_name: str) -> None:
        raise NotImplementedError


class ITimingCache:
    """What the builder has timed."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def serialize(self) -> IHostMemory:
        return IHostMemory(self._content)


# --- networks and building --------------------------------------------------------------------------------------------


class ITensor:
    """A tensor of a network."""

    def __init__(self, name: str, dtype: Any) -> None:
        self.name, self.dtype = name, dtype


class ILayer:
    """One layer; `precision` and `set_output_type` exist until 10."""

    def __init__(self, kind: Any, tensors: list[ITensor]) -> None:
        self.type = kind
        self.num_outputs = len(tensors)
        self._tensors = tensors
        self._types: dict[int, Any] = {}

    def get_output(self, index: int) -> ITensor:
        return self._tensors[index]


class TypedByUserLayer(ILayer):
    """A layer of networks whose types are the builder's choice."""

    precision: Any = None

    def set_output_type(self, index: int, dtype: Any) -> None:
        self._types[index] = dtype


class INetworkDefinition:
    """What the parser read."""

    def __init__(self, flags: int) -> None:
        self._flags = flags
        self._model: onnx.ModelProto | None = None
        self._layers: list[ILayer] = []

    @property
    def num_layers(self) -> int:
        return len(self._layers)

    def get_layer(self, index: int) -> ILayer:
        return self._layers[index]


class ParserError:
    """Why a graph was refused."""

    def __init__(self, desc: str, node: int, name: str = "", operator: str = "") -> None:
        self._desc, self._node, self._name, self._operator = desc, node, name, operator

    def desc(self) -> str:
        return self._desc

    def node(self) -> int:
        return self._node


class NamedParserError(ParserError):
    """Since 10."""

    def node_name(self) -> str:
        return self._name

    def node_operator(self) -> str:
        return self._operator


class OnnxParser:
    """Reads ONNX as far as opset 17 and the version's types go."""

    trt: Any  # the module, set by `make`

    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        assert logger._initialised, "ILogger.__init__ was not called"
        self._network = network
        self._errors: list[ParserError] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]

    def parse(self, model: bytes, path: str | None = None) -> bool:
        assert path is None, "graphs with files beside them are not for this fake"
        try:
            read = onnx.shape_inference.infer_shapes(onnx.load_from_string(bytes(model)))
        except Exception as error:  # noqa: BLE001 - protobuf's exceptions share no public base
            return self._refuse(f"Failed to parse the ONNX model: {error}", -1)
        flags = self.trt.NetworkDefinitionCreationFlag
        explicit = getattr(flags, "STRONGLY_TYPED", getattr(flags, "EXPLICIT_BATCH", 0))
        if not self._network._flags & 1 << int(explicit):
            return self._refuse("This version of the ONNX parser only supports an explicit batch dimension", -1)
        for entry in read.graph.input:
            if self._old and entry.type.tensor_type.elem_type == TensorProto.UINT8:
                return self._refuse("Unsupported data type uint8 of a network input", 0, entry.name, "Input")
        self._network._model = read
        self._network._layers = self._layers(read)
        return True

    @property
    def _old(self) -> bool:
        return not hasattr(self.trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")

    def _refuse(self, desc: str, node: int, name: str = "", operator: str = "") -> bool:
        kind = ParserError if self._old else NamedParserError
        self._errors.append(kind(desc, node, name, operator))
        return False

    def _layers(self, model: onnx.ModelProto) -> list[ILayer]:
        kinds = self.trt.LayerType
        typed = {
            entry.name: entry.type.tensor_type.elem_type for entry in (*model.graph.value_info, *model.graph.output)
        }
        kind = ILayer if self.trt.__version__.startswith("11") else TypedByUserLayer
        return [
            kind(
                getattr(kinds, LAYERS.get(node.op_type, OTHER_LAYER)),
                [ITensor(name, _data_type(self.trt, typed.get(name, TensorProto.FLOAT))) for name in node.output],
            )
            for node in model.graph.node
        ]


def _data_type(trt: Any, element: int) -> Any:
    wanted = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(element))
    if wanted == np.int64 and not hasattr(trt.DataType, "INT64"):
        wanted = np.dtype(np.int32)
    return next(getattr(trt.DataType, name) for name, dtype in DTYPES.items() if np.dtype(dtype) == wanted)


class IBuilderConfig:
    """How to build."""

    trt: Any

    def __init__(self) -> None:
        self.builder_optimization_level = 3
        self._flags = {self.trt.BuilderFlag.TF32}
        self._pools: dict[Any, int] = {}
        self._timing: ITimingCache | None = None

    def set_flag(self, flag: Any) -> None:
        self._flags.add(flag)

    def clear_flag(self, flag: Any) -> None:
        self._flags.discard(flag)

    def get_flag(self, flag: Any) -> bool:
        return flag in self._flags

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        self._pools[MemoryPoolType(pool)] = int(pool_size)

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
        return ITimingCache(bytes(serialized_timing_cache))

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        fits = cache._content in (b"", self._stamp())
        self._timing = ITimingCache(self._stamp())
        return fits or ignore_mismatch

    def get_timing_cache(self) -> ITimingCache | None:
        return self._timing

    def _stamp(self) -> bytes:
        return f"timings of {self.trt.__version__}".encode()


class MonitoredConfig(IBuilderConfig):
    """Since 10."""

    progress_monitor: IProgressMonitor | None = None


class Builder:
    """Builds plans. It needs a device, as the real one does."""

    trt: Any
    fakes: Fakes

    def __init__(self, logger: ILogger) -> None:
        assert logger._initialised, "ILogger.__init__ was not called"
        if self.fakes.gpu.broken:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._logger = logger

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        return INetworkDefinition(flags)

    def create_builder_config(self) -> Any:
        return self.trt.IBuilderConfig()

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> IHostMemory | None:
        self.fakes.count("builds")
        if not self._follow(getattr(config, "progress_monitor", None)) or not self._survive():
            return None
        model = network._model
        assert model is not None, "the network is empty"
        half = any(entry.data_type == TensorProto.FLOAT16 for entry in model.graph.initializer)
        half |= any(entry.type.tensor_type.elem_type == TensorProto.FLOAT16 for entry in model.graph.input)
        if fault := self._typing_fault(network, config, half):
            self._logger.log(Severity.ERROR, fault)
            return None
        faults = self.fakes.faults
        applies = faults.parity_precision in ("", "fp16" if half else "fp32")
        header = {
            "version": self.trt.__version__,
            "device": self.fakes.gpu.device.name,
            "error": faults.parity if applies else 0.0,
            "bytes": len(graph := model.SerializeToString()),
        }
        if config._timing is not None:
            config._timing = ITimingCache(config._stamp())
        return IHostMemory(MAGIC + json.dumps(header).encode() + b"\n" + graph)

    def _typing_fault(self, network: INetworkDefinition, config: IBuilderConfig, half: bool) -> str:
        typed = getattr(self.trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        flag = getattr(self.trt.BuilderFlag, "FP16", None)
        if typed is not None and network._flags & 1 << int(typed):
            if flag is not None and flag in config._flags:
                return "kFP16 is not allowed in a strongly typed network"
        elif half and flag not in config._flags:
            return "half precision inputs and weights need the FP16 flag"
        return ""

    def _follow(self, monitor: IProgressMonitor | None) -> bool:
        if monitor is None:
            return True
        assert monitor._initialised, "IProgressMonitor.__init__ was not called"
        monitor.phase_start("Building Engine", "", 3)
        for step in range(3):
            if not monitor.step_complete("Building Engine", step):
                return False
        monitor.phase_finish("Building Engine")
        return True

    def _survive(self) -> bool:
        match self.fakes.faults.build:
            case "segv":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "oom":
                self._logger.log(Severity.ERROR, NO_IMPLEMENTATION)
                return False
            case "none":
                return False
            case "wait":
                signal.pause()
        return True


# --- running ----------------------------------------------------------------------------------------------------------


class Runtime:
    """Reads plans. A plan of another version is refused; one of another device would crash, so that a test fails."""

    trt: Any
    fakes: Fakes

    def __init__(self, logger: ILogger) -> None:
        assert logger._initialised, "ILogger.__init__ was not called"
        if self.fakes.gpu.broken:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        self.fakes.count("deserialized")
        plan = bytes(serialized_engine)
        head, newline, graph = plan.removeprefix(MAGIC).partition(b"\n")
        if not plan.startswith(MAGIC) or not newline or self.fakes.faults.deserialize == "none":
            return self._refuse("Serialization assertion magicTagRead == kMAGIC_TAG failed. Magic tag does not match")
        header = json.loads(head)
        if header["version"] != self.trt.__version__:
            return self._refuse("Serialization assertion stdVersionRead == kSERIALIZATION_VERSION failed")
        if header["bytes"] != len(graph):
            return self._refuse("Deserialization failed: the plan ends too early")
        foreign = header["device"] != self.fakes.gpu.device.name
        assert not foreign, "TensorRT was given a plan of another device, which may end the process"
        if self.fakes.faults.deserialize == "segv":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.fakes.faults.deserialize == "wait":
            signal.pause()
        return ICudaEngine(self.trt, self.fakes, onnx.load_from_string(graph), header["error"])

    def _refuse(self, message: str) -> ICudaEngine | None:
        self._logger.log(Severity.ERROR, message)
        return None


class ICudaEngine:
    """A plan ready to run."""

    def __init__(self, trt: Any, fakes: Fakes, model: onnx.ModelProto, error: float) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self._trt, self._fakes, self._error = trt, fakes, error
        self._inputs = {entry.name: entry for entry in model.graph.input}
        self._outputs = {entry.name: entry for entry in model.graph.output}
        self._entries = {**self._inputs, **self._outputs}

    @property
    def num_io_tensors(self) -> int:
        return len(self._entries)

    def get_tensor_name(self, index: int) -> str:
        return str(list(self._entries)[index])

    def get_tensor_mode(self, name: str) -> Any:
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return _data_type(self._trt, self._entries[name].type.tensor_type.elem_type)

    def get_tensor_location(self, name: str) -> Any:
        return TensorLocation.HOST if name == self._fakes.faults.shape_tensor else TensorLocation.DEVICE

    def get_tensor_shape(self, name: str) -> Dims:
        dims = self._entries[name].type.tensor_type.shape.dim
        return Dims(dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims)

    def create_execution_context(self) -> IExecutionContext:
        self._fakes.contexts.append(IExecutionContext(self))
        return self._fakes.contexts[-1]

    def _place(self, name: str) -> tuple[np.dtype[Any], Dims, int]:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(self._entries[name].type.tensor_type.elem_type))
        shape = self.get_tensor_shape(name)
        return dtype, shape, int(np.prod(shape)) * dtype.itemsize


class IExecutionContext:
    """One way to run an engine: its addresses."""

    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self._addresses: dict[str, int] = {}
        self._was_enqueued = False

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if name not in self._engine._entries or memory <= 0 or memory % ALIGNMENT:
            return False
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        fakes = self._engine._fakes
        if fakes.count("enqueues") == fakes.faults.refuse_at or set(self._addresses) != set(self._engine._entries):
            return False
        if fakes.gpu.is_capturing(stream_handle) and not self._was_enqueued:
            return False  # what TensorRT allocates at first use can't be captured
        self._was_enqueued = True
        fakes.gpu.give(stream_handle, self._run)
        return True

    def _run(self) -> None:
        engine, gpu = self._engine, self._engine._fakes.gpu
        gpu.executions += 1
        if gpu.executions == engine._fakes.faults.fail_at:
            raise CudaError(ILLEGAL_ADDRESS)
        self._refuse_overlaps()
        feeds = {name: self._tensor(name).copy() for name in engine._inputs}
        results = engine._session.run(list(engine._outputs), feeds)
        for index, (name, result) in enumerate(zip(engine._outputs, results, strict=True)):
            error = engine._error if index == 0 else 0.0
            if index == 0 and ((gpu.in_graph and gpu.capture == "differ") or engine._fakes.faults.static_noise):
                error += 1e-3 * gpu.executions
            self._tensor(name)[...] = result + result.dtype.type(error) if error else result

    def _tensor(self, name: str) -> np.ndarray[Any, Any]:
        dtype, shape, size = self._engine._place(name)
        return self._engine._fakes.gpu.view(self._addresses[name], size).view(dtype).reshape(shape)

    def _refuse_overlaps(self) -> None:
        engine = self._engine
        spans = {
            name: (self._addresses[name], self._addresses[name] + engine._place(name)[2]) for name in engine._entries
        }
        for name in engine._outputs:
            start, end = spans[name]
            for other, (begin, stop) in spans.items():
                assert other == name or end <= begin or stop <= start, f"{name} and {other} share memory"


# --- the module -------------------------------------------------------------------------------------------------------


def make(version: str, device: FakeDevice, faults: Faults) -> Fakes:
    """Make a module of this version above a GPU of its own."""
    major = int(version.split(".")[0])
    module: Any = types.ModuleType("tensorrt")
    gpu = FakeGpu(device, NO_DRIVER if faults.no_device else fake_cudart.SUCCESS, faults.capture)
    fakes = Fakes(module, gpu, faults)
    bound = {"trt": module, "fakes": fakes}
    for bound_kind in (Builder, Runtime, OnnxParser):
        setattr(module, bound_kind.__name__, type(bound_kind.__name__, (bound_kind,), dict(bound)))
    module.IBuilderConfig = type("IBuilderConfig", (MonitoredConfig if major >= 10 else IBuilderConfig,), dict(bound))
    for kind in (ILogger, Logger, ITimingCache, IHostMemory, INetworkDefinition, ICudaEngine, IExecutionContext, Dims):
        setattr(module, kind.__name__, kind)
    module.ITensor = ITensor
    module.ILayer = ILayer if major >= 11 else TypedByUserLayer
    module.ParserError = NamedParserError if major >= 10 else ParserError
    if major >= 10:
        module.IProgressMonitor = IProgressMonitor
    for name, members in enums(major).items():
        setattr(module, name, members)
    module.__version__ = version
    return fakes
