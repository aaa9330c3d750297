"""The default back end: a bundle's two graphs in ONNX Runtime, on the CPU or on the execution providers asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from hal_ros.core.card import ModelCard
from hal_ros.core.errors import BackendError
from hal_ros.core.step import StepInput, StepOutput
from hal_ros.runtime.bundle import STEP, Bundle
from hal_ros.runtime.encode import BundleEncoder
from hal_ros.runtime.sessions import CPU, TYPES, first_line, open_session
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


class OnnxStepper:
    """Runs step graphs alone. A stream's buffers are its own and live as long as its newest state."""

    name = "onnxruntime"

    def __init__(self, card: ModelCard, path: Path, threads: int = 1, providers: Sequence[str] = ()) -> None:
        """Open the step graph `path`.

        Raises ConfigError for a provider that ONNX Runtime does not know, BackendError for one that it lacks here or
        does not get to work, and BackendError naming the file where it is refused, or is not what the card says.
        """
        self._step = open_session(path, threads, providers)
        inputs, outputs = _shapes(self._step.get_inputs()), _shapes(self._step.get_outputs())
        self._check(path, inputs | outputs)
        # Refuses what is not the card's: golden.npz brings its own shapes, so it would not notice.
        self._layout = layout(inputs, outputs, card, str(path))
        self._takes = tuple(input_shapes(card))

    def _check(self, path: Path, shapes: dict[str, Shape]) -> None:
        """Refuse shapes that are not fixed, and types that no step graph has."""
        if loose := [name for name, shape in shapes.items() if not all(isinstance(size, int) for size in shape)]:
            raise BackendError(f"{path}: {loose} have no fixed shape; expected whole numbers only")
        if odd := {
            e.name: e.type for e in (*self._step.get_inputs(), *self._step.get_outputs()) if e.type not in TYPES
        }:
            raise BackendError(f"{path}: {odd} are types that no step graph has; expected some of {list(TYPES)}")

    def initial_state(self) -> Turn[StreamBuffers]:
        """Return all zeros: the validity of what is cached is itself part of the state."""
        return Turn(self, StreamBuffers(self._step, self._layout, self._takes))

    def step(self, inputs: StepInput, state: Turn[StreamBuffers]) -> tuple[StepOutput, Turn[StreamBuffers]]:
        """Advance the stream by one tick, which uses `state` up. Raises BackendError for one that is used up."""
        stream = state.take(self)
        try:
            output = stream.step(inputs, state.tick)
        except Exception as error:
            raise BackendError(f"onnxruntime: the step graph failed: {first_line(error)}") from error
        return output, state.following(stream)


class OnnxBackend(OnnxStepper):
    """Runs encoder.onnx, where the bundle has cameras, and step.onnx."""

    def __init__(self, bundle: Bundle, threads: int = 1, providers: Sequence[str] = ()) -> None:
        """Open both sessions; raises as OnnxStepper does."""
        self._encoder = BundleEncoder(bundle, threads, providers)
        self.encode = self._encoder.encode
        super().__init__(bundle.card, bundle.path(STEP), threads, providers)

    def about(self) -> dict[str, str]:
        """Say what runs: the version, and each provider with the number of nodes it runs where that is known."""
        sessions = [session for session in (self._encoder.session, self._step) if session is not None]
        return {"onnxruntime": ort.__version__, "providers": _who_runs(sessions)}


class StreamBuffers:
    """The buffers of one stream. Carried states alternate between two sets, rings are overwritten slot by slot.

    On the CPU both directions are bound to the session once. Elsewhere a bound input is copied to the device when it
    is bound, not when it is run, so that what is written later would never arrive: there, each run takes the arrays.
    """

    def __init__(self, session: ort.InferenceSession, states: StateLayout, takes: Iterable[str]) -> None:
        """Allocate zeros for all inputs, states and outputs, each of the type that the graph has."""
        self._session, self._layout = session, states
        entries = {entry.name: entry for entry in (*session.get_inputs(), *session.get_outputs())}

        def zeros(names: Iterable[str]) -> dict[str, NDArray[Any]]:
            return {name: np.zeros(entries[name].shape, TYPES[entries[name].type]) for name in names}

        self._inputs, self._orders = zeros(takes), zeros(states.orders)
        self._rings = zeros(ring.name for ring in states.rings)
        self._sides = [zeros(state.name for state in states.carried) for _ in range(2)]
        self._results = zeros([*OUTPUTS, *(ring.output for ring in states.rings)])
        on_cpu = session.get_providers() == [CPU]
        self._bindings = [self._bind(side) for side in range(2)] if on_cpu else []

    def step(self, inputs: StepInput, tick: int) -> StepOutput:
        """Run tick `tick` of this stream: 0, 1, 2 and so on, each once."""
        fill(self._inputs, self._inputs, inputs)
        for order in self._orders.values():
            order[:] = ring_order(tick, len(order))
        self._run(tick % 2)
        for ring in self._layout.rings:
            self._rings[ring.name][:, ring_slot(tick, ring.slots)] = self._results[ring.output][:, 0]
        log_probs, lagged, boundary = (self._results[name] for name in OUTPUTS)
        return StepOutput(log_probs[0].copy(), lagged[0].copy(), float(boundary[0, 0]))

    def _feeds(self, side: int) -> dict[str, NDArray[Any]]:
        return {**self._inputs, **self._orders, **self._rings, **self._sides[side]}

    def _targets(self, side: int) -> dict[str, NDArray[Any]]:
        """Where the outputs go: the carried states into the side that the next tick reads."""
        following = self._sides[1 - side]
        return {**self._results, **{state.output: following[state.name] for state in self._layout.carried}}

    def _run(self, side: int) -> None:
        if self._bindings:
            self._session.run_with_iobinding(self._bindings[side])
            return
        targets = self._targets(side)
        for name, value in zip(targets, self._session.run(list(targets), self._feeds(side)), strict=True):
            targets[name][:] = value

    def _bind(self, side: int) -> ort.IOBinding:
        binding = self._session.io_binding()
        for name, array in self._feeds(side).items():
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for name, array in self._targets(side).items():
            binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        return binding


def _who_runs(sessions: Sequence[ort.InferenceSession]) -> str:
    registered = sessions[0].get_providers()
    if registered == [CPU]:
        return CPU
    nodes: Counter[str] = Counter(dict.fromkeys(registered, 0))
    for session in sessions:
        if not hasattr(session, "get_provider_graph_assignment_info"):
            return ", ".join(registered)
        for part in session.get_provider_graph_assignment_info():
            nodes[part.ep_name] += len(part.get_nodes())
    return ", ".join(f"{name} ({count} nodes)" for name, count in nodes.items())


def _shapes(entries: Sequence[Any]) -> dict[str, Shape]:
    return {entry.name: tuple(entry.shape) for entry in entries}
