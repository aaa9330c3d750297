"""What `hal train` leaves of the alignment's doubts: a list, a page of pictures in the run's folder, closing lines."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hal_ros.core.errors import DatasetError
from hal_ros.datasets import episodes
from hal_ros.labels.doubtful import MARK_S, DoubtfulPlace, EpisodeDoubt, doubtful_share, doubts
from hal_ros.labels.restart_files import RESTARTS, load_checks
from hal_ros.labels.targets import LABELS, load_targets
from hal_ros.outside import outputs
from hal_ros.outside.reading import Expected, read_json

DOUBTS, PAGE = "doubts.json", "doubts.html"
DOUBTS_OF_A_RUN = Expected(DatasetError, "the doubts of a run's labels")
PROOF = "alignment.json"
"""How right first labels are of annotated clips whose annotation they are not told."""
WRONG = 0.3
"""An alignment that has so large a share of ticks wrong where it shows is guessing."""
ALONE = "one episode has no others to confirm it"
SHOWN_PLACES = 20
FRAMES, LEAST_TICKS, FRAME_PX = (-2, -1, 0, 1, 2), 5, 128
"""Which steps from a doubtful boundary have their picture shown, how long a step is at least, and a picture's side."""
HEAD = """<!doctype html><meta charset=utf-8><title>Doubtful places</title>
<style>body {font-family: sans-serif; margin: 1.5em} figure {display: inline-block; margin: 0 2px; text-align: center}
figcaption {font-size: small} .here img {outline: 3px solid #d00} code {background: #eee; padding: 2px 4px}</style>
<h1>Doubtful places</h1>
<p>Where the alignment doubts most when one action becomes the next, the episode that is best annotated first on top.
Pictures are of the first camera, times seconds after the episode's first tick, as in marks.csv; the alignment has its
boundary at the picture with a frame, &plusmn; is how far the restarts put it from there. Copy the line below the
pictures into the episode's marks.csv (first line start_s,end_s,action), with the time of the real change.</p>
"""


def write_doubts(folder: Path, vocabulary: Sequence[str], period_s: float, cached: Sequence[Path] = ()) -> None:
    """Write doubts.json of a run whose alignment was restarted, and doubts.html where `cached` episodes have pictures.

    Raises DatasetError for a run's files that can't be read.
    """
    if not ((folder / LABELS).exists() and (folder / RESTARTS).exists()):
        return
    checks = load_checks(folder)
    restarts = checks.restarts
    found = doubts(load_targets(folder), restarts, period_s, checks.unplaced) if restarts is not None else []
    about = {
        "guess": ALONE if restarts is None else restarts.guess(),
        "expected_wrong_share": round(doubtful_share(found), 4),
        "episodes": [_to_json(one, vocabulary, period_s) for one in found],
    }
    outputs.write_whole_text(folder / DOUBTS, json.dumps(about, indent=1))
    page = folder / PAGE
    page.unlink(missing_ok=True)
    if text := "".join(_rows(found, vocabulary, period_s, cached)):
        outputs.write_whole_text(page, HEAD + text)


def closing_lines(folder: Path, is_bags: bool = True) -> list[str]:
    """Return what `hal train` ends with: whether the alignment guesses, and which episode to annotate next.

    Clips of features have no marks: what is known of them is one label a frame.
    """
    if not (folder / DOUBTS).exists():
        return []
    about = read_json(folder / DOUBTS, DOUBTS_OF_A_RUN)
    lines = _warnings(folder, about["guess"])
    if not (listed := about["episodes"]):
        return lines
    best, pages = listed[0], [folder / name for name in (DOUBTS, PAGE) if (folder / name).exists()]
    doubt = f"{best['expected_wrong_s']:.1f} s of {best['length_s']:.1f} s in doubt"
    kinds = best["unplaced"]
    why = f"{doubt}, about {best['gain_s_per_minute']:.1f} s of right labels for a minute of your time"
    if kinds:
        why = f"which has {', '.join(kinds)}: transcripts do not tell when these change; {doubt}"
    lines.append(f"annotate this episode next: {best['name']}, {why}")
    if best["places"]:
        place = best["places"][0]
        change, time = f"{place['before']}->{place['after']}", f"{place['time_s']:.1f}"
        where = f"boundary {change} near {time} s, give or take {place['spread_s']:.1f} s"
        if is_bags:
            lines.append(f"or mark its {where}: {time},,{change} in marks.csv, with the right time")
        else:
            lines.append(f"most in doubt there: {where}; groundTruth/{best['name']}.txt counts with supervision: mixed")
    return [*lines, f"all doubtful places: {', '.join(map(str, pages))}"]


