"""The TensorRT back end: a bundle's two engines on an NVIDIA GPU. Caches never leave the device and are never copied.

Each stream has two sets of its carried states and two contexts. Even ticks read set 0 and write set 1, odd ticks the
other way round, so that all addresses are fixed and each context's work can be captured as a CUDA graph.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hal_ros.core.arrays import ByteArray, FloatArray
from hal_ros.core.card import ModelCard
from hal_ros.core.errors import BackendError
from hal_ros.core.step import StepInput, StepOutput
from hal_ros.runtime.encode import no_encoder
from hal_ros.runtime.step_state import (
    OUTPUTS,
    Shape,
    StateLayout,
    Turn,
    fill,
    input_shapes,
    layout,
    ring_order,
    ring_slot,
)
from hal_ros.tensorrt import api as tensorrt_api
from hal_ros.tensorrt.cudart import DEVICE_TO_DEVICE, Cudart, load_cudart
from hal_ros.tensorrt.device_buffers import DeviceBlock, Resources, StagedBlock, TensorSpec, read_back
from hal_ros.tensorrt.engine import Engine, Program, capture_if_equal

if TYPE_CHECKING:
    from hal_ros.runtime.bundle import Bundle
    from hal_ros.tensorrt.engine_cache import Engines

READY = 2
"""Streams prepared at the start: a new one begins while the last state of the old one is still held."""
REHEARSED = 8  # runs on which graphs must give the same bits as plain work before they are trusted
LOG = logging.getLogger(__name__)


class TensorRtBackend:
    """Runs verified engines. For one thread at a time; a step or a picture is done when its call returns.

    `precision` is the engines', "fp16" or "fp32"; `graphs` tells whether CUDA graphs are launched instead of plain
    work. The GPU is the first visible one.
    """

    name = "tensorrt"

    def __init__(self, bundle: Bundle, engines: Engines, cuda: Cudart | None = None, trt: Any = None) -> None:
        """Load the engines, prepare streams and try graphs on them; `cuda` and `trt` are found when not given.

        Raises BackendError when there is no TensorRT, no GPU, or when an engine is refused or is not the card's.
        """
        self._trt = trt or tensorrt_api.load()
        self._cuda = cuda or load_cudart()
        self._device = self._cuda.device()
        self.precision = engines.precision
        if (engines.encoder is None) != (bundle.card.encoder is None):
            expected = "one" if bundle.card.encoder else "none, as its card names no camera"
            raise BackendError(f"{engines.folder}: the encoder's engine is {engines.encoder}; expected {expected}")
        self._resources = resources = Resources(self._cuda)
        weakref.finalize(self, resources.close)
        stream = resources.create_stream()
        self._encoder: Encoder | None = None
        if engines.encoder is not None:
            self._encoder = Encoder(Engine(self._trt, engines.encoder), bundle.card, resources, stream)
        self._steps = Steps(Engine(self._trt, engines.step), bundle.card, resources, stream)
        self._folder = bundle.folder
        self._streams: list[DeviceStream] = []
        self.graphs = True
        self._no_graphs = ""  # why not
        if self._encoder is not None:
            self._try_graphs(self._encoder.programs, self._encoder.rehearse)
        _ = [self.initial_state() for _ in range(READY)]

    def encode(self, image: ByteArray) -> FloatArray:
        """Return the feature (D,) of one picture (S, S, 3) uint8.

        Raises BackendError naming the call when CUDA or TensorRT fails, and for a bundle without cameras.
        """
        if self._encoder is None:
            raise BackendError(no_encoder(self._folder))
        return self._encoder.encode(image)

    def initial_state(self) -> Turn[DeviceStream]:
        """Return the state of a stream that has seen nothing: one whose last state was dropped, or a new one.

        Raises BackendError when the GPU's memory does not suffice for one more stream.
        """
        stream = next((stream for stream in self._streams if stream.is_free), None)
        if stream is None:
            with self._resources.all_or_nothing():
                stream = DeviceStream(self._steps)
                if self.graphs:
                    self._try_graphs(stream.programs, stream.rehearse)
            self._streams.append(stream)
        stream.reset()
        return stream.owned_by(Turn(self, stream))

    def step(self, inputs: StepInput, state: Turn[DeviceStream]) -> tuple[StepOutput, Turn[DeviceStream]]:
        """Advance the stream by one tick, which uses `state` up.

        Raises BackendError for a state that is used up, and naming the call when CUDA or TensorRT fails.
        """
        stream = state.take(self)
        output = stream.step(inputs, state.tick)
        return output, stream.owned_by(state.following(stream))

    def about(self) -> dict[str, str]:
        """Say what runs, and on what."""
        capability = ".".join(map(str, self._device.compute_capability))
        return {
            "tensorrt": tensorrt_api.version(self._trt),
            "device": f"{self._device.name}, compute capability {capability}",
            "cuda": f"{self._cuda.name}, runtime {self._device.runtime_version}, driver {self._device.driver_version}",
            "precision": self.precision,
            "graphs": "on" if self.graphs else f"off: {self._no_graphs}",
            "streams": str(len(self._streams)),
        }

    def _try_graphs(self, programs: Sequence[Program], rehearse: Callable[[], bytes]) -> None:
        """Launch graphs from now on if they give the same bits, or none at all from now on."""
        if fault := capture_if_equal(self._cuda, programs, rehearse):
            self.graphs, self._no_graphs = False, fault
            captured = [program for stream in self._streams for program in stream.programs]
            for program in (*captured, *(self._encoder.programs if self._encoder else ())):
                program.forget_graph()
            LOG.warning("CUDA graphs are not used: %s", fault)


class Encoder:
    """A picture's way: staged, run, and the feature back to the host, so that several cameras can share the buffers."""

    def __init__(self, engine: Engine, card: ModelCard, resources: Resources, stream: int) -> None:
        side = card.streams.size_px
        engine.check([("image", (1, side, side, 3)), ("feature", (1, card.feature_dim))])
        self._cuda, self._stream = resources.cuda, stream
        self._sent = StagedBlock(resources, engine.inputs.values())
        self._received = StagedBlock(resources, engine.outputs.values())
        context = engine.context((*self._sent.addresses(), *self._received.addresses()))
        self.programs = [Program(resources, stream, engine, context, self._sent, self._received)]

    def encode(self, image: ByteArray) -> FloatArray:
        """Return (D,) of (S, S, 3); values are cast to the graph's type and not scaled. Raises BackendError."""
        target = self._sent.arrays["image"]
        if image.shape != target.shape[1:]:  # NumPy would spread a smaller one
            raise BackendError(f"the picture is {list(image.shape)}; expected {list(target.shape[1:])}")
        target[0] = image
        self.programs[0].enqueue()
        self._cuda.synchronize(self._stream)
        return np.array(self._received.arrays["feature"][0], np.float32)

    def rehearse(self) -> bytes:
        """Encode the same pictures each time; returns their features, bit for bit."""
        random, shape = np.random.default_rng(0), self._sent.arrays["image"].shape[1:]
        return b"".join(self.encode(random.integers(0, 256, shape, np.uint8)).tobytes() for _ in range(REHEARSED))


