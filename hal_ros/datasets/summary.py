"""What a user is told when bags have become episodes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from hal_ros.datasets import episodes, user_bags
from hal_ros.datasets import folder as dataset_folder
from hal_ros.datasets.build import Built, Ingested
from hal_ros.datasets.config import TRAINING, VALIDATION
from hal_ros.datasets.look.health import gaps, held_too_often, never_known
from hal_ros.datasets.look.listing import listing
from hal_ros.datasets.look.marks import MARKS
from hal_ros.datasets.plan import Plan, vocabulary_of

TOLD = {episodes.ANNOTATION: "annotated", MARKS: "with marks"}
"""What lies beside an episode, in words."""


def summary(built: Built) -> Iterator[str]:
    """Yield lines on all topics, on those taken, each bag's faults, what the dataset holds, and what to do next."""
    plan, done = built
    yield from listing(plan.found.candidates, plan.contents, plan.streams, plan.found.reasons)
    yield from _about_states(plan)
    yield from (f"warning: {line}" for line in (*plan.found.warnings, *_about_ticks(built)))
    yield from _about_bags(done)
    for split, there in _by_split(plan).items():
        came = [result for result in done if plan.splits[result.name] == split]
        counted = f"{_count(len(there), 'episode')}{_told(there)}"
        yield f"{plan.out / split}: {counted}, {len(came)} of this call{_ticks(came)}"
    transcripts = {path.name: episodes.read_transcript(path) for there in _by_split(plan).values() for path in there}
    yield from (f"warning: {line}: one action?" for line in user_bags.likely_slips(transcripts))
    vocabulary = vocabulary_of(plan)
    yield f"{_count(len(vocabulary), 'action')}: {', '.join(vocabulary)}"
    if not (plan.out / VALIDATION).exists():
        lacking = f"has no {VALIDATION} episode yet, which `hal train` needs"
        yield f"{plan.out}: {lacking}: ingest some with --split validation"
    if held_out := sorted({plan.splits[result.name] for result in done} - {TRAINING, VALIDATION}):
        yield f"next: hal evaluate --model BUNDLE --data {plan.out} --splits {' '.join(held_out)} --baselines"
    else:
        yield f"next: hal train {plan.config}"


def _about_states(plan: Plan) -> Iterator[str]:
    """Yield each state's joints or fields, and the joints that are left out since some bags lack them."""
    for stream, state in plan.streams.states.items():
        yield f"{stream}: {', '.join((*state.names, *(() if state.names else state.fields)))}"
        named = {joint for found in plan.contents.values() for joint in found.joints(stream)}
        taken = {joint for other in plan.streams.states.values() for joint in other.names}
        if state.names and named - taken:
            yield f"{stream}: leaves out {', '.join(sorted(named - taken))}"


def _by_split(plan: Plan) -> dict[str, list[Path]]:
    """Return the episodes of the dataset by split, those of earlier calls, too."""
    found: dict[str, list[Path]] = {}
    for path in dataset_folder.episodes_in(plan.out).values():
        found.setdefault(path.parent.name, []).append(path)
    return dict(sorted(found.items()))


def _told(there: Collection[Path]) -> str:
    """Say of how many episodes more is known than a transcript."""
    known = {what: sum((path / file).exists() for path in there) for file, what in TOLD.items()}
    text = ", ".join(f"{count} {what}" for what, count in known.items() if count)
    return f" ({text})" if text else ""


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
