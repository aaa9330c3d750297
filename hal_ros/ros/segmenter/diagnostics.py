"""What /diagnostics says of the segmenter: one status for the model and one for each of its streams.

They are made from counters, without asking ROS anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from hal_ros.core.streams import counts
from hal_ros.core.streams.spec import StreamSpec

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
CLOCK_DROPS = (
    *(counts.NOT_DUE, counts.REPEATED, counts.BACKWARDS, counts.ZERO, counts.OUTLIER),
    *(counts.OVERWRITTEN, counts.UNPAIRED, counts.DISCARDED),
)
"""Why a message of the clock gave no label. not_due is no fault: the clock is faster than the model's grid."""
DROPS = (counts.REPEATED, counts.ZERO, counts.LATE, counts.OVERFLOWED, counts.FLOODED, counts.LOST)
"""Why a message of another stream was not used, or not for the tick that it was for."""
TOLD_OTHERWISE = (counts.UNREADABLE, counts.UNNAMED, counts.MISSING, counts.STALE, counts.OVERWRITTEN, counts.UNPAIRED)
"""Faults of a stream that need more words than those of the table."""
FAULTS = [
    name
    for name, one in counts.TABLE.items()
    if one.severity and one.unit in ("message", "tick") and name not in (*TOLD_OTHERWISE, counts.SKIPPED)
]
"""The others, the gravest first, as they are judged everywhere."""
LOST_HINT = (
    "images are lost on the way: on one machine, start both processes with FASTDDS_DEFAULT_PROFILES_FILE set to this "
    "package's config/fastdds.xml"
)
PICTURES, MESSAGES = "images", "messages"


@dataclass(frozen=True)
class StreamSnapshot:
    """What the node knows of one stream beside its counters."""

    topics: tuple[str, ...] = ()
    age_s: float | None = None  # of its newest message; None: none came since activation
    problem: str = ""  # why its messages can't be read
    qos_error: str = ""  # what a publisher offers that does not fit
    image_error: str = ""  # why its newest picture could not be converted
    size_px: tuple[int, int] | None = None  # of its newest picture
    names_seen: frozenset[str] = frozenset()  # of a message that named nothing that the model knows
    names_unseen: tuple[str, ...] = ()  # of the model, that no message has brought yet
    malformed: str = ""  # what was wrong with the newest message that could not be taken
    source: Callable[[], str] = str  # says who publishes; asked only when nothing comes


@dataclass(frozen=True)
class NodeSnapshot:
    """What the node knows when a report is due. Counters run since activation; times are in seconds."""

    state: str  # lifecycle state
    period_s: float  # since the last report
    active_s: float  # since activation
    counters: Counter[str] = field(default_factory=Counter)
    before: Counter[str] = field(default_factory=Counter)  # the counters of the last report
    earlier: Counter[str] = field(default_factory=Counter)  # and those of some seconds ago, or of the activation
    earlier_s: float = 0.0  # how long ago that was
    unanswered_s: float = 0.0  # since the last label, or activation
    stale: bool = False  # the clock fell silent, and what was open is closed
    namesake: bool = False  # another node has this one's name
    streams: Mapping[str, StreamSnapshot] = field(default_factory=dict)
    failure: str = ""  # why the node is not active
    facts: Mapping[str, str] = field(default_factory=dict)  # of bundle and backend
    stages_ms: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)

    def new(self, name: str) -> int:
        """How much a counter rose since the last report."""
        return self.counters[name] - self.before[name]

    def rate_hz(self, name: str) -> float:
        """How fast a counter rises."""
        return self.new(name) / self.period_s

    def recent(self, name: str) -> int:
        """How much a counter rose in the last seconds, so that what comes now and then is not forgotten meanwhile."""
        return self.counters[name] - self.earlier[name]

    @property
    def recent_restarts(self) -> int:
        """How often the grid began anew for no reason but its stamps."""
        explained = (counts.SILENCES, counts.RESETS)
        first = bool(self.counters[counts.RESTARTS] and not self.earlier[counts.RESTARTS])
        return max(0, self.recent(counts.RESTARTS) - sum(map(self.recent, explained)) - first)


@dataclass(frozen=True)
class Silence:
    """When silence becomes a warning."""

    image_timeout_s: float
    joint_timeout_s: float


