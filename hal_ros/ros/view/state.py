"""What the live view shows: a value, and the tracker that gathers it from messages. No ROS, no terminal, no clock."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

WINDOW_S = 30.0  # how far back the timeline reaches
RATE_WINDOW_S = 3.0
LATENCY_SAMPLES = 300
BOUNDARIES_KEPT = 12


class Mark(NamedTuple):
    """An action that runs from stamp_ns on; '' where there is none."""

    stamp_ns: int
    action: str


class Boundary(NamedTuple):
    """One boundary event as shown; latency_s is its receive time minus the stamp of the new action's first tick."""

    stamp_ns: int
    from_action: str
    to_action: str
    latency_s: float


class LabelSeen(NamedTuple):
    """The fields of one ActionLabel that are shown."""

    stamp_ns: int
    action: str
    confidence: float
    confirmed_stamp_ns: int | None  # None without a confirmed answer
    confirmed_action: str
    confirmed_confidence: float


@dataclass(frozen=True)
class ViewState:
    """All that one frame of the view shows. Stamps are the sensor's, in ns; None where nothing is known yet."""

    title: str = ""
    elapsed_s: float = 0.0
    duration_s: float | None = None
    now_ns: int = 0  # right end of the timeline
    vocabulary: tuple[str, ...] = ()
    action: str = ""
    confidence: float = 0.0
    confirmed_action: str = ""
    confirmed_confidence: float = 0.0
    lag_s: float | None = None
    truth: tuple[Mark, ...] = ()
    provisional: tuple[Mark, ...] = ()
    confirmed: tuple[Mark, ...] = ()
    options: tuple[Mark, ...] = ()  # of a planner, if one runs
    boundaries: tuple[Boundary, ...] = ()  # newest last
    boundary_count: int = 0
    label_count: int = 0
    image_hz: float | None = None
    label_hz: float | None = None
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    real_time_factor: float | None = None
    streams_hz: Mapping[str, float] = field(default_factory=dict)  # messages per second of the model's streams
    dropped: Mapping[str, int] = field(default_factory=dict)  # by cause; empty when nothing was dropped
    backend: str = ""
    notice: str = ""  # one line that needs attention, or what is being waited for


class TimelineRow:
    """One row of the timeline: run-length marks of the last WINDOW_S, and where the row's knowledge ends."""

    def __init__(self) -> None:
        self._marks: deque[Mark] = deque()
        self._end_ns = 0

    def add(self, stamp_ns: int, action: str, gap_ns: int) -> None:
        """Say that `action` runs at stamp_ns; a silence longer than gap_ns before it is shown as one."""
        if self._marks and stamp_ns < self._end_ns:  # time jumped back: another bag, another loop
            self._marks.clear()
        if self._marks and stamp_ns - self._end_ns > gap_ns:
            self._marks.append(Mark(self._end_ns + gap_ns, ""))
        if not self._marks or self._marks[-1].action != action:
            self._marks.append(Mark(stamp_ns, action))
        self._end_ns = stamp_ns
        while len(self._marks) > 1 and self._marks[1].stamp_ns < stamp_ns - round(WINDOW_S * 1e9):
            self._marks.popleft()

    def marks(self) -> tuple[Mark, ...]:
        """Return the marks, closed by one of '' directly after the last known stamp."""
        return (*self._marks, Mark(self._end_ns + 1, "")) if self._marks else ()


class Rate:
    """Events per second over the last RATE_WINDOW_S."""

    def __init__(self) -> None:
        self._receive_ns: deque[int] = deque()

    def add(self, receive_ns: int) -> None:
        """Count one event."""
        self._receive_ns.append(receive_ns)

    def hz(self, now_ns: int) -> float | None:
        """Return the rate; None before two events, 0 when there were none lately."""
        if len(self._receive_ns) < 2:
            return None
        oldest = now_ns - round(RATE_WINDOW_S * 1e9)
        while len(self._receive_ns) > 2 and self._receive_ns[0] < oldest:
            self._receive_ns.popleft()
        if self._receive_ns[-1] < oldest:
            return 0.0
        return (len(self._receive_ns) - 1) / max((self._receive_ns[-1] - self._receive_ns[0]) * 1e-9, 1e-9)


