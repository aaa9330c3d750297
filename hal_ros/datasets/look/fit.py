"""Whether the streams of a dataset are in a user's bags as the settings say: problems, and what is only told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hal_ros.bags.inputs import AskedTopics, BagInputs, find_inputs, listed, transport_base
from hal_ros.core.errors import HalError
from hal_ros.core.streams.spec import JOINT_STATE, StreamSpec
from hal_ros.datasets.look.topics import NO_STAMP, BagLook

DATASET = "the dataset"
MOST_SKEW_S = 0.1
SOME = 0.05  # of a topic's messages; fewer without a stamp are counted, and no more
MOST_NAMED = 3  # bags in one line


@dataclass(frozen=True)
class Contents:
    """Where the streams lie in a bag, and what a look at it saw."""

    inputs: BagInputs
    look: BagLook

    def messages(self, stream: str) -> int:
        """How many messages were seen of a stream."""
        return sum(self.look[topic].messages for topic in self.inputs.topics[stream] if topic in self.look)

    def joints(self, stream: str) -> tuple[str, ...]:
        """Return the joints that are named on a stream's topics."""
        looks = [self.look[topic] for topic in self.inputs.topics[stream] if topic in self.look]
        return tuple(dict.fromkeys(joint for look in looks for joint in look.joints))

    def skew_s(self, stream: str) -> float | None:
        """Return by how much the messages of a stream are received after their stamps."""
        skews = [self.look[topic].skew_s for topic in self.inputs.topics[stream] if topic in self.look]
        return next((skew for skew in skews if skew is not None), None)


def fit(path: Path, look: BagLook, spec: StreamSpec, asked: AskedTopics) -> Contents | str:
    """Return a bag's contents, or the problem because of which it can't serve."""
    try:
        found = Contents(find_inputs(path, spec, DATASET, asked), look)
    except HalError as error:
        return about(path, str(error))
    for stream, camera in spec.cameras.items():
        for topic in found.inputs.topics[stream]:
            width, height = look[topic].size_px
            if not isinstance(camera.crop, str) and width and not _lies_in(camera.crop, width, height):
                crop = f"crop {list(camera.crop)} does not lie in the pictures of {topic}"
                return f"{path}: {stream}: {crop}, which have {width}x{height} pixels; expected x, y, width, height"
    for stream, state in spec.states.items():
        named, topics = found.joints(stream), listed(found.inputs.topics[stream])
        if state.names and found.messages(stream) and not set(state.names) & set(named):
            if any(look[topic].fault for topic in found.inputs.topics[stream]):
                return f"{path}: {stream}: {topics} ({JOINT_STATE}): {NO_STAMP}; expected header.stamp to be set"
            given = f"{stream}: {topics} ({JOINT_STATE}) names {', '.join(named) or 'no joint'}"
            return f"{path}: {given}; expected some of {', '.join(state.names)}"
    return found


def _lies_in(crop: tuple[int, ...], width: int, height: int) -> bool:
    x, y, wide, high = crop
    return x + wide <= width and y + high <= height


def about(path: Path, text: str) -> str:
    """Return a line that names the bag."""
    return text if str(path) in text else f"{path}: {text}"


# --- all bags together ------------------------------------------------------------------------------------------------


def unreadable(contents: Mapping[str, Contents], spec: StreamSpec) -> Iterator[str]:
    """Yield a line for each topic that is there and can't be read as the settings say, with the bags in which it is."""
    told: dict[str, list[str]] = {}
    for bag, found in contents.items():
        for line in found.inputs.problems:
            if _is_there(found, spec, line.partition(":")[0]):
                told.setdefault(line, []).append(bag)
    for line, bags in told.items():
        yield f"{_named(bags)}: {line}"


def nowhere(contents: Mapping[str, Contents], spec: StreamSpec) -> Iterator[str]:
    """Yield a line for each stream that no bag has."""
    for stream in spec.names if contents else ():
        if not any(_has(found, stream) or _is_there(found, spec, stream) for found in contents.values()):
            topics = {topic for found in contents.values() for topic in found.inputs.type_names}
            yield f"{stream}: no bag has {_wanted(spec, stream)}; they have {listed(topics)}"


