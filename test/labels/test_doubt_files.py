"""What `hal train` ends with: the most doubtful episode and boundary, and a warning where the alignment guesses."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from hal_ros.datasets.episodes import Episode, save
from hal_ros.labels.doubt_files import DOUBTS, PAGE, PROOF, closing_lines, write_doubts
from hal_ros.labels.restart_files import Checks, save_checks
from hal_ros.labels.targets import Targets, save_targets
from hal_ros.labels.transcripts.restarts import Restarts

pytestmark = pytest.mark.torch

WORDS = ("reach", "<grasp>")
HARD = np.repeat([0, 1], 20)
TICKS = len(HARD)
LATER = np.repeat([0, 1], [26, 14])
DOUBTFUL = {"wide": [HARD, LATER], "sure": [HARD, HARD]}


def leave(
    folder: Path,
    versions: dict[str, list[np.ndarray]] = DOUBTFUL,
    nats: float = 1.0,
    unplaced: Collection[tuple[int, int]] = (),
) -> list[str]:
    save_targets(folder, Targets(dict.fromkeys(versions, HARD), {}, dict.fromkeys(versions, np.eye(2)[HARD])))
    save_checks(folder, Checks(Restarts(versions, nats, 20.0), frozenset(unplaced)))
    write_doubts(folder, WORDS, 0.1)
    return closing_lines(folder)


def test_the_most_doubtful_episode_and_its_boundary_are_named(tmp_path: Path) -> None:
    episode, boundary, files = leave(tmp_path)
    assert episode.startswith("annotate this episode next: wide, 0.3 s of 4.0 s in doubt")
    assert "or mark its boundary reach-><grasp> near 2.0 s, give or take 0.4 s: 2.0,,reach-><grasp> in" in boundary
    assert files == f"all doubtful places: {tmp_path / DOUBTS}"
    listed = json.loads((tmp_path / DOUBTS).read_text())["episodes"]
    assert [one["name"] for one in listed] == ["wide", "sure"]
    assert listed[0]["places"][0]["gain_s_per_minute"] == pytest.approx(1.8)


def test_clips_of_features_are_told_where_their_labels_go(tmp_path: Path) -> None:
    leave(tmp_path)
    _, boundary, _ = closing_lines(tmp_path, is_bags=False)
    assert boundary.endswith("give or take 0.4 s; groundTruth/wide.txt counts with supervision: mixed")


def test_what_no_transcript_places_is_what_to_annotate(tmp_path: Path) -> None:
    episode = leave(tmp_path, unplaced=[(0, 1)])[0]
    assert "wide, which has reach-><grasp>: transcripts do not tell when these change; 0.3 s of 4.0 s in" in episode


def test_an_alignment_that_guesses_is_told(tmp_path: Path) -> None:
    apart = {"flat": [np.repeat([0, 1], [1, 39]), np.repeat([0, 1], [39, 1])]}
    assert leave(tmp_path, apart)[0].startswith("warning: the alignment guesses: two halves of the episodes put most")
    assert "does not hold for the others" in leave(tmp_path, nats=-1.0)[0]
    (tmp_path / PROOF).write_text(json.dumps({"ticks": 9, "right_share": 0.46}))
    assert "from transcripts alone 46% of the annotated ticks are right" in leave(tmp_path)[0]
    (tmp_path / PROOF).write_text(json.dumps({"ticks": 9, "right_share": 0.92}))
    assert leave(tmp_path, nats=-1.0)[0].startswith("annotate this"), "it is right where it shows"


def test_a_single_episode_has_nothing_to_confirm_it(tmp_path: Path) -> None:
    leave(tmp_path)
    save_checks(tmp_path, Checks(None))
    write_doubts(tmp_path, WORDS, 0.1)
    (line,) = closing_lines(tmp_path)
    assert line.startswith("warning: the alignment guesses: one episode has no others to confirm it; annotate")


def test_without_an_alignment_nothing_is_said(tmp_path: Path) -> None:
    write_doubts(tmp_path, WORDS, 0.1)
    assert closing_lines(tmp_path) == [] and not (tmp_path / DOUBTS).exists()
    assert leave(tmp_path, {}) == []


def test_cameras_give_a_page_of_pictures(tmp_path: Path) -> None:
    episode = Episode(
        name="wide",
        stamp_ns=np.arange(TICKS),
        fresh=np.eye(1, TICKS, dtype=bool)[0],
        held=np.zeros(TICKS, bool),
        image_valid=np.ones((TICKS, 1), np.float32),
        images={"camera": np.zeros((TICKS, 8, 8, 3), np.uint8)},
        joints=np.zeros((TICKS, 1), np.float32),
        joints_valid=np.ones((TICKS, 1), np.float32),
        actions=None,
        transcript=WORDS,
        counters={},
    )
    cached = tmp_path / "cached"
    cached.mkdir()
    save(episode, cached)
    leave(tmp_path)
    write_doubts(tmp_path, WORDS, 0.1, [cached])
    page = (tmp_path / PAGE).read_text()
    assert page.count("<img") == 5 and "reach &rarr; &lt;grasp&gt; at 2.0 s" in page
    captions = [f"<figcaption>{second} s" for second in ("1.0", "1.5", "2.0", "2.5", "3.0")]
    assert [page.count(caption) for caption in captions] == [1] * 5 and page.count("class=here") == 1
    assert "<code>2.0,,reach-&gt;&lt;grasp&gt;</code>" in page and "<h2>wide: 0.3 s of 4.0 s in doubt</h2>" in page
    assert closing_lines(tmp_path)[-1].endswith(str(tmp_path / PAGE))
