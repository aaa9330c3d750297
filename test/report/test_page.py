"""The report says what the recording holds, and says what it lacks."""

from __future__ import annotations

import base64
import dataclasses
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import ConfigError
from hal_ros.metrics.predictions import CONFIRMED, PROVISIONAL
from hal_ros.offline.recording import read_recording
from hal_ros.offline.truth import TruthMark
from hal_ros.report.page import RECEIPT, STAMP, render, summarise
from hal_ros.report.write import write_and_print
from recordings import Story, write_story

WORDS = ("reach", "grasp", "lift")
TRUE = "A" * 10 + "B" * 10 + "C" * 10
STORY = Story(WORDS, truth=TRUE, provisional=TRUE, confirmed=TRUE)


def summary_of(tmp_path: Path, story: Any) -> Any:
    return summarise(read_recording(write_story(tmp_path / "run", story)))


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_a_perfect_run_scores_full_marks_and_pays_lag_and_computing(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, STORY)
    for output in (PROVISIONAL, CONFIRMED):
        assert summary.metrics[output]["Edit"] == summary.metrics[output]["F1@50"] == 100
    assert summary.metrics[PROVISIONAL]["latency median s"] == pytest.approx(0.028, abs=0.015)
    assert summary.metrics[CONFIRMED]["latency median s"] == pytest.approx(0.428, abs=0.015)
    assert 20 <= np.median(summary.latency_ms) <= 40
    assert summary.duration_s == pytest.approx(3)
    assert summary.churn == 0


def test_a_wrong_run_scores_worse(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, STORY._replace(confirmed="A" * 30))
    assert summary.metrics[CONFIRMED]["MoF"] == pytest.approx(100 / 3)
    assert summary.metrics[PROVISIONAL]["MoF"] == 100
    assert summary.churn == pytest.approx(200 / 3)


def test_the_confirmed_line_has_the_action_in_force_at_its_end(tmp_path: Path) -> None:
    confirmed = summary_of(tmp_path, STORY).streams[CONFIRMED]
    assert confirmed.labels.tolist() == [ord(c) - ord("A") for c in TRUE]


def test_warming_up_is_no_answer(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, STORY._replace(confirmed="....." + TRUE[5:]))
    assert summary.streams[CONFIRMED].labels[:6].tolist() == [NO_ACTION] * 5 + [0]


def test_another_clock_is_measured_from_the_images_receipt(tmp_path: Path) -> None:
    here = summary_of(tmp_path / "here", STORY)
    elsewhere = summary_of(tmp_path / "elsewhere", STORY._replace(receive_offset_ns=10**15))
    assert (here.latency_from, elsewhere.latency_from) == (STAMP, RECEIPT)
    assert np.allclose(elsewhere.latency_ms, here.latency_ms - 2)  # images arrive 2 ms after their stamp
    delays = [summary.metrics[CONFIRMED]["latency median s"] for summary in (here, elsewhere)]
    assert delays[0] - delays[1] == pytest.approx(0.002)


def test_another_clock_without_images_leaves_sensor_time_alone(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, STORY._replace(receive_offset_ns=10**15, images=""))
    assert summary.latency_ms is None
    assert summary.metrics[CONFIRMED]["latency median s"] == pytest.approx(0.4)


def test_a_closing_event_ends_the_confirmed_line_where_it_was_found(tmp_path: Path) -> None:
    recording = read_recording(write_story(tmp_path / "run", STORY._replace(confirmed=TRUE[:20] + "." * 10)))
    tick = recording.labels[27].stamp_ns
    closing = recording.events[-1]._replace(stamp_ns=recording.labels[20].stamp_ns, detected_ns=tick, to_action="")
    summary = summarise(type(recording)(**{**vars(recording), "events": (*recording.events, closing)}))
    assert summary.streams[CONFIRMED].labels.tolist() == [0] * 10 + [1] * 17 + [NO_ACTION] * 3


def test_without_truth_there_are_no_metrics(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, STORY._replace(truth=""))
    assert summary.truth is None
    assert not summary.metrics


def test_actions_that_only_the_truth_names_are_scored_as_never_said(tmp_path: Path) -> None:
    path = write_story(
        tmp_path / "run", STORY._replace(vocabulary=WORDS[:2], truth="A" * 30, provisional="A" * 30, confirmed="A" * 30)
    )
    recording = read_recording(path)
    other = tuple(mark._replace(action="juggle") for mark in recording.truth)
    summary = summarise(type(recording)(**{**vars(recording), "truth": other}))
    assert summary.vocabulary == ("reach", "grasp", "juggle")
    assert summary.metrics[PROVISIONAL]["MoF"] == 0


def test_truth_that_stopped_long_ago_is_no_truth(tmp_path: Path) -> None:
    recording = read_recording(write_story(tmp_path / "run", STORY))
    summary = summarise(type(recording)(**{**vars(recording), "truth": recording.truth[:10]}))
    assert np.flatnonzero(summary.truth.labels != NO_ACTION).tolist() == list(range(12))