class ViewTracker:
    """Gathers what messages say, in bounded memory, and gives a ViewState at any time."""

    def __init__(self, title: str, duration_s: float | None = None) -> None:
        self.title = title
        self.duration_s = duration_s
        self.vocabulary: tuple[str, ...] = ()
        self.notice = ""
        self.real_time_factor: float | None = None
        self.backend = ""
        self.streams_hz: dict[str, float] = {}
        self.dropped: dict[str, int] = {}
        self.label_count = 0
        self.boundary_count = 0
        self._label: LabelSeen | None = None
        self._truth, self._provisional, self._confirmed = TimelineRow(), TimelineRow(), TimelineRow()
        self._options, self._option = TimelineRow(), ""
        self._images, self._labels = Rate(), Rate()
        self._latency_ms: deque[float] = deque(maxlen=LATENCY_SAMPLES)
        self._boundaries: deque[Boundary] = deque(maxlen=BOUNDARIES_KEPT)
        self._now_ns = 0

    def on_image(self, receive_ns: int) -> None:
        """Count one camera image, as announced by its camera_info."""
        self._images.add(receive_ns)

    def on_truth(self, stamp_ns: int, action: str) -> None:
        """Take one ActionTruth."""
        self._truth.add(stamp_ns, action, gap_ns=1_000_000_000)
        self._move_to(stamp_ns)

    def on_label(self, label: LabelSeen, receive_ns: int) -> None:
        """Take one ActionLabel."""
        self.label_count += 1
        self._label = label
        self._labels.add(receive_ns)
        self._latency_ms.append((receive_ns - label.stamp_ns) * 1e-6)
        self._provisional.add(label.stamp_ns, label.action, gap_ns=1_000_000_000)
        if label.confirmed_stamp_ns is not None:
            self._confirmed.add(label.confirmed_stamp_ns, label.confirmed_action, gap_ns=1_000_000_000)
        self._options.add(label.stamp_ns, self._option, gap_ns=1_000_000_000)
        self._move_to(label.stamp_ns)

    def on_option(self, option: str) -> None:
        """Take one Option of a planner: it runs from the next label on."""
        self._option = option

    def on_boundary(self, stamp_ns: int, from_action: str, to_action: str, receive_ns: int) -> None:
        """Take one BoundaryEvent."""
        self.boundary_count += 1
        self._boundaries.append(Boundary(stamp_ns, from_action, to_action, (receive_ns - stamp_ns) * 1e-9))

    def _move_to(self, stamp_ns: int) -> None:
        went_back = stamp_ns < self._now_ns - 1_000_000_000  # another bag; topics are otherwise a little out of step
        self._now_ns = stamp_ns if went_back else max(self._now_ns, stamp_ns)

    def state(self, elapsed_s: float, receive_ns: int) -> ViewState:
        """Return what is to be shown now; receive_ns is the clock of the on_* calls."""
        label = self._label
        confirmed = label if label is not None and label.confirmed_stamp_ns is not None else None
        lag_ns = confirmed.stamp_ns - (confirmed.confirmed_stamp_ns or 0) if confirmed else None
        return ViewState(
            title=self.title,
            elapsed_s=elapsed_s,
            duration_s=self.duration_s,
            now_ns=self._now_ns,
            vocabulary=self.vocabulary,
            action=label.action if label else "",
            confidence=label.confidence if label else 0.0,
            confirmed_action=confirmed.confirmed_action if confirmed else "",
            confirmed_confidence=confirmed.confirmed_confidence if confirmed else 0.0,
            lag_s=None if lag_ns is None else lag_ns * 1e-9,
            truth=self._truth.marks(),
            provisional=self._provisional.marks(),
            confirmed=self._confirmed.marks(),
            options=self._options.marks() if any(mark.action for mark in self._options.marks()) else (),
            boundaries=tuple(self._boundaries),
            boundary_count=self.boundary_count,
            label_count=self.label_count,
            image_hz=self._images.hz(receive_ns),
            label_hz=self._labels.hz(receive_ns),
            latency_p50_ms=_percentile(self._latency_ms, 0.50),
            latency_p99_ms=_percentile(self._latency_ms, 0.99),
            real_time_factor=self.real_time_factor,
            streams_hz=dict(self.streams_hz),
            dropped=dict(self.dropped),
            backend=self.backend,
            notice=self.notice,
        )


def cells(marks: Sequence[Mark], end_ns: int, window_s: float, count: int) -> list[str]:
    """Return the action at the centre of each of `count` cells that divide the last window_s before end_ns."""
    stamps = [mark.stamp_ns for mark in marks]
    cell_ns = window_s * 1e9 / count
    actions = []
    for cell in range(count):
        centre_ns = end_ns - round((count - cell - 0.5) * cell_ns)
        index = bisect_left(stamps, centre_ns + 1) - 1
        actions.append(marks[index].action if index >= 0 else "")
    return actions


def _percentile(values: Sequence[float], fraction: float) -> float | None:
    ordered = sorted(values)
    return ordered[min(int(fraction * len(ordered)), len(ordered) - 1)] if ordered else None
