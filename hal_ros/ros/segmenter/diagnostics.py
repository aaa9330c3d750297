"""What /diagnostics says of the segmenter: one status for the model and one for each of its streams.

They are made from counters, without asking ROS anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from hal_ros.core.streams import counts
from hal_ros.core.streams.spec import StreamSpec

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
CLOCK_DROPS = ("not_due", "repeated", "backwards", "zero", "overwritten", "unpaired", "discarded")
"""Why a message of the clock gave no label. not_due is no fault: the clock is faster than the model's grid."""
DROPS = (counts.REPEATED, counts.ZERO, counts.LATE, counts.OVERFLOWED, "lost")
"""Why a message of another stream was not used, or not for the tick that it was for."""
WORDS = {
    "zero": "without a stamp",
    "repeated": "with the stamp of the one before",
    "backwards": "with a stamp before the newest",
    "lost": "lost on the way",
    "malformed": "malformed",
    "refused": "refused, as they name a joint twice",
}
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
    source: Callable[[], str] = str  # says who publishes; asked only when nothing comes


@dataclass(frozen=True)
class NodeSnapshot:
    """What the node knows when a report is due. Counters run since activation; times are in seconds."""

    state: str  # lifecycle state
    period_s: float  # since the last report
    active_s: float  # since activation
    counters: Counter[str] = field(default_factory=Counter)
    before: Counter[str] = field(default_factory=Counter)  # the counters of the last report
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


@dataclass(frozen=True)
class Silence:
    """When silence becomes a warning."""

    image_timeout_s: float
    joint_timeout_s: float


def report(
    name: str, snapshot: NodeSnapshot, model: tuple[str, StreamSpec] | None, silence: Silence
) -> list[DiagnosticStatus]:
    """Return the status `<name>: model`, and `<name>: <stream>` for each; `model` is the configured one, by name."""
    hardware, spec = model if model is not None else ("", StreamSpec(""))
    parts = {"model": (_judge_model(snapshot, spec), _model_values(snapshot, spec))}
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


def _judge_model(now: NodeSnapshot, spec: StreamSpec) -> tuple[bytes, str]:
    if now.failure:
        return ERROR, now.failure
    if now.state != "active":
        return OK, now.state
    if overwritten := now.new("overwritten"):
        return WARN, f"too slow: {overwritten} due {_what(spec.clock, spec)} were overwritten in {now.period_s:.1f} s"
    return OK, f"{now.rate_hz('labels'):.1f} labels per second"


def _model_values(now: NodeSnapshot, spec: StreamSpec) -> dict[str, str]:
    values = {"state": now.state, **now.facts}
    values |= {name: str(now.counters[name]) for name in ("labels", "boundaries", "held_ticks", "restarts", "overruns")}
    values["label_rate_hz"] = f"{now.rate_hz('labels'):.2f}"
    if spec.names and now.counters["due"]:
        values["standing_on"] = ", ".join(_standing(now, spec)) or "nothing"
    for stage, percentiles in now.stages_ms.items():
        for name, value in zip(("p50", "p95", "p99"), percentiles, strict=True):
            values[f"{stage}_{name}_ms"] = f"{value:.2f}"
    return values


def _standing(now: NodeSnapshot, spec: StreamSpec) -> list[str]:
    """Return the streams that went into ticks since the last report, or ever where reports outrun the ticks."""
    count = now.new if now.new("due") or now.period_s * spec.rate_hz > 2 else now.counters.__getitem__
    due = count("due")
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
        for cause, words in WORDS.items():
            if count := self.new(cause):
                yield f"{count} {self.what} {words} in {now.period_s:.1f} s"
        missing = self.new(counts.MISSING)
        if missing and one.age_s is not None:  # what never came is waited for, and its silence then says more
            yield f"{missing} ticks without {self.what} of the last {self._max_age_s():g} s on {where}{self._alone()}"
        if one.names_unseen and silent_s <= self.timeout_s < now.active_s:
            yield f"no message has brought {', '.join(one.names_unseen)} yet"

    def _alone(self) -> str:
        """Say what the answers stand on without this stream."""
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
