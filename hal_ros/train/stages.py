"""The stages of a run before and after the loop: bags to encoded clips, and a trained model to what its card says."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hal_ros.bags.inputs import AskedTopics
from hal_ros.core.card import ModelCard
from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.core.work import Report
from hal_ros.datasets import config as dataset_card
from hal_ros.datasets import episodes, features
from hal_ros.datasets.config import EPISODES, TRAINING, DataConfig, asked_topics, streams_of
from hal_ros.datasets.encoded_clips import EncodedClip, load_encoded_clips
from hal_ros.datasets.look.marks import MARKS
from hal_ros.datasets.pool import in_order
from hal_ros.fit import checkpoint
from hal_ros.labels.targets import LABELS
from hal_ros.nn.hal import CausalHal, HalConfig
from hal_ros.nn.joint_guided_attention import Eye
from hal_ros.nn.restoring import restored
from hal_ros.outside.progress import PRINT, tracked
from hal_ros.outside.reading import reading
from hal_ros.train.config import MIXED, TrainConfig, config_from_saved, to_mapping
from hal_ros.train.encoders import encoder_spec, ensure_encoder, try_own
from hal_ros.train.eye import load_eye

EYE = "eye"  # folder of the first camera's eye in a run's; the others' have the camera's name behind it


START = "start.txt"  # in a run's folder: the hash of what it began with, if with anything


class PreparedSplit(NamedTuple):
    """One split, ready to train on; sha256 is of the episodes' cache keys."""

    encoded_clips: list[EncodedClip]
    folders: list[Path]
    sha256: str


class IngestedSplits(NamedTuple):
    """What a training starts from: the drafted card, the encoder, and each prepared split."""

    card: ModelCard
    encoder: Path | None  # None without cameras
    prepared: list[PreparedSplit]


def ingest(config: TrainConfig, splits: Sequence[str], limits: Mapping[str, int] | None = None) -> IngestedSplits:
    """Ingest and encode splits, or the first bags of those that `limits` names.

    Raises ConfigError for settings without any stream or with too few actions, DatasetError for a split without
    episodes.
    """
    card, encoder = draft_card(config), ensure_encoder(config.data)
    limit = (limits or {}).get
    return IngestedSplits(card, encoder, [prepare(config.data, card, s, encoder, limit=limit(s)) for s in splits])


def vocabulary_of(config: DataConfig) -> tuple[str, ...]:
    """Return the configured actions, or else those of the training transcripts, sorted."""
    if config.actions:
        return config.actions
    bags = episodes.find_bags(Path(config.folder), TRAINING)
    found = sorted({action for bag in bags for action in episodes.read_transcript(bag)})
    if len(found) < 2:
        raise ConfigError(f"data.actions is empty and the transcripts of {config.folder} name {found}; expected two")
    return tuple(found)


def draft_card(config: TrainConfig) -> ModelCard:
    """Return the card as far as it is known before training; ingest already needs it."""
    if not (config.data.joints or config.data.names_streams):
        raise ConfigError("data.joints is empty; expected the joints' names in the model's order, or data.streams")
    card = dataset_card.draft_card(config.data, vocabulary_of(config.data))
    return dataclasses.replace(
        card,
        name=config.name,
        encoder=encoder_spec(config.data),
        window_ticks=sum(ticks - 1 for ticks in config.model.lookback) + 1,
        supervision=config.supervision,
    )


def prepare(
    config: DataConfig,
    card: ModelCard,
    split: str,
    encoder: Path | None,
    report: Report = PRINT,
    limit: int | None = None,
) -> PreparedSplit:
    """Ingest a split, or its first `limit` bags, and encode its pictures, as far as that is not in the cache.

    In mixed supervision marks are read beside the bags, anew each time.
    """
    bags = episodes.find_bags(Path(config.folder), split)[:limit]
    job = partial(
        _prepare_one, card=card, asked=asked_topics(config), cache=Path(config.cache) / split, encoder=encoder
    )
    folders = list(tracked(in_order(job, bags, config.processes), f"{split}: episodes", len(bags), report))
    report(f"{split}: {len(bags)} episodes ingested")
    told_in = bags if card.supervision == MIXED else (None,) * len(bags)
    encoded_clips = [
        encoded
        for folder, bag in zip(folders, told_in, strict=True)
        for encoded in load_encoded_clips(folder, encoder, card.vocabulary, bag)
    ]
    if split == TRAINING:
        check_streams_seen(encoded_clips, card.streams, asked_topics(config))
    marks = [bag / MARKS for bag in told_in if bag is not None and (bag / MARKS).exists()]
    names = [folder.name for folder in folders] + [hashlib.sha256(path.read_bytes()).hexdigest() for path in marks]
    return PreparedSplit(encoded_clips, folders, hashlib.sha256("\n".join(names).encode()).hexdigest())


