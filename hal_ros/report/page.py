"""report.html: one self-contained page about one recording, and the numbers that stand in it.

The page needs no network: style, pictures and charts are inline. What was not recorded (truth, pictures, counters) is
said to be missing, never left out silently.
"""

from __future__ import annotations

import base64
import importlib.resources
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.arrays import ByteArray
from hal_ros.core.printable import printable
from hal_ros.core.segments import Labels
from hal_ros.metrics.predictions import CONFIRMED, PROVISIONAL, OutputStream
from hal_ros.metrics.scores import Truth, score
from hal_ros.metrics.timing import label_churn
from hal_ros.offline.recording import Event, Recording
from hal_ros.report import charts
from hal_ros.report.pictures import label_bars
from hal_ros.report.streams import Pictures, pictures_of, stream_table
from hal_ros.report.timeline import Bar, Timeline, Track, action_colours, inline_svg, stripes

TEMPLATE = "report.html.j2"
MOST_THUMBNAILS = 60
THUMBNAIL_WIDTH_PX = 208
STAMP, RECEIPT = "image stamp", "image received"
TRUTH_MAX_AGE_NS = 200_000_000
BOUNDARY_TOLERANCE_NS = 500_000_000
"""As in the metric at the head of the page."""
LONGEST_PLAUSIBLE_LATENCY_NS = 30_000_000_000
"""Receive time and sensor stamp further apart than this are of two clocks."""


@dataclass(frozen=True)
class Summary:
    """The numbers of one recording. `metrics` is by output, then by name, and empty where no truth was recorded."""

    duration_s: float
    vocabulary: tuple[str, ...]  # the bundle's actions, then those that only the truth names
    truth: Truth | None
    streams: Mapping[str, OutputStream]
    stamps_ns: NDArray[np.int64]  # (T,), of the labels
    latency_from: str  # where latency begins: STAMP, or RECEIPT of the image where the sensor has another clock
    latency_ms: NDArray[np.float64] | None  # (N,) until the label was received; None where neither is known
    metrics: Mapping[str, Mapping[str, float]]
    churn: float  # percent of provisional answers that the confirmed ones changed


class ThumbnailPicture(NamedTuple):
    """What one camera saw."""

    camera: str
    jpeg: str  # base64


class Thumbnail(NamedTuple):
    """One boundary as the page shows it; `right` is None without truth."""

    event: Event
    time_s: float
    wait_s: float  # sensor time from the boundary to its detection
    pictures: tuple[ThumbnailPicture, ...]  # of up to two cameras; () where none is in the recording
    truth: str
    right: bool | None


# --- numbers ----------------------------------------------------------------------------------------------------------


def summarise(recording: Recording) -> Summary:
    """Compare what was said with what was true, at the stamps of the labels."""
    stamps = np.array([answer.stamp_ns for answer in recording.labels], np.int64)
    period_ns = _period_ns(recording, stamps)
    vocabulary = _vocabulary(recording)
    ids = {action: index for index, action in enumerate(vocabulary)}
    latency_from, latency_ns = _latency(recording, stamps)
    emitted = np.array([answer.as_of_ns for answer in recording.labels], np.int64) + np.maximum(latency_ns, 0)
    streams = {
        PROVISIONAL: OutputStream(np.array([ids.get(a.action, NO_ACTION) for a in recording.labels]), emitted, None),
        CONFIRMED: _confirmed(recording, stamps, emitted, ids),
    }
    truth = _truth(recording, stamps, ids)
    metrics = {output: score([truth], [stream], period_ns) for output, stream in streams.items()} if truth else {}
    return Summary(
        duration_s=float(stamps[-1] - stamps[0] + period_ns) / 1e9,
        vocabulary=vocabulary,
        truth=truth,
        streams=streams,
        stamps_ns=stamps,
        latency_from=latency_from,
        latency_ms=latency_ns[latency_ns >= 0] / 1e6 if latency_from else None,
        metrics=metrics,
        churn=label_churn(streams[PROVISIONAL].labels, streams[CONFIRMED].labels),
    )


def _latency(recording: Recording, stamps: NDArray[np.int64]) -> tuple[str, NDArray[np.int64]]:
    """Return where each label's latency begins and how long it was, (T,) in ns; -1 where it is not known.

    Labels that were made offline have none.
    """
    if recording.offline:
        return "", np.full(len(stamps), -1)
    received = np.array([answer.receive_ns for answer in recording.labels], np.int64)
    if 0 <= np.median(received - stamps) <= LONGEST_PLAUSIBLE_LATENCY_NS:
        return STAMP, received - stamps
    images = [recording.images_received_ns.get(int(stamp)) for stamp in stamps]
    found = [int(label) - image if image is not None else -1 for label, image in zip(received, images, strict=True)]
    latency_ns = np.array(found, np.int64)
    return (RECEIPT if np.any(latency_ns >= 0) else ""), latency_ns


