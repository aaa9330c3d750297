"""What a user is told when bags have become episodes."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from hal_ros.datasets import episodes
from hal_ros.datasets import folder as dataset_folder
from hal_ros.datasets.build import Built, Ingested
from hal_ros.datasets.config import VALIDATION
from hal_ros.datasets.look.health import gaps, held_too_often, never_known
from hal_ros.datasets.look.listing import listing
from hal_ros.datasets.plan import Plan, vocabulary_of


def summary(built: Built) -> Iterator[str]:
    """Yield lines on all topics, on those taken, each bag's faults, what the dataset holds, and what to do next."""
    plan, done = built
    yield from listing(plan.found.candidates, plan.contents, plan.streams, plan.found.reasons)
    yield from _about_states(plan)
    yield from (f"warning: {line}" for line in (*plan.found.warnings, *_about_ticks(built)))
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


def _about_states(plan: Plan) -> Iterator[str]:
    """Yield each state's joints or fields, and the joints that are left out since some bags lack them."""
    for stream, state in plan.streams.states.items():
        yield f"{stream}: {', '.join((*state.names, *(() if state.names else state.fields)))}"
        named = {joint for found in plan.contents.values() for joint in found.joints(stream)}
        taken = {joint for other in plan.streams.states.values() for joint in other.names}
        if state.names and named - taken:
            yield f"{stream}: leaves out {', '.join(sorted(named - taken))}"


def _about_ticks(built: Built) -> Iterator[str]:
    plan, done = built
    loaded = [(name, episodes.load(cached)) for name, cached in done]
    for name, episode in loaded:
        yield from gaps(name, episode, plan.streams, plan.contents[name])
    yield from never_known([episode for _, episode in loaded], plan.streams)
    if line := held_too_often([episode for _, episode in loaded], plan.streams):
        yield f"{line} in {plan.config} and call `hal ingest` again"


def _about_bags(done: Collection[Ingested]) -> Iterator[str]:
    divided = []
    for name, cached in done:
        episode = episodes.load(cached)
        if found := "; ".join(filter(None, (episodes.faults(episode.counters), *episode.remarks))):
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