class Steps:
    """What all streams share: the step engine and its staging; only one of them runs at a time."""

    def __init__(self, engine: Engine, card: ModelCard, resources: Resources, stream: int) -> None:
        inputs, outputs = _shapes(engine.inputs), _shapes(engine.outputs)
        self.layout: StateLayout = layout(inputs, outputs, card, str(engine.path))
        self.takes = tuple(input_shapes(card))
        self.engine, self.resources, self.cuda, self.stream = engine, resources, resources.cuda, stream
        self._check_types()
        self.sent = StagedBlock(resources, _chosen(engine.inputs, (*self.takes, *self.layout.orders)))
        self.received = StagedBlock(resources, _chosen(engine.outputs, OUTPUTS))
        self.rows = DeviceBlock(resources, _chosen(engine.outputs, (ring.output for ring in self.layout.rings)))

    def _check_types(self) -> None:
        """A state goes in as it came out, byte for byte."""
        pairs = {state.name: state.output for state in self.layout.carried}
        pairs |= {ring.name: ring.output for ring in self.layout.rings}
        for name, output in pairs.items():
            taken, given = self.engine.inputs[name].dtype, self.engine.outputs[output].dtype
            if taken != given:
                raise BackendError(f"{self.engine.path}: {name} is {taken}, {output} is {given}; expected one type")

    def fill(self, inputs: StepInput, tick: int) -> None:
        """Write one tick's inputs where they are sent from."""
        fill(self.sent.arrays, self.takes, inputs)
        for name, slots in self.layout.orders.items():
            self.sent.arrays[name][:] = ring_order(tick, slots)

    def noise(self, random: np.random.Generator) -> StepInput:
        """Return a tick of noise, with everything there that the engine takes."""
        widths = {name: self.sent.arrays[name].shape[1] for name in self.takes}
        feature, joints = (random.standard_normal(widths.get(name, 0), np.float32) for name in ("feature", "joints"))
        flags = (np.ones(widths.get(name, 0), np.float32) for name in ("image_valid", "joints_valid"))
        return StepInput(feature, next(flags), joints, next(flags))

    def output(self) -> StepOutput:
        """Return a copy of what was received."""
        log_probs, lagged, boundary = (np.array(self.received.arrays[name][0], np.float32) for name in OUTPUTS)
        return StepOutput(log_probs, lagged, float(boundary[0]))