def report(
    name: str, snapshot: NodeSnapshot, model: tuple[str, StreamSpec] | None, silence: Silence
) -> list[DiagnosticStatus]:
    """Return the status `<name>: model`, and `<name>: <stream>` for each; `model` is the configured one, by name.

    Until one is configured, the hardware is the node itself.
    """
    hardware, spec = model if model is not None else (name, StreamSpec(""))
    parts = {"model": (_judge_model(snapshot, spec, silence), _model_values(snapshot, spec))}
    for stream in spec.names:
        judged = _Stream(stream, spec, snapshot, silence)
        parts[stream] = judged.judge(), judged.values()
    return [
        DiagnosticStatus(
            level=level,
            name=f"{name}: {part}",
            message=message,
            hardware_id=hardware,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        for part, ((level, message), values) in parts.items()
    ]


def _judge_model(now: NodeSnapshot, spec: StreamSpec, silence: Silence) -> tuple[bytes, str]:
    """Return level and sentence: the first of what is wrong, from the worst on."""
    if now.failure:
        return ERROR, now.failure
    if now.state == "active" and (fault := next(_model_faults(now, spec, silence), "")):
        return WARN, fault
    if now.namesake:
        return WARN, f"{now.state}; another node has this one's name: their topics and parameters are mixed up"
    return OK, f"{now.rate_hz(counts.LABELS):.1f} labels per second" if now.state == "active" else now.state


def _model_faults(now: NodeSnapshot, spec: StreamSpec, silence: Silence) -> Iterator[str]:
    what = _what(spec.clock, spec)
    if now.stale:
        yield f"stale: no tick for {now.unanswered_s:.1f} s, the last segment is closed"
    if overwritten := now.new(counts.OVERWRITTEN):
        yield f"too slow: {overwritten} due {what} were overwritten in {now.period_s:.1f} s"
    limit_s = silence.image_timeout_s if spec.clock in spec.cameras else silence.joint_timeout_s
    unanswered = now.unanswered_s > limit_s
    if now.recent(counts.UNPAIRED) > 0 and (unanswered or not now.recent(counts.LABELS)):
        waiting = now.recent(counts.UNPAIRED)
        yield f"no answers: message_filters has found no partners for {waiting} {what} in {now.earlier_s:.1f} s"
    if restarts := now.recent_restarts:
        slow = counts.slow_clock(spec, _clock_rate_hz(now, spec))
        yield f"the tick grid began anew {restarts} times in {now.earlier_s:.1f} s: {slow}; segments end there"
    if unanswered and now.recent(counts.key(spec.clock, counts.RECEIVED)):
        yield f"no label for {now.unanswered_s:.1f} s, though {what} of {spec.clock} come: see its own status"
    if overruns := now.new(counts.OVERRUNS):
        yield counts.sentence(counts.OVERRUNS, overruns)


def _clock_rate_hz(now: NodeSnapshot, spec: StreamSpec) -> float:
    return now.recent(counts.key(spec.clock, counts.RECEIVED)) / now.earlier_s if now.earlier_s else 0.0


def _model_values(now: NodeSnapshot, spec: StreamSpec) -> dict[str, str]:
    values = {"state": now.state, **now.facts}
    shown = counts.LABELS, counts.BOUNDARIES, counts.HELD, counts.RESTARTS, counts.OVERRUNS, counts.SILENCES
    values |= {name: str(now.counters[name]) for name in shown}
    values["stale"] = str(now.stale).lower()
    values["label_rate_hz"] = f"{now.rate_hz(counts.LABELS):.2f}"
    if spec.names and now.counters[counts.DUE]:
        values["standing_on"] = ", ".join(_standing(now, spec)) or "nothing"
    for stage, percentiles in now.stages_ms.items():
        for name, value in zip(("p50", "p95", "p99"), percentiles, strict=True):
            values[f"{stage}_{name}_ms"] = f"{value:.2f}"
    return values


def _standing(now: NodeSnapshot, spec: StreamSpec) -> list[str]:
    """Return the streams that went into ticks since the last report or, where none was due, in the last seconds."""
    count = now.new if now.new(counts.DUE) else now.recent
    due = count(counts.DUE)
    return [
        name for name in spec.names if due and (name == spec.clock or count(counts.key(name, counts.MISSING)) < due)
    ]


def _what(stream: str, spec: StreamSpec) -> str:
    return PICTURES if stream in spec.cameras else MESSAGES


class _Stream:
    """One stream at the time of a report."""

    def __init__(self, name: str, spec: StreamSpec, now: NodeSnapshot, silence: Silence) -> None:
        self.name, self.spec, self.now = name, spec, now
        self.one = now.streams.get(name, StreamSnapshot())
        self.camera = spec.cameras.get(name)
        self.what = _what(name, spec)
        self.timeout_s = silence.joint_timeout_s if self.camera is None else silence.image_timeout_s

    def judge(self) -> tuple[bytes, str]:
        """Return level and sentence: the first of what is wrong, from the worst on."""
        now, one = self.now, self.one
        if now.state != "active":
            return OK, now.state
        if one.image_error or self.new(counts.UNREADABLE):
            return ERROR, one.image_error or f"{self.new(counts.UNREADABLE)} images could not be converted"
        fault = next(iter(self._faults()), "")
        if fault:
            return WARN, fault
        if one.age_s is None:
            return OK, f"waiting for the first of its {self.what}"
        return OK, f"{self.rate_hz():.1f} {self.what} per second"

    def _faults(self) -> Iterable[str]:
        now, one = self.now, self.one
        where = " and ".join(one.topics)
        if one.problem:
            yield f"{one.problem}{self._alone()}"
        if one.qos_error and one.age_s is None:
            yield f"{one.qos_error}{self._alone()}"
        silent_s = now.active_s if one.age_s is None else one.age_s
        if silent_s > self.timeout_s:
            since = "since activation" if one.age_s is None else f"for {silent_s:.1f} s"
            yield f"no {self.what[:-1]} on {where} {since}; {one.source()}{self._alone()}"
        if self.new(counts.UNNAMED) and not self.new(counts.RECEIVED):
            expected = ", ".join(self.spec.states[self.name].names)
            seen = ", ".join(sorted(one.names_seen)) or "nothing"
            yield f"{where}: joint states name {seen}; the model expects {expected}{self._alone()}"
        for cause in FAULTS:
            if count := self.new(cause):
                yield f"{counts.sentence(cause, count, self.what[:-1])} in {now.period_s:.1f} s{self._more(cause)}"
        missing = self.new(counts.MISSING)
        if missing and one.age_s is not None:  # what never came is waited for, and its silence then says more
            yield f"{missing} ticks without {self.what} of the last {self._max_age_s():g} s on {where}{self._alone()}"
        if one.names_unseen and silent_s <= self.timeout_s < now.active_s:
            yield f"no message has brought {', '.join(one.names_unseen)} yet"

    def _more(self, cause: str) -> str:
        """Say what else is known of a fault."""
        if cause == counts.LOST and self.camera is not None:
            return f"; {LOST_HINT}"
        return f": {self.one.malformed}" if cause == counts.MALFORMED and self.one.malformed else ""

    def _alone(self) -> str:
        """Say what the answers stand on without this stream."""
        if self.now.recent(counts.UNPAIRED) > 0 and not self.now.new(counts.DUE):
            return "; no answers without it, as message_filters waits for it"
        if self.name == self.spec.clock:
            return "; no answers without it, as it makes the ticks"
        others = [name for name in _standing(self.now, self.spec) if name != self.name]
        *first, last = others or [""]
        return f"; running on {' and '.join(filter(None, (', '.join(first), last)))} alone" if last else ""

    def _max_age_s(self) -> float:
        return self.spec.states[self.name].max_age_s if self.camera is None else self.camera.max_age_s

    def new(self, cause: str) -> int:
        """How much a cause rose since the last report; of the clock's stamps the grid keeps count."""
        plain = self.name == self.spec.clock and self.camera is not None and cause in CLOCK_DROPS
        return self.now.new(cause if plain else counts.key(self.name, cause))

    def rate_hz(self) -> float:
        """Return its messages per second."""
        return self.now.rate_hz(counts.key(self.name, counts.RECEIVED))

    def values(self) -> dict[str, str]:
        """Return all that is counted of it."""
        found = counts.of_stream(self.now.counters, self.name)
        values = {self.what: str(found[counts.RECEIVED]), f"{self.what[:-1]}_rate_hz": f"{self.rate_hz():.2f}"}
        values["topics"] = " ".join(self.one.topics)
        drops = {cause: found[cause] for cause in DROPS}
        if self.name == self.spec.clock:
            drops |= {cause: drops.get(cause, 0) + self.now.counters[cause] for cause in CLOCK_DROPS}
        others = [counts.MALFORMED, counts.MISSING, counts.STALE]
        others += [counts.PARTIAL, counts.UNNAMED, counts.REFUSED] if self.camera is None else []
        if self.camera is not None:
            drops[counts.UNREADABLE] = found[counts.UNREADABLE]
        if self.one.size_px is not None:
            values["image_size_px"] = "{}x{}".format(*self.one.size_px)
        values |= {f"dropped_{cause}": str(count) for cause, count in drops.items()}
        return values | {cause: str(found[cause]) for cause in others}
