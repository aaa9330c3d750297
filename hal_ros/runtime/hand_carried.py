"""A step graph whose states the host carries from run to run, as plainly as can be: what back ends are held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.card import ModelCard
from hal_ros.core.step import StepInput, StepOutput
from hal_ros.runtime.sessions import TYPES, open_session
from hal_ros.runtime.step_state import OUTPUTS, Shape, input_names, layout, ring_order, ring_slot

Tensors = dict[str, NDArray[Any]]


class HandCarried:
    """One stream. `run` takes all inputs of the graph by name and returns its outputs; `states` are by name, too."""

    def __init__(
        self, run: Callable[[Tensors], Tensors], inputs: Tensors, outputs: Mapping[str, Shape], card: ModelCard
    ) -> None:
        """Begin with nothing seen; `inputs` are arrays of each input's shape and type, whose values do not matter.

        Raises BackendError where names and shapes are no step graph's of this card.
        """
        self._run, self._inputs, self._tick = run, inputs, 0
        self._names = input_names(len(card.streams.cameras), card.streams.value_count)
        self._layout = layout({name: array.shape for name, array in inputs.items()}, outputs, card, "step graph")
        self.states = {name: np.zeros_like(inputs[name]) for name in self._layout.states}

    def step(self, inputs: StepInput) -> StepOutput:
        """Run the next tick. Raises what `run` raises."""
        feeds = {
            name: np.broadcast_to(np.asarray(value, self._inputs[name].dtype), self._inputs[name].shape)
            for name, value in inputs._asdict().items()
            if name in self._names  # a graph without cameras, or without states of the robot, has fewer
        }
        feeds |= {name: ring_order(self._tick, slots) for name, slots in self._layout.orders.items()}
        results = self._run({**feeds, **self.states})
        self.states |= {state.name: results[state.output] for state in self._layout.carried}
        for ring in self._layout.rings:
            self.states[ring.name][:, ring_slot(self._tick, ring.slots)] = results[ring.output][:, 0]
        self._tick += 1
        log_probs, lagged, boundary = (np.array(results[name][0], np.float32) for name in OUTPUTS)
        return StepOutput(log_probs, lagged, float(boundary[0]))


def open_hand_carried(graph: Path, card: ModelCard) -> HandCarried:
    """Return a stream of a step graph in ONNX Runtime on the CPU. Raises BackendError for one that it refuses."""
    session = open_session(graph)
    names = [entry.name for entry in session.get_outputs()]
    inputs = {entry.name: np.zeros(entry.shape, TYPES[entry.type]) for entry in session.get_inputs()}
    outputs = {entry.name: tuple(entry.shape) for entry in session.get_outputs()}

    def run(feeds: Tensors) -> Tensors:
        return dict(zip(names, session.run(names, {k: np.ascontiguousarray(v) for k, v in feeds.items()}), strict=True))

    return HandCarried(run, inputs, outputs, card)