def _warnings(folder: Path, guess: str) -> list[str]:
    """Return a line where the alignment is known to guess: by annotated clips that it was not told, or else by itself.

    Halves of a few clips know less than all of them do, so annotated clips have the last word.
    """
    if (folder / PROOF).exists():
        share = read_json(folder / PROOF, DOUBTS_OF_A_RUN)["right_share"]
        guess = (
            f"from transcripts alone {100 * share:.0f}% of the annotated ticks are right" if 1 - share > WRONG else ""
        )
    if not guess:
        return []
    return [f"warning: the alignment guesses: {guess}; annotate more episodes, or mark boundaries (docs/training.md)"]


def _to_json(one: EpisodeDoubt, vocabulary: Sequence[str], period_s: float) -> dict[str, Any]:
    return {
        "name": one.name,
        "length_s": round(one.ticks * period_s, 3),
        "expected_wrong_s": round(one.wrong_ticks * period_s, 3),
        "gain_s_per_minute": round(one.gain_per_minute(period_s), 3),
        "unplaced": sorted({_change(place, vocabulary) for place in one.places if place.unplaced}),
        "places": [_place_to_json(place, vocabulary, period_s) for place in one.places],
    }


def _change(place: DoubtfulPlace, vocabulary: Sequence[str]) -> str:
    return f"{vocabulary[place.before]}->{vocabulary[place.after]}"


def _place_to_json(place: DoubtfulPlace, vocabulary: Sequence[str], period_s: float) -> dict[str, Any]:
    """Return a place; its time is that of marks.csv, seconds after the episode's first tick."""
    return {
        "time_s": round(place.tick * period_s, 3),
        "before": vocabulary[place.before],
        "after": vocabulary[place.after],
        "spread_s": round(place.spread_ticks * period_s, 3),
        "gain_s_per_minute": round(place.wrong_ticks * period_s * 60 / MARK_S, 3),
    }


# --- the page ---------------------------------------------------------------------------------------------------------


def _rows(
    found: Sequence[EpisodeDoubt], vocabulary: Sequence[str], period_s: float, cached: Sequence[Path]
) -> Iterator[str]:
    """Yield the most doubtful places of the episodes that have pictures, episode by episode, best annotated first."""
    folders = {episodes.name_of(folder): folder for folder in cached}
    places = [(one.name, place) for one in found if one.name in folders for place in one.places]
    shown = sorted(places, key=lambda entry: -entry[1].wrong_ticks)[:SHOWN_PLACES]
    for one in found:
        rows = [
            _row(folders[name], place, vocabulary, period_s)
            for name, place in sorted(shown, key=lambda entry: entry[1].tick)
            if name == one.name
        ]
        if any(rows):
            doubt = f"{one.wrong_ticks * period_s:.1f} s of {one.ticks * period_s:.1f} s in doubt"
            yield f"<h2>{html.escape(one.name)}: {doubt}</h2>\n{''.join(rows)}"


def _row(folder: Path, place: DoubtfulPlace, vocabulary: Sequence[str], period_s: float) -> str:
    """Return a place with its pictures and the line of marks.csv to begin with; empty without a camera."""
    change = " &rarr; ".join(html.escape(vocabulary[action]) for action in (place.before, place.after))
    at, spread = place.tick * period_s, place.spread_ticks * period_s
    figures = "".join(
        f'<figure{" class=here" if tick == place.tick else ""}><img src="data:image/jpeg;base64,{picture}" alt="">'
        f"<figcaption>{tick * period_s:.1f} s</figcaption></figure>"
        for tick, picture in _pictures(folder, place)
    )
    mark = html.escape(f"{at:.1f},,{_change(place, vocabulary)}")
    heading = f"<h3>{change} at {at:.1f} s &plusmn; {spread:.1f} s</h3>"
    return f"{heading}<p>{figures}</p><p><code>{mark}</code></p>\n" if figures else ""


def _pictures(folder: Path, place: DoubtfulPlace) -> Iterator[tuple[int, str]]:
    """Yield ticks around a place, as far as the restarts spread, with the first camera's pictures, JPEG in base64."""
    images = next(iter(episodes.load(folder).images.values()), None)
    if images is None:
        return
    step = max(LEAST_TICKS, round(place.spread_ticks / max(FRAMES)))
    for at in dict.fromkeys(min(max(place.tick + step * many, 0), len(images) - 1) for many in FRAMES):
        shown = cv2.resize(np.asarray(images[at]), (FRAME_PX, FRAME_PX))
        _, encoded = cv2.imencode(".jpg", cv2.cvtColor(shown, cv2.COLOR_RGB2BGR))
        yield at, base64.b64encode(encoded.tobytes()).decode()