def check_streams_seen(clips: Sequence[EncodedClip], streams: StreamSpec, asked: AskedTopics) -> None:
    """Refuse a stream without any value in the clips to train on, as of a topic that is misspelt; ConfigError."""
    seen = np.zeros(len(streams.cameras), bool), np.zeros(streams.value_count, bool)
    for clip in clips:
        for found, valid in zip(seen, (clip.image_valid, clip.joints_valid), strict=True):
            found |= valid.any(0)
    there = dict(zip(streams.cameras, seen[0], strict=True))
    there |= {state: seen[1][streams.columns(state)].any() for state in streams.states}
    for stream in (name for name, values in there.items() if not values):
        one = streams.cameras.get(stream) or streams.states[stream]
        topics = " or ".join(asked.get(stream, one.topic)) or "its usual topic"
        raise ConfigError(
            f"{stream}: has no value at any tick of the {len(clips)} training clips; expected messages on {topics}, at "
            f"most {one.max_age_s:g} s older than those of {streams.clock}, or settings without it"
        )


def _prepare_one(bag: Path, card: ModelCard, asked: AskedTopics, cache: Path, encoder: Path | None) -> Path:
    """Return the episode's cache folder; its pictures are encoded."""
    folder = episodes.cached(bag, card, asked, cache)
    if encoder is not None:
        features.cached(folder, encoder, tuple(card.streams.cameras))
    return folder


# --- runs on disk -----------------------------------------------------------------------------------------------------


def run_folder(config: TrainConfig, *prepared: PreparedSplit, start: str = "") -> Path:
    """Return runs/<name>-<hash>: the same settings on the same episodes, from the same start, continue the same run."""
    text = settings_sha256(config) + "".join(split_data.sha256 for split_data in prepared) + start
    return Path("runs") / f"{config.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def settings_sha256(config: TrainConfig) -> str:
    """Return a hash of what the weights depend on: where the data lies and how many work on it does not count."""
    settings = to_mapping(config)
    for key in ("folder", "cache", "processes"):
        del settings["data"][key]
    if config.data.encoder:
        settings["data"]["encoder"] = try_own(config.data).source  # whatever its file is called
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


class FinishedRun(NamedTuple):
    """What a finished run holds: settings, each camera's eye, its best epoch's model, what else its checkpoint says."""

    config: TrainConfig
    eyes: tuple[Eye, ...]
    model: CausalHal
    about: dict[str, Any]


def eye_folders(folder: Path, data: DataConfig) -> list[Path]:
    """Return where the cameras' eyes lie in a run's folder, in the cameras' order."""
    names = list(streams_of(data).cameras) if data.layout == EPISODES else []  # nothing looks at feature vectors
    return [folder / (f"{EYE}-{name}" if index else EYE) for index, name in enumerate(names)]


def load_run(folder: Path) -> FinishedRun:
    """Read a run's folder: the model's checkpoint in it, the eyes' in folders of their own."""
    saved = checkpoint.load(folder)
    with reading(folder / checkpoint.FILE, checkpoint.CHECKPOINT):
        model = restored(CausalHal, HalConfig.from_json(saved.about["hal"]), saved.part("best"))
        config = config_from_saved(saved.about["config"])
    _check_encoder(config.data, saved.about, folder)
    eyes = tuple(load_eye(part) for part in eye_folders(folder, config.data))
    return FinishedRun(config, eyes, model.eval(), saved.about)


def _check_encoder(data: DataConfig, about: Mapping[str, Any], folder: Path) -> None:
    """Refuse a user's encoder that was changed since: what the run learned holds for the other one's features."""
    if data.encoder and (found := try_own(data).source) != about.get("encoder"):
        raise ConfigError(f"{folder}: was trained with encoder {about.get('encoder')}; {data.encoder} is now {found}")


def trained_from(run: FinishedRun, folder: Path, training: PreparedSplit, validation: PreparedSplit) -> dict[str, str]:
    """Return what a card says of its weights: hashes of episodes, settings, eyes and targets."""
    made = {part.name: part / checkpoint.FILE for part in eye_folders(folder, run.config.data)}
    made["labels"] = folder / LABELS
    start = {"start": (folder / START).read_text(encoding="utf-8")} if (folder / START).exists() else {}
    return {
        "dataset": Path(run.config.data.folder).name,
        "training_episodes": training.sha256,
        "validation_episodes": validation.sha256,
        "settings": settings_sha256(run.config),
        **{name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in made.items() if path.exists()},
        "seed": str(run.config.seed),
        "epoch": str(run.about["best_epoch"] + 1),
        **start,
    }
