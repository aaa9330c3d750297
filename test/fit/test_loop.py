"""Laws of the loop, whatever is trained: the best of equals, what is saved, and that a run goes on as begun."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from hal_ros.core.errors import ConfigError  # noqa: E402
from hal_ros.fit import checkpoint  # noqa: E402
from hal_ros.fit.loop import Epoch, Finished, Loop, RunSession, Seeds, Terms, Training, mean_terms  # noqa: E402

pytestmark = pytest.mark.torch
EPOCHS, BATCHES = 5, 3


class Line(Training[Tensor]):
    """Fits a line to random points; `scores` are the accuracies of its epochs, `unsaved` those that can't be saved."""

    def __init__(self, scores: Sequence[float] = (), unsaved: Sequence[int] = ()) -> None:
        torch.manual_seed(0)
        self.model, self.scale = nn.Sequential(nn.Linear(2, 1), nn.Dropout(0.2)), nn.Linear(1, 1)
        self.scores, self.unsaved, self.epoch = scores, unsaved, 0
        self.heard: list[tuple[int, Mapping[str, Any]]] = []

    def resume(self, epoch: int, about: Mapping[str, Any]) -> None:
        self.heard.append((epoch, about))

    def batches(self, epoch: Epoch) -> Iterator[tuple[float, Tensor]]:
        self.epoch = epoch.number
        return ((i / BATCHES, torch.from_numpy(epoch.random.normal(size=(8, 2))).float()) for i in range(BATCHES))

    def losses(self, batch: Tensor) -> dict[str, Tensor]:
        error = self.scale(self.model(batch)) - batch.sum(1, keepdim=True)
        return {"square": error.square().mean(), "size": 0.1 * self.scale.weight.square().sum()}

    def finish_epoch(self, history: Sequence[Terms]) -> Finished:
        accuracy = self.scores[self.epoch] if self.scores else None
        summary = f"{len(history)} batches"
        return Finished(summary, {"seen": self.epoch}, accuracy, self.epoch not in self.unsaved)


def run(line: Line, folder: Path | None = None, seed: int = 0, stop_at: int = 0, **more: Any) -> tuple[Any, list[str]]:
    """Train; as if the power went out once `stop_at` epochs were told. Returns the best epoch and the lines."""
    lines: list[str] = []

    def report(text: str) -> None:
        lines.append(text)
        if len(lines) == stop_at:
            raise KeyboardInterrupt

    parts = {"line": line.model, "scale": line.scale}
    optimiser = torch.optim.AdamW([p for part in parts.values() for p in part.parameters()])
    loop = Loop(
        name="line",
        epochs=EPOCHS,
        seeds=Seeds(seed),
        parts=parts,
        optimiser=optimiser,
        learning_rate=lambda progress: 0.1 * (1 - progress),
        gradient_clip=1.0,
        session=RunSession(folder, report),
        **more,
    )
    return loop.run(line), lines


def weights(line: Line) -> Tensor:
    return torch.cat([p.detach().flatten() for part in (line.model, line.scale) for p in part.parameters()])


