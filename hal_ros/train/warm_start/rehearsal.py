"""How new actions are learnt without losing old ones: from new episodes alone, or beside old ones.

Where every episode shows a new action, nothing would remind the model of the old ones that are not among them: so the
rows of weights of the new actions learn alone, and the odds of the old ones among themselves stay as they were. Where
old episodes are there, all weights learn, slowly, and those with a new action are played oftener, lest they drown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.work import Report
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.encoded_clips import EncodedClip
from hal_ros.nn.hal import CausalHal
from hal_ros.train.clips import Supervised
from hal_ros.train.config import TrainConfig

NEW_SHARE = 0.3
"""How much of what is played beside old episodes has a new action in it."""
SHORTER = 0.3
"""Share of `optimiser.least_steps`."""
FEWEST_EPOCHS = 6
"""Beside old episodes, however many they are."""
BESIDE, ALONE = 0.2, 4.0
"""Shares of `optimiser.learning_rate`, of all weights, and of new rows that start anew above what knows much."""


def shows_new(clip: Clip | EncodedClip, known: int) -> bool:
    """Tell whether a clip, by its transcript or what is known of its ticks, shows an action from id `known` on."""
    ids = {*clip.transcript, *clip.actions.tolist()} - {NO_ACTION}
    return max(ids, default=0) >= known


def all_new(clips: Sequence[Clip | EncodedClip], known: int) -> bool:
    """Tell whether each clip shows a new action, so that nothing would remind a model of all the old ones."""
    return all(shows_new(clip, known) for clip in clips)


def paced(config: TrainConfig, clips: Sequence[Clip | EncodedClip], alone: bool) -> TrainConfig:
    """Return the settings by which the clips are learnt from: for a shorter time, and no weight decays."""
    usual, batches = config.optimiser, config.batches
    steps = round(SHORTER * usual.least_steps)
    made = replace(
        usual,
        epochs=0,
        learning_rate=(ALONE if alone else BESIDE) * usual.learning_rate,
        least_steps=steps,
        weight_decay=0.0,
    )
    if not alone:
        of_one = sum(clip.ticks for clip in clips) / (batches.streams * batches.chunk_ticks)
        made = replace(made, epochs=max(FEWEST_EPOCHS, math.ceil(steps / of_one)))
    return replace(config, optimiser=made)


def rehearsed(supervised: Supervised, known: int, report: Report = print) -> Supervised:
    """Return the clips as they are played, those with a new action oftener; say so."""
    new = [clip for clip in supervised.clips if shows_new(clip, known)]
    old_count, new_ticks = len(supervised.clips) - len(new), sum(clip.ticks for clip in new)
    old_ticks = sum(clip.ticks for clip in supervised.clips) - new_ticks
    times = max(1, round(NEW_SHARE / (1 - NEW_SHARE) * old_ticks / new_ticks)) if new_ticks else 1
    report(f"{len(new)} clips with a new action, played {times} times an epoch, beside {old_count} without")
    return replace(supervised, clips=[*supervised.clips, *new * (times - 1)])


def hold_old(model: CausalHal, known: int, report: Report = print) -> None:
    """Let nothing learn but the heads' rows from `known` on; say so."""
    report("each clip has a new action: only what is new learns")
    model.requires_grad_(False)
    for head in (model.head, model.lagged_head):
        for parameter in (head.weight, head.bias):
            learns = torch.zeros_like(parameter)
            learns[known:] = 1
            parameter.requires_grad_(True)
            parameter.register_hook(learns.mul)