# --- the page ---------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Collects a page's words, pictures and everything that would have to be fetched."""

    VOID = frozenset({"meta", "img", "br", "link", "input"})

    def __init__(self, html: Any) -> None:
        super().__init__()
        self.words, self.pictures, self.fetched, self.open = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag: Any, attributes: Any) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for key, value in attributes:
            if key in ("src", "href", "srcset", "data") and not value.startswith("data:"):
                self.fetched.append(value)
            if key == "src":
                self.pictures.append(value)

    def handle_startendtag(self, tag: Any, attributes: Any) -> None:
        pass  # closed in place, as SVG does

    def handle_endtag(self, tag: Any) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: Any) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(tmp_path: Path, story: Any, out: str = "report.html") -> str:
    path = write_story(tmp_path / "run", story)
    write_and_print(path, tmp_path / out)
    return (tmp_path / out).read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_needs_nothing_from_outside(tmp_path: Path) -> None:
    html = page(tmp_path, STORY)
    parsed = Page(html)
    assert parsed.open == []
    assert parsed.fetched == []
    assert not re.search(r"@import|url\((?!#striped)|<script", html)


def test_the_page_shows_metrics_pictures_counters_and_the_bundle(tmp_path: Path) -> None:
    parsed = Page(page(tmp_path, STORY))
    assert "100.0 %" in parsed.text
    assert "ab" * 32 in parsed.text
    assert "segmenter: camera" in parsed.text
    assert "step p50 ms" in parsed.text
    assert len(parsed.pictures) == 3
    jpeg = base64.b64decode(parsed.pictures[0].partition(",")[2])
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (156, 208, 3)


def test_the_page_says_what_is_missing(tmp_path: Path) -> None:
    bare = STORY._replace(truth="", images="", with_vocabulary=False, with_diagnostics=False, receive_offset_ns=10**15)
    text = Page(page(tmp_path, bare)).text
    for missing in (
        "No truth recorded",
        "no picture recorded",
        "No diagnostics recorded",
        "No vocabulary message was recorded",
        "clock is not the sensor's",
    ):
        assert missing in text
    complete = Page(page(tmp_path / "other", STORY)).text
    assert "recorded:" not in complete
    assert "No truth" not in complete


def test_a_boundary_says_whether_the_truth_agrees(tmp_path: Path) -> None:
    text = Page(page(tmp_path, STORY._replace(confirmed="A" * 10 + "C" * 20))).text
    assert "✗ truth here: grasp" in text
    assert text.count("✓") == 1


def test_a_boundary_within_the_tolerance_is_right(tmp_path: Path) -> None:
    for soon, right in ((4, 3), (7, 2)):  # the third boundary comes so many ticks before the truth's
        said = "A" * 10 + "B" * (10 - soon) + "C" * (10 + soon)
        assert Page(page(tmp_path / str(soon), STORY._replace(confirmed=said))).text.count("✓") == right


def test_names_can_not_break_the_page(tmp_path: Path) -> None:
    html = page(tmp_path, STORY._replace(vocabulary=("<script>x</script>", 'a"b', "c&d")))
    assert "<script>" not in html
    assert Page(html).open == []


def test_an_empty_run_of_events_and_one_label_still_make_a_page(tmp_path: Path) -> None:
    html = page(tmp_path, STORY._replace(truth="A", provisional="A", confirmed="."))
    assert "No boundary event recorded" in Page(html).text
    assert math.isnan(summary_of(tmp_path / "again", STORY._replace(truth="A", provisional="A", confirmed=".")).churn)


def test_a_recording_that_was_cut_off_is_reported_up_to_the_cut(tmp_path: Path) -> None:
    path = write_story(tmp_path / "run", STORY)
    (whole,) = path.glob("*.mcap")
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(whole.read_bytes()[:-900])
    write_and_print(cut, tmp_path / "cut.html")
    assert "cut off" in Page((tmp_path / "cut.html").read_text(encoding="utf-8")).text


def test_a_page_that_can_not_be_written_is_one_line(tmp_path: Path) -> None:
    path = write_story(tmp_path / "run", STORY)
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ConfigError, match="can't be written"):
        write_and_print(path, tmp_path / "taken" / "report.html")


def test_many_boundaries_are_cut_and_counted(tmp_path: Path) -> None:
    recording = read_recording(write_story(tmp_path / "run", STORY))
    many = type(recording)(**{**vars(recording), "events": recording.events * 30})
    text = Page(render(many, summarise(many), {})).text
    assert "30 later boundaries are not shown" in text


def test_a_planners_options_are_a_lane_beside_the_labels(tmp_path: Path) -> None:
    without = read_recording(write_story(tmp_path / "run", STORY))
    start_ns = without.start_ns
    told_s = ((-1, "pick_red"), (1, "safe"), (2, ""))
    options = tuple(TruthMark(start_ns + seconds * 10**9, option) for seconds, option in told_s)
    told = dataclasses.replace(without, options=options)
    plain, lane = (render(one, summarise(one), {}) for one in (without, told))
    assert ">option<" in lane and ">option<" not in plain
    assert "safe" in lane
