"""What a training begins with: eyes and model of a finished run, or of a bundle that holds its weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from hal_ros.core.card import ModelCard
from hal_ros.core.errors import ConfigError
from hal_ros.core.work import Report
from hal_ros.datasets.config import EPISODES
from hal_ros.fit import checkpoint
from hal_ros.nn.hal import CausalHal
from hal_ros.nn.joint_guided_attention import Eye
from hal_ros.outside import outputs
from hal_ros.outside.reading import Expected, read_json, reading
from hal_ros.runtime.bundle import CARD, WEIGHTS, load_bundle
from hal_ros.train import stages
from hal_ros.train.clips import Supervised
from hal_ros.train.config import TrainConfig, to_mapping
from hal_ros.train.stages import EYE, FinishedRun
from hal_ros.train.warm_start.rehearsal import hold_old, rehearsed

HEADS = ("head", "lagged_head", "glance")
"""The layers with a row of weights for each action, of model and eye."""
VOCABULARY = "vocabulary.json"
ACTIONS = Expected(ConfigError, "a JSON list of a run's actions")
Network = TypeVar("Network", CausalHal, Eye)


@dataclass(frozen=True)
class Start:
    """Networks that have learnt something, and what they take and tell."""

    place: Path
    card: ModelCard  # as far as it is known before a training
    eyes: tuple[Eye, ...]
    model: CausalHal
    sha256: str
    alone: bool = False  # whether what is added to it is all there is to learn from

    @property
    def actions(self) -> int:
        """How many actions it knows."""
        return len(self.card.vocabulary)

    def begin(self, supervised: Supervised, actions: int, report: Report) -> tuple[CausalHal, Supervised]:
        """Return the model over more actions, as far as it may learn, and the clips as they are played."""
        model = self.new_model(actions)
        if not self.alone:
            return model, rehearsed(supervised, self.actions, report)
        hold_old(model, self.actions, report)
        return model, supervised

    def keep_eyes(self, config: TrainConfig, folders: Sequence[Path]) -> list[Eye]:
        """Return the eyes over all actions of the settings, else as they are, and leave them in a run's folders."""
        eyes = [extended(eye, len(config.data.actions)) for eye in self.eyes]
        for eye, folder in zip(eyes, folders, strict=True):
            tensors = {f"{EYE}/{name}": tensor for name, tensor in eye.state_dict().items()}
            about = {"eye": eye.config.to_json(), "config": to_mapping(config)}
            checkpoint.save(folder, checkpoint.Checkpoint(tensors, about))
        return eyes

    def new_model(self, actions: int) -> CausalHal:
        """Return the model over more actions, uncalibrated."""
        model = extended(self.model, actions)
        with torch.no_grad():
            model.temperature.fill_(1)
        return model


def read_start(place: Path) -> Start:
    """Read a finished run's folder, or a bundle with weights. Raises ConfigError for anything else."""
    if (place / CARD).exists():
        return _of_bundle(place)
    if not checkpoint.exists(place):
        if any(place.glob(f"*/{checkpoint.FILE}")):
            raise ConfigError(f"--from {place}: has not trained its model yet; expected a run that is finished")
        raise ConfigError(f"--from {place}: is neither a run's folder nor a bundle; expected one of them")
    return _of_run(place)


def _of_run(place: Path) -> Start:
    run = stages.load_run(place)
    if run.config.data.layout != EPISODES:
        raise ConfigError(f"--from {place}: is a run on feature vectors; expected one on episodes")
    _check_finished(run.about, run.config.optimiser.patience, place)
    digest = hashlib.sha256()
    for folder in (place, *stages.eye_folders(place, run.config.data)):
        digest.update((folder / checkpoint.FILE).read_bytes())
    data = replace(run.config.data, actions=_vocabulary(place, run))
    return Start(place, stages.draft_card(replace(run.config, data=data)), run.eyes, run.model, digest.hexdigest())


def write_vocabulary(folder: Path, vocabulary: Sequence[str]) -> None:
    """Leave the actions of a finished run beside it: its data may grow, and name more then."""
    outputs.write_whole_text(folder / VOCABULARY, json.dumps(list(vocabulary)))


def _vocabulary(place: Path, run: FinishedRun) -> tuple[str, ...]:
    """Return a run's actions, for a run of an older version those of its settings and data."""
    path, data = place / VOCABULARY, run.config.data
    found = _names(path) if path.exists() else stages.vocabulary_of(data)
    if len(found) != run.model.config.actions:
        raise ConfigError(
            f"--from {place}: its model knows {run.model.config.actions} actions, {data.folder} names {len(found)}; "
            f"expected the former's names in {path}, a JSON list in their ids' order"
        )
    return found


def _names(path: Path) -> tuple[str, ...]:
    found = read_json(path, ACTIONS)
    with reading(path, ACTIONS):
        if not isinstance(found, list) or not all(isinstance(name, str) and name.strip() for name in found):
            raise ValueError("holds something else")
        if len(set(found)) < len(found):
            raise ValueError("names an action twice")
        return tuple(found)


def _check_finished(about: Mapping[str, Any], patience: float, place: Path) -> None:
    """Refuse a run with epochs to come; older checkpoints don't say how many there are."""
    done, epochs = about["next_epoch"], about.get("epochs", about["next_epoch"])
    ended = bool(patience) and done - about["best_epoch"] > patience * epochs
    if done < epochs and not ended:
        raise ConfigError(f"--from {place}: has done {done} of {epochs} epochs; expected a run that is finished")


def _of_bundle(place: Path) -> Start:
    bundle = load_bundle(place)
    if WEIGHTS not in bundle.card.files:
        raise ConfigError(
            f"--from {place}: holds graphs alone, which can't go on learning; expected the run's folder, or a bundle "
            "of `hal export RUN --reference`"
        )
    from hal_ros.runtime.torch_backend import read_networks

    networks = read_networks(bundle)
    return Start(place, bundle.card, networks.eyes, networks.model, bundle.sha256)


def extended(network: Network, actions: int) -> Network:
    """Return a copy over more actions: each new one has the mean of the old ones' weights, so that none is likely."""
    made = type(network)(replace(network.config, actions=actions))
    tensors = network.state_dict()
    for name in (f"{head}.{part}" for head in HEADS for part in ("weight", "bias")):
        if name in tensors:
            old = tensors[name]
            new = old.mean(0, keepdim=True).expand(actions - len(old), *old.shape[1:])
            tensors[name] = torch.cat([old, new])
    made.load_state_dict(tensors)
    assert isinstance(made, nn.Module)
    return made.eval()