def stream_warnings(contents: Mapping[str, Contents], spec: StreamSpec) -> Iterator[str]:
    """Yield what a user should know: streams and joints that some bags lack, types that change, stamps that are odd."""
    for stream in spec.names:
        lacking = [bag for bag, found in contents.items() if not _has(found, stream)]
        if lacking:
            share = f"{len(contents) - len(lacking)} of {len(contents)} bags"
            yield f"{stream}: {_wanted(spec, stream)} has messages in {share} only; not in {_named(lacking)}"
    for stream, state in spec.states.items():
        for bag, found in contents.items():
            absent = [joint for joint in state.names if joint not in found.joints(stream)]
            if absent and _has(found, stream):
                yield f"{bag}: {stream} has no joint {', '.join(absent)}"
    yield from _changed_types(contents, spec)
    yield from _unstamped(contents, spec)
    yield from _odd_stamps(contents, spec)


def _changed_types(contents: Mapping[str, Contents], spec: StreamSpec) -> Iterator[str]:
    for stream in spec.names:
        for bag, found in contents.items():
            for topic in found.inputs.topics[stream]:
                types, taken = found.look[topic].types, found.inputs.type_names[topic]
                others = [f"{count} of {name}" for name, count in types.items() if name != taken]
                if others:
                    yield f"{bag}: {stream}: {topic} changes its type: {', '.join(others)}; expected {taken} alone"


def _unstamped(contents: Mapping[str, Contents], spec: StreamSpec) -> Iterator[str]:
    for stream in spec.names:
        seen = ((bag, topic, c.look[topic]) for bag, c in contents.items() for topic in c.inputs.topics[stream])
        looks = [one for one in seen if one[2].unstamped or one[2].zero > SOME * one[2].messages]
        if looks:
            joints = sorted({joint for _, _, look in looks for joint in look.unstamped})
            whose = f", all of {', '.join(joints)}" if joints else ""
            topics, bags = (
                listed({topic for _, topic, _ in looks}),
                _named(list(dict.fromkeys(bag for bag, _, _ in looks))),
            )
            yield f"{stream}: messages on {topics} have no stamp{whose}, in {bags}; expected header.stamp to be set"


def _odd_stamps(contents: Mapping[str, Contents], spec: StreamSpec) -> Iterator[str]:
    """Compare, in each bag, receipt minus stamp of the streams with that in their middle."""
    odd: dict[tuple[str, str], dict[str, float]] = {}
    for bag, found in contents.items():
        skews = {stream: skew for stream in spec.names if (skew := found.skew_s(stream)) is not None}
        middle = _middle(list(skews.values()), skews.get(spec.clock))
        for stream, skew in skews.items():
            if abs(skew - middle) > MOST_SKEW_S:
                way = "behind" if skew > middle else "ahead of"
                odd.setdefault((stream, way), {})[bag] = abs(skew - middle)
    for (stream, way), by_bag in odd.items():
        topics = listed({topic for bag in by_bag for topic in contents[bag].inputs.topics[stream]})
        most = max(by_bag.values())
        where = f"in {len(by_bag)} of {len(contents)} bags" if len(contents) > 1 else f"in {_named(list(by_bag))}"
        yield (
            f"{stream}: stamps of {topics} are up to {most:.2f} s {way} the other streams', by the time of receipt, "
            f"{where}; expected at most {MOST_SKEW_S:g} s: do all machines and drivers have one clock?"
        )


def _middle(values: Sequence[float], clock: float | None) -> float:
    """Return the middle one; of two in the middle the one that is nearer to the clock's."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    two = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return two[0] if clock is None else min(two, key=lambda value: abs(value - clock))


def _has(found: Contents, stream: str) -> bool:
    return found.messages(stream) > 0


def _is_there(found: Contents, spec: StreamSpec, stream: str) -> bool:
    """Whether a bag has a topic that the settings name for a stream, whatever it carries."""
    one = spec.cameras.get(stream) or spec.states.get(stream)
    topics = {transport_base(topic) for topic in found.inputs.type_names}
    return one is not None and any(transport_base(topic) in topics for topic in one.topic)


def _wanted(spec: StreamSpec, stream: str) -> str:
    camera = spec.cameras.get(stream)
    if camera is not None:
        return f"{' or '.join(camera.topic) or 'a topic'} (images)"
    state = spec.states[stream]
    return f"{' or '.join(state.topic) or 'a topic'} ({JOINT_STATE if state.names else state.type or 'any type'})"


def _named(bags: Sequence[str]) -> str:
    shown = ", ".join(bags[:MOST_NAMED])
    return shown if len(bags) <= MOST_NAMED else f"{shown} and {len(bags) - MOST_NAMED} more"