def _period_ns(recording: Recording, stamps: NDArray[np.int64]) -> int:
    if recording.rate_hz > 0:
        return round(1e9 / recording.rate_hz)
    return int(np.median(np.diff(stamps))) if len(stamps) > 1 else 100_000_000


def _vocabulary(recording: Recording) -> tuple[str, ...]:
    others = {mark.action for mark in recording.truth} - set(recording.vocabulary) - {""}
    return (*recording.vocabulary, *sorted(others))


def _truth(recording: Recording, stamps: NDArray[np.int64], ids: Mapping[str, int]) -> Truth | None:
    """Return the truth at each label's stamp: the newest mark not after it, unless that is too old."""
    if not recording.truth:
        return None
    marks = sorted(recording.truth)
    times = np.array([mark.stamp_ns for mark in marks], np.int64)
    labels = np.full(len(stamps), NO_ACTION)
    for tick, place in enumerate(np.searchsorted(times, stamps, side="right") - 1):
        if place >= 0 and stamps[tick] - times[place] <= TRUTH_MAX_AGE_NS:
            labels[tick] = ids.get(marks[place].action, NO_ACTION)
    return Truth(recording.name, stamps, labels)


def _confirmed(
    recording: Recording, stamps: NDArray[np.int64], emitted: NDArray[np.int64], ids: Mapping[str, int]
) -> OutputStream:
    """Return the confirmed sequence at the labels' stamps.

    A tick whose confirmation fell into a held tick, or that waited at the end, has the action in force; a closing event
    ends it.
    """
    changed_at = {
        answer.confirmed_ns: (ids.get(answer.confirmed_action, NO_ACTION), int(time))
        for answer, time in zip(recording.labels, emitted, strict=True)
        if answer.confirmed_ns is not None
    }
    changes = [(event.detected_ns, NO_ACTION) for event in recording.events if not event.to_action]
    changes += [(stamp, action) for stamp, (action, _) in changed_at.items()]
    changes.sort(key=lambda change: change[0])  # stable: an answer at the very stamp of a reset is the new stream's
    times = np.array([stamp for stamp, _ in changes], np.int64)
    labels, when = np.full(len(stamps), NO_ACTION), emitted.copy()
    for tick, place in enumerate(np.searchsorted(times, stamps, side="right") - 1):
        if place >= 0:
            labels[tick] = changes[place][1]
        if int(stamps[tick]) in changed_at:
            when[tick] = changed_at[int(stamps[tick])][1]
    return OutputStream(labels, when, None)


# --- the page ---------------------------------------------------------------------------------------------------------


def render(recording: Recording, summary: Summary, pictures: Pictures) -> str:
    """Return the page with the pictures that read_all_pictures gives."""
    from jinja2 import Environment, StrictUndefined  # late: only a report needs it
    from markupsafe import Markup

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    source = importlib.resources.files("hal_ros.report").joinpath(TEMPLATE).read_text(encoding="utf-8")
    thumbnails = _thumbnails(recording, summary, pictures)
    latency = summary.latency_ms
    return environment.from_string(source).render(
        recording=recording,
        summary=summary,
        headline=_headline(summary),
        colours=action_colours(summary.vocabulary),
        stripes=Markup(stripes()),
        timeline=Markup(inline_svg(_timeline(recording, summary), (*summary.vocabulary, *_option_names(recording)))),
        latency_chart=Markup("" if latency is None else charts.histogram_svg(latency, "ms")),
        delay_chart=Markup(_delay_chart(summary)),
        streams=stream_table(recording),
        thumbnails=thumbnails,
        thumbnails_left_out=sum(bool(event.to_action) for event in recording.events) - len(thumbnails),
        metric_rows=metric_table(summary),
        held_ticks=sum(answer.held_ticks for answer in recording.labels),
    )


def _shown(value: object) -> object:
    """Return what the page shows of a value: names of others must not reorder the text beside them."""
    return printable(value) if type(value) is str else value


def _timeline(recording: Recording, summary: Summary) -> Timeline:
    times_s = (summary.stamps_ns - recording.start_ns) / 1e9

    def track(name: str, labels: Labels) -> Track:
        return Track(name, label_bars(labels, times_s, summary.duration_s, summary.vocabulary))

    tracks = [track(output, stream.labels) for output, stream in summary.streams.items()]
    if summary.truth is not None:
        tracks.insert(0, track("truth", summary.truth.labels))
    if recording.options:
        tracks.append(Track("option", _option_bars(recording, summary.duration_s)))
    return Timeline(f"timelines of {recording.name}", tracks, summary.duration_s)


def _option_names(recording: Recording) -> list[str]:
    """Return the planner's options that occur and are no actions, in the order of their first."""
    names = dict.fromkeys(mark.action for mark in recording.options)
    return [name for name in names if name and name not in _vocabulary(recording)]


def _option_bars(recording: Recording, duration_s: float) -> list[Bar]:
    """Return the planner's options as bars: each from what decided it to the next."""
    starts = [(mark.stamp_ns - recording.start_ns) / 1e9 for mark in recording.options]
    limits = [min(max(start_s, 0.0), duration_s) for start_s in (*starts, duration_s)]
    bars = [Bar(mark.action, *limits[place : place + 2]) for place, mark in enumerate(recording.options)]
    return [bar for bar in bars if bar.end_s > bar.start_s]


