"""The settings of a training with a start: its vocabulary, more actions, its networks' shapes."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from hal_ros.core.card import ModelCard
from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.datasets.config import EPISODES
from hal_ros.train import stages
from hal_ros.train.config import ModelConfig, TrainConfig
from hal_ros.train.encoders import grid_of
from hal_ros.train.warm_start.start import Start

MAP = "encoder's map (rows, columns, channels)"
EYE_SHAPE = ("width", "cell_width", "gazes", "keypoints")


def begun(config: TrainConfig, start: Start) -> TrainConfig:
    """Return the settings of a training that begins with `start`.

    Raises ConfigError for other streams, another rate or encoder, and where there is no action that it lacks.
    """
    if config.data.layout != EPISODES:
        raise ConfigError(f"--from {start.place}: is for episodes; data.layout is {config.data.layout!r}")
    known, named = start.card.vocabulary, stages.vocabulary_of(config.data)
    new = tuple(action for action in named if action not in known)
    if not new:
        raise ConfigError(f"--from {start.place}: knows all of {', '.join(named)}; expected an action that it lacks")
    shape = {field.name: getattr(start.model.config, field.name) for field in fields(ModelConfig)}
    eye = {name: getattr(each.config, name) for each in start.eyes[:1] for name in EYE_SHAPE}
    made = replace(
        config,
        data=replace(config.data, actions=(*known, *new)),
        model=ModelConfig(**shape),
        eye=replace(config.eye, **eye),
    )
    _check_same(start, stages.draft_card(made), made)
    return made


def _check_same(start: Start, card: ModelCard, config: TrainConfig) -> None:
    """Refuse what the networks can't take; ConfigError naming the first difference."""
    old, new = _facts(start.card), _facts(card)
    if start.eyes:
        old, new = {**old, MAP: start.eyes[0].config.grid}, {**new, MAP: grid_of(config.data)}
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            raise ConfigError(
                f"{name} is {_said(new.get(name))}; expected {_said(old.get(name))}, as of --from {start.place}"
            )


def _facts(card: ModelCard) -> dict[str, Any]:
    """Return what both trainings must share; topics may be others."""
    streams: StreamSpec = card.streams
    facts: dict[str, Any] = {
        "data.rate_hz": streams.rate_hz,
        "data.lag_ticks": card.lag_ticks,
        "data.max_held_ticks": streams.max_held_ticks,
        "cameras": tuple(streams.cameras),
        "states": tuple(streams.states),
        "clock": streams.clock,
    }
    for name, camera in streams.cameras.items():
        facts |= {f"{name}: size_px": camera.size_px, f"{name}: crop": camera.crop}
    for name, state in streams.states.items():
        facts |= {f"{name}: names": state.names, f"{name}: fields": state.fields}
    return facts | {"encoder": card.encoder.source if card.encoder else None}


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
