"""What ingested episodes show of their streams: one comes late, stops or never counts, or ticks have no news."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hal_ros.bags.inputs import IMAGES, listed
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.datasets.episodes import Episode, restarts
from hal_ros.datasets.look.fit import Contents

LONG_S = 1.0
"""So long a stream may be away at either end of a bag before that is told."""
MOST_HELD = 0.2
ROUND_RATES = (0.1, 0.2, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 24, 25, 30, 40, 50, 60, 90, 100)


def gaps(bag: str, episode: Episode, spec: StreamSpec, contents: Contents) -> Iterator[str]:
    """Yield a line for each stream that comes late in a bag, stops before its end, or has no value at any tick."""
    seconds = (episode.stamp_ns - episode.stamp_ns[0]) / 1e9
    for stream, valid in _valid(episode, spec).items():
        if not contents.messages(stream):
            continue  # the bag has none: that is told for all bags together
        topics = contents.inputs.topics[stream]
        kinds = {contents.inputs.type_names[topic] for topic in topics} or set(IMAGES)
        head = f"{bag}: {stream} ({listed(topics)}, {listed(kinds)})"
        max_age_s = (spec.cameras.get(stream) or spec.states[stream]).max_age_s
        ticks = np.flatnonzero(valid)
        if not len(ticks):
            fields = spec.states[stream].fields if stream in spec.states else ()
            entries = [field for field in fields if "[" in field]  # that an array may be too short to have
            filled = f", with {listed(entries)}" if entries else ""
            expected = f"expected one at most {max_age_s:g} s older than the clock's stamp{filled}"
            yield f"{head} has no value at any tick; {expected}"
            continue
        if seconds[ticks[0]] > LONG_S:
            yield f"{head} comes after {seconds[ticks[0]]:.1f} s; expected from the first tick on"
        if seconds[-1] - seconds[ticks[-1]] > LONG_S + max_age_s:
            yield f"{head} stops {seconds[-1] - seconds[ticks[-1]]:.1f} s before the end; expected to the last tick"


def never_known(episodes: Sequence[Episode], spec: StreamSpec) -> Iterator[str]:
    """Yield a line for each state of which some values, of joints that are known, are so at no tick of any episode."""
    known = (
        np.concatenate(
            [episode.joints_valid for episode in episodes] or [np.zeros((1, spec.value_count), np.float32)]
        ).max(0)
        > 0
    )
    for stream in spec.states:
        columns = spec.columns(stream)
        seen = dict(zip(spec.values[columns], known[columns].tolist(), strict=True))
        named = {value.name for value, is_known in seen.items() if is_known}  # of the others no bag says anything
        lacking = [value for value, is_known in seen.items() if not is_known and value.name in named]
        fields = Counter(value.field for value in lacking)
        whole = [field for field, count in fields.items() if count == len(named)]
        rest = [f"{value.field} of {value.name}" for value in lacking if value.field not in whole]
        if lacking:
            told = ", ".join([*whole, *rest])
            yield f"{stream}: no bag gives {told}; expected in its fields only what the robot tells"


def _valid(episode: Episode, spec: StreamSpec) -> dict[str, NDArray[np.bool_]]:
    """Return for each stream at which ticks (T,) it has some value."""
    valid: dict[str, NDArray[np.bool_]] = {}
    for index, name in enumerate(spec.cameras):
        valid[name] = np.asarray(episode.image_valid[:, index] > 0)
    for name in spec.states:
        valid[name] = np.asarray((episode.joints_valid[:, spec.columns(name)] > 0).any(1))
    return valid


def held_too_often(episodes: Sequence[Episode], spec: StreamSpec) -> str:
    """Say that too many ticks have no news from the clock, and which rate would do; "" where they have."""
    ticks = sum(len(episode.held) for episode in episodes)
    held = sum(int(episode.held.sum()) for episode in episodes)
    again = sum(restarts(episode.counters) for episode in episodes)
    if held <= MOST_HELD * ticks and again <= MOST_HELD * (ticks - held):
        return ""
    steps = np.concatenate([np.diff(episode.stamp_ns[~episode.held]) for episode in episodes])
    steps = steps[steps > 0]
    rate_hz = 1e9 / float(np.median(steps)) if len(steps) else spec.rate_hz
    share = f"{held / ticks:.0%} of the ticks are held" if held else f"the tick grid begins anew {again} times"
    proposed, gaps = _round(rate_hz), ""
    if proposed >= spec.rate_hz:
        proposed, gaps = _round(spec.rate_hz * (1 - held / ticks)), ", with gaps"
    return (
        f"{share}, as {spec.clock} comes at about {rate_hz:.3g} Hz{gaps}; expected at most {MOST_HELD:.0%} at "
        f"{spec.rate_hz:g} ticks per second: set data.rate_hz: {proposed:g}"
    )


def _round(rate_hz: float) -> float:
    """Return the largest round rate that a clock of this rate keeps up with."""
    return max((each for each in ROUND_RATES if each <= 1.02 * rate_hz), default=ROUND_RATES[0])