def shown_events(recording: Recording) -> list[Event]:
    """Return the boundaries that the page shows with a picture: those that begin an action, the first ones if many."""
    return [event for event in recording.events if event.to_action][:MOST_THUMBNAILS]


def _thumbnails(recording: Recording, summary: Summary, pictures: Pictures) -> list[Thumbnail]:
    found = []
    for event in shown_events(recording):
        truth = _truth_at(event.stamp_ns, summary)
        shown = [source for source in pictures_of(recording, event) if source in pictures]
        found.append(
            Thumbnail(
                event,
                time_s=(event.stamp_ns - recording.start_ns) / 1e9,
                wait_s=(event.detected_ns - event.stamp_ns) / 1e9,
                pictures=tuple(ThumbnailPicture(source.stream, _jpeg(pictures[source])) for source in shown),
                truth=truth,
                right=None if not truth else event.to_action in {truth, *_truths_near(event.stamp_ns, summary)},
            )
        )
    return found


def _truths_near(stamp_ns: int, summary: Summary) -> set[str]:
    """Return what is true within the tolerance of boundaries: a change that is found a tick too soon is found."""
    if summary.truth is None:
        return set()
    near = np.abs(summary.stamps_ns - stamp_ns) <= BOUNDARY_TOLERANCE_NS
    return {summary.vocabulary[action] for action in set(summary.truth.labels[near].tolist()) - {NO_ACTION}}


def _truth_at(stamp_ns: int, summary: Summary) -> str:
    if summary.truth is None:
        return ""
    place = int(np.searchsorted(summary.stamps_ns, stamp_ns, side="right")) - 1
    action = int(summary.truth.labels[place]) if place >= 0 else NO_ACTION
    return "" if action == NO_ACTION else summary.vocabulary[action]


def _jpeg(rgb: ByteArray) -> str:
    height, width = rgb.shape[:2]
    size = (THUMBNAIL_WIDTH_PX, max(1, round(height * THUMBNAIL_WIDTH_PX / width)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
    return base64.b64encode(encoded.tobytes()).decode("ascii")


def _delay_chart(summary: Summary) -> str:
    if summary.truth is None:
        return ""
    delays = charts.segment_delays_s(summary.truth, summary.streams[CONFIRMED])
    return charts.histogram_svg(np.array(delays), "s") if delays else ""


METRICS = (
    ("MoF", "MoF", "%", "frames whose action is right"),
    ("Edit", "Edit", "%", "order of the segments, whatever their times"),
    ("F1@10", "F1@10", "%", "segments found with IoU of 10 % or more"),
    ("F1@25", "F1@25", "%", "… 25 % or more"),
    ("F1@50", "F1@50", "%", "… 50 % or more"),
    ("boundary F1@0.25s", "boundary F1 at 0.25 s", "%", "changes found, of whatever action"),
    ("boundary F1@0.5s", "boundary F1 at 0.5 s", "%", ""),
    ("boundary F1@1s", "boundary F1 at 1 s", "%", ""),
    ("segment ratio", "segments said per true segment", "", "1 is right; above it, over-segmentation"),
    ("latency median s", "detection latency, median", "s", "onset of the true segment to the first right answer"),
    ("latency p90 s", "detection latency, p90", "s", ""),
    ("latency missed", "segments never detected", "%", "they are not in the latencies"),
    ("latency early", "segments announced before their onset", "%", "their latency counts as 0"),
)


class MetricRow(NamedTuple):
    """One line of the metric table."""

    name: str
    explanation: str
    provisional: str
    confirmed: str


def metric_table(summary: Summary) -> list[MetricRow]:
    """Return the lines of the metric table; none without truth."""
    if not summary.metrics:
        return []
    first, final = summary.metrics[PROVISIONAL], summary.metrics[CONFIRMED]
    return [
        MetricRow(name, why, _number(first[key], unit), _number(final[key], unit)) for key, name, unit, why in METRICS
    ]


def _headline(summary: Summary) -> list[tuple[str, str]]:
    """Return the numbers that stand at the top: their names and values."""
    found = []
    if summary.metrics:
        confirmed = summary.metrics[CONFIRMED]
        found = [
            ("frames right, confirmed (MoF)", _number(confirmed["MoF"], "%")),
            ("segments found (F1@50)", _number(confirmed["F1@50"], "%")),
            ("boundaries within 0.5 s (F1)", _number(confirmed["boundary F1@0.5s"], "%")),
            ("median detection latency, lag included", _number(confirmed["latency median s"], "s")),
        ]
    if summary.latency_ms is not None:
        found.append((f"{summary.latency_from} to label, median", f"{np.median(summary.latency_ms):.1f} ms"))
    return found


def _number(value: float, unit: str) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.1f} %" if unit == "%" else f"{value:.2f} {unit}".rstrip()
