"""The user's own bags on their way into a dataset folder: ingested together, and only then put in place."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

from hal_ros.bags.inputs import AskedTopics
from hal_ros.core.card import ModelCard
from hal_ros.core.errors import HalError
from hal_ros.core.work import Report
from hal_ros.datasets import episodes
from hal_ros.datasets import folder as dataset_folder
from hal_ros.datasets.config import asked_topics, draft_card
from hal_ros.datasets.look.settings_text import settings_text
from hal_ros.datasets.look.told import read_told
from hal_ros.datasets.plan import CONFIG_NAME, Plan, Problems, vocabulary_of
from hal_ros.datasets.pool import in_order
from hal_ros.outside.progress import PRINT, tracked


class Ingested(NamedTuple):
    """One bag's episode in the cache."""

    name: str
    cached: Path


class Built(NamedTuple):
    """A plan that was carried out."""

    plan: Plan
    episodes: tuple[Ingested, ...]


def build(plan: Plan, report: Report = PRINT) -> Built | Problems:
    """Ingest all bags, then put their episodes in place; with a problem nothing in the dataset is changed.

    The settings are written where there are none. Raises DatasetError when the folder can't be written.
    """
    card = draft_card(plan.data, vocabulary_of(plan))
    for name, bag in plan.bags.items():
        dataset_folder.check_place(bag, plan.out / plan.splits[name] / name, plan.out)
    with dataset_folder.staging(plan.out) as place:
        made = {
            name: dataset_folder.place_episode(
                bag, plan.transcripts[name], place / plan.splits[name], plan.copy, plan.marks.get(name)
            )
            for name, bag in plan.bags.items()
        }
        job = partial(_ingest_one, card=card, topics=asked_topics(plan.data), cache=Path(plan.data.cache))
        done = in_order(job, list(made.values()), plan.data.processes)
        results = list(tracked(done, "bags read", len(made), report))
        if problems := [result for result in results if isinstance(result, str)]:
            return Problems(plan.out, tuple(dict.fromkeys(problems)))
        if not plan.config.exists():
            written = place / CONFIG_NAME
            name, candidates = plan.out.resolve().name, {one.topic: one for one in plan.found.candidates}
            written.write_text(settings_text(name, plan.data, candidates), encoding="utf-8")
            written.rename(plan.config)
        dataset_folder.put_in_place(made, plan.out)
    return Built(plan, tuple(result for result in results if isinstance(result, Ingested)))


def _ingest_one(episode: Path, card: ModelCard, topics: AskedTopics, cache: Path) -> Ingested | str:
    """Return a bag's episode, or the problem that it gave, or that what is told of it gave."""
    try:
        cached = episodes.cached(episode, card, topics, cache / episode.parent.name)
        read_told(episode, episodes.load(cached), card.vocabulary)
        return Ingested(episode.name, cached)
    except HalError as error:
        return str(error).replace(str(episode), f"bag {episode.name}")
