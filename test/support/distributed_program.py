"""What the test of several processes runs, in one process and under torchrun: a step, a training, and the control."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from synthetic_clips import ACTIONS, FEATURES, make_clips

from hal_ros.fit import distributed
from hal_ros.fit.distributed import World
from hal_ros.labels.teacher import step as teacher_step
from hal_ros.labels.teacher.batches import assemble, middle_ticks
from hal_ros.labels.teacher.config import TeacherConfig
from hal_ros.labels.teacher.fit import train_teacher
from hal_ros.labels.teacher.network import PyramidTeacher
from hal_ros.labels.teacher.step import TeacherLoss, batch_terms

# no dropout and no samples of latents: processes draw different ones
CONFIG = TeacherConfig(
    width=16, heads=2, layers=3, feed_forward=16, visual_width=8, action_width=8, visual_layer=1, dropout=0.0,
    start_epochs=1, epochs=1, batch_clips=3, slowness=0.1, contrast=0.1, start="uniform", learning_rate=1e-3,
)  # fmt: skip


def step(here: World) -> dict[str, Any]:
    """Return the loss of five clips, this process's part of it, and the gradients; in double precision."""
    torch.manual_seed(0)
    model = PyramidTeacher(CONFIG.pyramid(ACTIONS, FEATURES)).double()
    loss = TeacherLoss(CONFIG, model.config)
    clips = make_clips(5)
    mine = here.share(clips)
    ticks = [middle_ticks(clip, 2) for clip in mine]
    targets = [np.eye(ACTIONS, dtype=np.float32)[clip.actions[at]] for clip, at in zip(mine, ticks, strict=True)]
    batch = assemble(mine, ticks, targets, ACTIONS, [1.0] * len(mine))
    terms = batch_terms(model, loss, type(batch)(*(tensor.double() for tensor in batch)), len(clips), 1.0)
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    distributed.sum_gradients(model.parameters(), here)
    gradients = torch.cat([p.grad.reshape(-1) for p in model.parameters() if p.grad is not None])
    whole = float(distributed.sum_values(total.detach(), here))
    return {"loss": whole, "own": float(total.detach()), "gradients": gradients.tolist()}


def train() -> list[float]:
    """Return the weights after two epochs, the second of them on alignments that the processes share."""
    made = train_teacher(CONFIG, ACTIONS, make_clips(7), report=lambda _: None)
    return torch.cat([parameter.reshape(-1) for parameter in made.model.parameters()]).tolist()


@contextmanager
def own_gradients() -> Iterator[None]:
    """The control: every process steps by what it has itself."""
    summing = teacher_step.sum_gradients
    teacher_step.sum_gradients = lambda *_: None
    yield
    teacher_step.sum_gradients = summing


def everything() -> tuple[World, dict[str, Any]]:
    """Return which process this is, and all that is compared."""
    with distributed.world() as here:
        result = {"size": here.size, "step": step(here), "weights": train()}
        with own_gradients():
            result["apart"] = train()
    return here, result


if __name__ == "__main__":
    place, found = everything()
    if place.first:
        Path(sys.argv[1]).write_text(json.dumps(found))
