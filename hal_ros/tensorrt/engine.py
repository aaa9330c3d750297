"""One TensorRT engine, and fixed pieces of work with it: plainly enqueued, or captured once and launched as a graph."""

from __future__ import annotations

import contextlib
import gc
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from hal_ros.core.errors import BackendError
from hal_ros.tensorrt import api as tensorrt_api
from hal_ros.tensorrt.cudart import Cudart
from hal_ros.tensorrt.device_buffers import Resources, StagedBlock, TensorSpec
from hal_ros.tensorrt.engine_cache import AGAIN

LOG = logging.getLogger(__name__)


class Journal:
    """What TensorRT said about one plan. The engine's logger holds it and not the engine, which then ends at once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: deque[str] = deque(maxlen=20)

    def __call__(self, text: str) -> None:
        """Keep a line, and log it."""
        self._lines.append(text)
        LOG.warning("%s: TensorRT: %s", self._name, text)

    def last(self) -> str:
        """Return what was said last."""
        return " ".join(self._lines[-1].split())[:300] if self._lines else "it does not say why"


class Engine:
    """A deserialised plan. `inputs` and `outputs` are its tensors by name; all shapes are fixed."""

    def __init__(self, trt: Any, path: Path) -> None:
        """Deserialise a plan that was verified: a foreign one can crash the process.

        Raises BackendError when TensorRT refuses it, or when shapes are not fixed.
        """
        self.path = path
        self._journal = Journal(path.name)
        self._logger = tensorrt_api.make_logger(trt, self._journal)  # must outlive the engine
        try:
            plan = path.read_bytes()
        except OSError as error:
            raise BackendError(f"{path}: can't be read ({error.strerror}); {AGAIN}") from error
        try:
            self._runtime = trt.Runtime(self._logger)
        except TypeError as error:  # pybind11's answer to a null pointer
            raise BackendError(f"TensorRT can't start on this machine ({self.why()}); is there a GPU?") from error
        self._cuda_engine = self._runtime.deserialize_cuda_engine(plan)
        if self._cuda_engine is None:
            raise BackendError(f"{path}: TensorRT {tensorrt_api.version(trt)} refuses it ({self.why()}); {AGAIN}")
        specs = [self._spec(trt, index) for index in range(self._cuda_engine.num_io_tensors)]
        goes_in = [self._cuda_engine.get_tensor_mode(spec.name) == trt.TensorIOMode.INPUT for spec in specs]
        self.inputs = {spec.name: spec for spec, is_input in zip(specs, goes_in, strict=True) if is_input}
        self.outputs = {spec.name: spec for spec, is_input in zip(specs, goes_in, strict=True) if not is_input}

    def _spec(self, trt: Any, index: int) -> TensorSpec:
        name = self._cuda_engine.get_tensor_name(index)
        shape = tuple(self._cuda_engine.get_tensor_shape(name))
        if any(size < 0 for size in shape):
            raise BackendError(f"{self.path}: {name} is {list(shape)}; expected a fixed shape")
        if self._cuda_engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:  # it would read our address itself
            raise BackendError(f"{self.path}: {name} decides on shapes; expected values only")
        return TensorSpec(name, shape, tensorrt_api.to_numpy(trt, self._cuda_engine.get_tensor_dtype(name)))

    def check(self, expected: Iterable[tuple[str, tuple[int, ...]]]) -> None:
        """Raise BackendError unless each named tensor has the shape that the card says."""
        tensors = self.inputs | self.outputs
        for name, shape in expected:
            actual = list(tensors[name].shape) if name in tensors else None
            if actual != list(shape):
                raise BackendError(f"{self.path}: {name} is {actual}; the card says {list(shape)}")

    def context(self, addresses: Iterable[tuple[str, int]]) -> Any:
        """Return a context of its own for these addresses, which stay as they are. Raises BackendError."""
        context = self._cuda_engine.create_execution_context()
        if context is None:
            raise BackendError(f"{self.path}: TensorRT makes no context ({self.why()}); is there enough GPU memory?")
        for name, address in addresses:
            if not context.set_tensor_address(name, address):
                raise BackendError(f"{self.path}: TensorRT refuses the address {address:#x} for {name} ({self.why()})")
        return context

    def why(self) -> str:
        """Return what TensorRT said last."""
        return self._journal.last()


class Program:
    """Inputs up, one run of an engine, outputs down: always at the same addresses, so that it can become a graph."""

    def __init__(
        self, resources: Resources, stream: int, engine: Engine, context: Any, sent: StagedBlock, received: StagedBlock
    ) -> None:
        self._resources, self._cuda, self._stream = resources, resources.cuda, stream
        self._engine, self._context = engine, context
        self._sent, self._received = sent, received
        self._executable = 0

    def enqueue(self) -> None:
        """Give the work to the stream. Raises BackendError naming the call that failed."""
        if self._executable:
            self._cuda.launch(self._executable, self._stream)
            return
        self._sent.upload(self._stream)
        if not self._context.execute_async_v3(self._stream):
            raise BackendError(f"execute_async_v3: TensorRT refused {self._engine.path.name} ({self._engine.why()})")
        self._received.download(self._stream)

    def capture(self) -> None:
        """From now on launch a graph. The work must have run once before, as TensorRT allocates at the first time.

        Raises BackendError when CUDA can't capture it; plain work goes on then.
        """
        gc.collect()  # else the collector may run meanwhile, and what it finds give memory back, which ends a capture
        self._cuda.begin_capture(self._stream)
        try:
            self.enqueue()
        except BackendError:
            with contextlib.suppress(BackendError):  # until its capture is ended, the stream does no work
                self._cuda.destroy_graph(self._cuda.end_capture(self._stream))
            raise
        self._executable = self._resources.instantiate(self._cuda.end_capture(self._stream))

    def forget_graph(self) -> None:
        """Enqueue plainly again."""
        self._executable = 0


def capture_if_equal(cuda: Cudart, programs: Sequence[Program], rehearse: Callable[[], bytes]) -> str:
    """Let `programs` launch graphs if `rehearse`, which runs them, then returns the same bytes as it does plainly.

    Returns why they do not, "" when they do.
    """
    plain = rehearse()
    try:
        for program in programs:
            program.capture()
        fault = "" if rehearse() == plain else "graphs gave other results than plain runs"
    except BackendError as error:
        cuda.clear_error()
        fault = f"no graph can be captured: {error}"
    if fault:
        for program in programs:
            program.forget_graph()
    return fault
