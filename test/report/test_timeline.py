"""Timelines are well-formed pictures that show every segment."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

from hal_ros.core.answers import NO_ACTION
from hal_ros.metrics.predictions import PROVISIONAL, from_labels
from hal_ros.metrics.scores import Truth
from hal_ros.report.pictures import episode_timeline, label_bars, median_and_worst
from hal_ros.report.timeline import (
    Bar,
    Timeline,
    Track,
    action_colours,
    inline_svg,
    line_length_s,
    standalone_svg,
)

SVG = "{http://www.w3.org/2000/svg}"
VOCABULARY = tuple(f"action {i}" for i in range(16))


def tooltips(svg: Any) -> list[Any]:
    return [element.text for element in ET.fromstring(svg).iter(f"{SVG}title")]


def test_sixteen_actions_have_sixteen_fills() -> None:
    assert len(set(action_colours(VOCABULARY).values())) == 16


def test_every_segment_is_drawn_and_named_and_silence_is_not() -> None:
    track = Track("truth", [Bar("action 0", 0, 2), Bar("", 2, 3), Bar("action 9", 3, 5)])
    found = tooltips(inline_svg(Timeline("one", [track], 5), VOCABULARY))
    assert found == ["action 0: 0.00 s to 2.00 s (2.00 s)", "action 9: 3.00 s to 5.00 s (2.00 s)"]


def test_a_long_recording_folds_and_loses_nothing() -> None:
    bars = [Bar(VOCABULARY[i % 16], 10.0 * i, 10.0 * i + 10) for i in range(40)]
    svg = inline_svg(Timeline("long", [Track("truth", bars)], 400), VOCABULARY)
    assert len(set(tooltips(svg))) == 40
    assert ET.fromstring(svg).get("viewBox") != ET.fromstring(
        inline_svg(Timeline("short", [Track("truth", bars[:2])], 20), VOCABULARY)
    ).get("viewBox")


@pytest.mark.parametrize("duration_s", [0.0, 0.3, 60, 61, 75, 76, 700, 10_000])
def test_lines_cover_the_recording_and_stay_few(duration_s: float) -> None:
    span_s = line_length_s(duration_s)
    assert span_s > 0
    assert duration_s <= 12 * span_s + 1e-6


def test_names_are_escaped() -> None:
    nasty = '<b>&"'
    svg = standalone_svg([Timeline(nasty, [Track(nasty, [Bar(nasty, 0, 9)])], 9)], [nasty])
    assert ET.fromstring(svg) is not None
    assert "<b>" not in svg


def test_a_picture_brings_all_that_it_refers_to() -> None:
    track = Track("truth", [Bar(action, i, i + 1) for i, action in enumerate(VOCABULARY)])
    svg = standalone_svg([Timeline("one", [track], 16), Timeline("two", [track], 16)], VOCABULARY)
    root = ET.fromstring(svg)
    defined = {element.get("id") for element in root.iter(f"{SVG}pattern")}
    used = {fill[5:-1] for element in root.iter() if (fill := element.get("fill", "")).startswith("url(#")}
    assert used <= defined
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def test_median_and_worst_episode_and_their_timeline() -> None:
    stamps = np.arange(4) * 100_000_000
    labels = np.array([0, 0, 1, 1])
    truths = [Truth(str(i), stamps, labels) for i in range(3)]
    said = [from_labels("rule", "annotations", stamps, np.array(x)) for x in ([0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 1, 0])]
    assert median_and_worst(truths, said, PROVISIONAL) == (2, 1)
    timeline = episode_timeline("worst", truths[1], [said[1]], 100_000_000, "ab")
    assert [track.name for track in timeline.tracks] == ["truth", "rule"]
    assert timeline.tracks[1].bars == [Bar("b", 0.0, 0.2), Bar("a", 0.2, 0.4)]


def test_unanswered_ticks_are_blank_bars() -> None:
    assert label_bars(np.array([NO_ACTION, 0]), np.array([0.0, 0.5]), 1.0, "a") == [Bar("", 0, 0.5), Bar("a", 0.5, 1)]
