"""What a user is told when bags have become episodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from hal_ros.bags.sensors import SensorTopics
from hal_ros.datasets import episodes
from hal_ros.datasets import folder as dataset_folder
from hal_ros.datasets.build import Built, Ingested
from hal_ros.datasets.config import VALIDATION
from hal_ros.datasets.plan import Plan, vocabulary_of


def summary(built: Built) -> Iterator[str]:
    """Yield lines on the topics taken, each bag's faults, what the dataset holds now, and what to do next."""
    plan, done = built
    for kind in SensorTopics._fields:
        taken = Counter(getattr(found.topics, kind) or "none" for found in plan.contents.values())
        yield f"{kind}: " + ", ".join(f"{topic} in {_count(count, 'bag')}" for topic, count in sorted(taken.items()))
    yield from _about_joints(plan)
    yield from _about_bags(done)
    for split in sorted({path.parent.name for path in dataset_folder.episodes_in(plan.out).values()}):
        there = len(dataset_folder.transcripts_in(plan.out, split))
        came = [result for result in done if plan.splits[result.name] == split]
        yield f"{plan.out / split}: {_count(there, 'episode')}, {len(came)} of this call{_ticks(came)}"
    vocabulary = vocabulary_of(plan)
    yield f"{_count(len(vocabulary), 'action')}: {', '.join(vocabulary)}"
    if not (plan.out / VALIDATION).exists():
        lacking = f"has no {VALIDATION} episode yet, which `hal train` needs"
        yield f"{plan.out}: {lacking}: ingest some with --split validation"
    yield f"next: hal train {plan.config}"


def _about_joints(plan: Plan) -> Iterator[str]:
    yield f"joints of the model: {', '.join(plan.data.joints)}"
    named = {joint for found in plan.contents.values() for joint in found.joint_names}
    ignored = sorted(named - set(plan.data.joints))
    if ignored:
        yield f"joints left out: {', '.join(ignored)}"
    for name, found in plan.contents.items():
        absent = [joint for joint in plan.data.joints if joint not in found.joint_names]
        if absent:
            yield f"{name}: has no joint {', '.join(absent)}"


def _about_bags(done: Collection[Ingested]) -> Iterator[str]:
    divided = []
    for name, cached in done:
        episode = episodes.load(cached)
        if found := episodes.faults(episode.counters):
            yield f"{name}: {found}"
        divided += [name] * (int(episode.fresh.sum()) > 1)
    if divided:
        yield f"{', '.join(divided)}: in parts with a tick grid each, which are trained on without a transcript"


def _ticks(came: Collection[Ingested]) -> str:
    loaded = [episodes.load(result.cached) for result in came]
    ticks, held = sum(len(episode.held) for episode in loaded), sum(int(episode.held.sum()) for episode in loaded)
    return f": {ticks} ticks, {held} of them held" if loaded else ""


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