@pytest.mark.parametrize("scores", [(), (0.1, 0.5, 0.5, 0.2, 0.1), (0.9, 0.1, 0.1, 0.1, 0.1)])
def test_a_resumed_training_ends_as_the_uninterrupted_one(tmp_path: Path, scores: Sequence[float]) -> None:
    whole, cut, resumed = Line(scores), Line(scores), Line(scores)
    best, _ = run(whole, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(cut, tmp_path / "cut", stop_at=2)
    again, lines = run(resumed, tmp_path / "cut")
    assert torch.equal(weights(whole), weights(resumed))
    assert not torch.equal(weights(whole), weights(cut))
    assert (best.epoch, best.accuracy) == (again.epoch, again.accuracy)
    assert [line.split(" | ")[0] for line in lines] == [f"line {n}/{EPOCHS}: {BATCHES} batches" for n in (3, 4, 5)]
    first, second = (checkpoint.load(tmp_path / name) for name in ("whole", "cut"))
    assert first.about == second.about
    assert all(torch.equal(first.tensors[name], second.tensors[name]) for name in first.tensors)
    assert whole.heard == [(0, {})]
    assert resumed.heard[0][0] == 2
    assert resumed.heard[0][1]["seen"] == 1


def test_the_best_epoch_is_the_last_of_equals_and_its_weights_stay(tmp_path: Path) -> None:
    chosen, last = Line((0.1, 0.5, 0.5, 0.2, 0.1)), Line()
    best, _ = run(chosen, tmp_path)
    assert (best.epoch, best.accuracy) == (2, 0.5)
    saved = checkpoint.load(tmp_path)
    assert torch.equal(saved.part("best")["0.weight"], chosen.model[0].weight)
    assert not torch.equal(saved.part("line")["0.weight"], chosen.model[0].weight)
    run(last)
    assert torch.equal(saved.part("line")["0.weight"], last.model[0].weight), "without accuracies the last one is taken"


def test_a_training_ends_where_none_was_better_for_long_also_when_it_was_cut_off(tmp_path: Path) -> None:
    scores = (0.1, 0.5, 0.2, 0.2, 0.9)
    best, lines = run(Line(scores), patience=0.3)  # 1.5 epochs: the third without a better one is not begun
    assert (best.epoch, len(lines)) == (1, 4) and lines[-1] == "line 3/5: none was better since 2, it ends"
    with pytest.raises(KeyboardInterrupt):
        run(Line(scores), tmp_path, stop_at=3, patience=0.3)
    again, lines = run(Line(scores), tmp_path, patience=0.3)
    assert (again.epoch, lines) == (1, ["line 3/5: none was better since 2, it ends"])
    assert run(Line(scores), patience=0.9)[0].epoch == 4


def test_the_average_of_the_weights_is_kept_and_resumed(tmp_path: Path) -> None:
    whole, cut, plain = Line(), Line(), Line()
    run(whole, average=0.9)
    run(plain)
    assert not torch.equal(weights(whole), weights(plain))
    with pytest.raises(KeyboardInterrupt):
        run(cut, tmp_path, stop_at=2, average=0.9)
    resumed = Line()
    run(resumed, tmp_path, average=0.9)
    assert torch.equal(whole.model[0].weight, resumed.model[0].weight)
    saved = checkpoint.load(tmp_path)
    assert torch.equal(saved.part("average")["0.weight"], resumed.model[0].weight)
    assert torch.equal(saved.part("line")["0.weight"], plain.model[0].weight), "training itself is not touched by it"


def test_an_epoch_that_can_not_be_taken_up_is_done_again(tmp_path: Path) -> None:
    whole, cut = Line(unsaved=(1, 2)), Line(unsaved=(1, 2))
    run(whole)
    with pytest.raises(KeyboardInterrupt):
        run(cut, tmp_path, stop_at=3)
    assert checkpoint.load(tmp_path).about["next_epoch"] == 1
    resumed = Line(unsaved=(1, 2))
    _, lines = run(resumed, tmp_path)
    assert len(lines) == EPOCHS - 1
    assert torch.equal(weights(whole), weights(resumed))


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    run(Line(), tmp_path, settings={"width": 3})
    with pytest.raises(ConfigError, match="its width is 3; expected 4"):
        run(Line(), tmp_path, settings={"width": 4})
    _, lines = run(Line(), tmp_path, settings={"width": 3})
    assert lines == []


def test_seeds_decide_and_nothing_else() -> None:
    first, second, other = Line(), Line(), Line()
    run(first)
    torch.rand(7)
    run(second)
    run(other, seed=1)
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(other))


def test_two_trainings_of_one_seed_draw_different_numbers() -> None:
    plain, offset = Seeds(3), Seeds(3, offset=1_000_000)
    assert plain.torch(0) != offset.torch(0)
    assert plain.numpy(0).random() != offset.numpy(0).random()
    assert Seeds(3, factor=7).torch(2) == 7 * plain.torch(2)


def test_batches_without_terms_change_nothing() -> None:
    class Silent(Line):
        def losses(self, batch: Tensor) -> dict[str, Tensor]:
            assert len(batch)
            return {}

    line = Silent()
    before = weights(line)
    run(line)
    assert torch.equal(weights(line), before)


def test_the_mean_of_every_term() -> None:
    assert mean_terms([{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}]) == {"a": 2.0, "b": 3.0}
    assert np.isnan(mean_terms([{"a": float("nan")}, {"a": 1.0}])["a"])
