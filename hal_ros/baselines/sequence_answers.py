"""What a trained sequence baseline says of a clip of any length, and what one tick costs it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from hal_ros.baselines.sequence import LAGGED, NOW, CausalModel, SequenceModel, WholeClipModel
from hal_ros.core.arrays import FloatArray
from hal_ros.datasets.clips import Clip
from hal_ros.train.answers import Answers

CHUNK_TICKS = 2048
"""Ticks answered at once: memory stays bounded however long a clip is."""


class FittedSequence:
    """A trained baseline: the best epoch's model, and how it was chosen."""

    def __init__(self, model: SequenceModel, lag_ticks: int, epoch: int, accuracy: float) -> None:
        self.model, self.lag_ticks = model.eval(), lag_ticks
        self.epoch, self.accuracy = epoch, accuracy  # of the confirmed answers over the validation ticks, 0..1

    @property
    def parameter_count(self) -> int:
        """How many numbers training set."""
        return self.model.parameter_count

    @property
    def offline(self) -> bool:
        """Whether it sees what comes later."""
        return isinstance(self.model, WholeClipModel)

    @torch.no_grad()
    def answer(self, clip: Clip) -> Answers:
        """Run a whole clip from the initial state, as a stream would; the offline model looks ahead as it must."""
        run = self._stream if isinstance(self.model, CausalModel) else self._look_around
        parts = [torch.log_softmax(logits, -1).numpy() for logits in run(clip)]
        log_probs = np.concatenate(parts) if parts else np.zeros((0, 2, self.model.actions), np.float32)
        return Answers(log_probs[:, NOW], log_probs[:, LAGGED], change(log_probs[:, NOW]))

    def _stream(self, clip: Clip) -> Iterator[Tensor]:
        """Yield logits (T, 2, K) of one chunk after the other."""
        assert isinstance(self.model, CausalModel)
        state = self.model.initial_state()
        for start in range(0, clip.ticks, CHUNK_TICKS):
            logits, state = self.model.advance(_tensor(clip, start, start + CHUNK_TICKS), state)
            yield logits[-1, 0]

    def _look_around(self, clip: Clip) -> Iterator[Tensor]:
        """Yield logits (T, 2, K) of chunks that were run with all that their answers depend on to either side."""
        assert isinstance(self.model, WholeClipModel)
        reach = self.model.reach_ticks
        for start in range(0, clip.ticks, CHUNK_TICKS):
            before = min(start, reach + self.lag_ticks)
            inputs = _tensor(clip, start - before, start + CHUNK_TICKS + reach)
            logits = self.model(inputs, torch.ones(1, inputs.shape[1]), start - before)
            yield logits[-1, 0, before : before + CHUNK_TICKS]

    @torch.no_grad()
    def ms_per_tick(self, ticks: int = 200) -> float:
        """Return the milliseconds of processor that one more tick costs: the median of single streamed steps.

        The offline model can't be streamed; its figure is a whole clip's time over its ticks.
        """
        inputs = torch.zeros(1, ticks, self.model.inputs)
        if not isinstance(self.model, CausalModel):
            return processor_ms(lambda: self.model(inputs, torch.ones(1, ticks)), times=5) / ticks
        advance, tick, state = self.model.advance, inputs[:, :1], self.model.initial_state()
        return processor_ms(lambda: advance(tick, state), times=ticks)  # an empty state costs what a full one does


def processor_ms(call: Callable[[], object], times: int) -> float:
    """Return the median milliseconds of this thread's processor that a call takes: what else runs does not count."""
    spent = []
    for _ in range(times):
        started = time.thread_time()
        call()
        spent.append(time.thread_time() - started)
    return 1e3 * statistics.median(spent)


def change(log_probs: FloatArray) -> FloatArray:
    """Return (T,) how much of the probability moved between actions since the tick before, in [0, 1]; 1 at first."""
    moved = np.abs(np.diff(np.exp(log_probs), axis=0)).sum(1) / 2
    return np.concatenate([np.ones(min(len(log_probs), 1)), np.clip(moved, 0, 1)]).astype(np.float32)


def _tensor(clip: Clip, start: int, stop: int) -> Tensor:
    return torch.from_numpy(np.asarray(clip.inputs[start:stop], np.float32))[None]