class DeviceStream:
    """One stream's states on the device, and its two programs. It is free again when its newest state is dropped."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._newest: weakref.ref[Turn[DeviceStream]] | None = None
        inputs, states = steps.engine.inputs, steps.layout
        carried = [state.name for state in states.carried]
        self._sides = [DeviceBlock(steps.resources, _chosen(inputs, carried)) for _ in range(2)]
        self._rings = DeviceBlock(steps.resources, _chosen(inputs, (ring.name for ring in states.rings)))
        self._ring_addresses = dict(self._rings.addresses())
        self._row_addresses = dict(steps.rows.addresses())
        self.programs = [self._program(side) for side in range(2)]

    @property
    def is_free(self) -> bool:
        """Tell whether nobody holds the newest state any more, so that nobody can step this stream."""
        return self._newest is None or self._newest() is None

    def owned_by(self, newest: Turn[DeviceStream]) -> Turn[DeviceStream]:
        """Belong to whoever holds this state; returns it."""
        self._newest = weakref.ref(newest)
        return newest

    def reset(self) -> None:
        """Forget everything: zeros are the state of a stream that has seen nothing."""
        for block in (*self._sides, self._rings):
            block.clear(self._steps.stream)

    def step(self, inputs: StepInput, tick: int) -> StepOutput:
        """Run tick `tick` of this stream: 0, 1, 2 and so on, each once after a reset."""
        steps = self._steps
        steps.fill(inputs, tick)
        self.programs[tick % 2].enqueue()
        for ring in steps.layout.rings:  # after the run, which reads the slot; no graph: the address moves
            row = steps.engine.outputs[ring.output].size
            target = self._ring_addresses[ring.name] + ring_slot(tick, ring.slots) * row
            steps.cuda.copy_async(target, self._row_addresses[ring.output], row, DEVICE_TO_DEVICE, steps.stream)
        steps.cuda.synchronize(steps.stream)
        return steps.output()

    def _program(self, side: int) -> Program:
        steps, states = self._steps, self._steps.layout
        before, after = dict(self._sides[side].addresses()), dict(self._sides[1 - side].addresses())
        addresses = {**dict(steps.sent.addresses()), **dict(steps.received.addresses())}
        addresses |= before | {state.output: after[state.name] for state in states.carried}
        addresses |= self._ring_addresses | self._row_addresses
        context = steps.engine.context(addresses.items())
        return Program(steps.resources, steps.stream, steps.engine, context, steps.sent, steps.received)

    def rehearse(self) -> bytes:
        """Run the same ticks from the same beginning; returns all outputs and states, bit for bit."""
        steps, random = self._steps, np.random.default_rng(0)
        self.reset()
        seen = []
        for tick in range(REHEARSED):
            seen += [np.asarray(value, np.float32).tobytes() for value in self.step(steps.noise(random), tick)]
        seen += [read_back(steps.cuda, block, steps.stream) for block in (*self._sides, self._rings)]
        return b"".join(seen)


def _shapes(specs: dict[str, TensorSpec]) -> dict[str, Shape]:
    return {name: spec.shape for name, spec in specs.items()}


def _chosen(specs: dict[str, TensorSpec], names: Iterable[str]) -> list[TensorSpec]:
    return [specs[name] for name in names]
