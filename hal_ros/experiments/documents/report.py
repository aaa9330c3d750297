"""The results of the tables' jobs as files: rows, Markdown, verdicts and pictures, of as much as is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hal_ros.datasets.config import TRAINING
from hal_ros.experiments.blocks import ANNOTATED, WEAK
from hal_ros.experiments.documents import aims, curves, latents, learning_curves, markdown, minutes
from hal_ros.experiments.documents.aims import Aim, Verdict
from hal_ros.experiments.documents.curves import Curve, Point
from hal_ros.experiments.documents.results import Results
from hal_ros.experiments.documents.rows import write_document, write_rows
from hal_ros.experiments.files import latents_file, split_file
from hal_ros.experiments.jobs.scoring import commit_output, load_calibrated, load_fitted, output_of
from hal_ros.experiments.plan import (
    ABLATIONS,
    CURVE,
    DECODERS,
    GESTURE_PHASE,
    MAIN,
    NAMES,
    REFERENCES,
    SECTIONS,
    TABLETOP,
    Line,
)
from hal_ros.metrics import answer_files
from hal_ros.metrics.answer_files import ClipAnswers
from hal_ros.metrics.decoded import ALIGNED, OFFLINE, streams, truth_of
from hal_ros.metrics.predictions import CONFIRMED, PROVISIONAL, OutputStream, Prediction
from hal_ros.metrics.scores import Row, frame_accuracy
from hal_ros.report import pictures
from hal_ros.report.svg_files import write_svg
from hal_ros.report.timeline import Timeline, standalone_svg

STUDENT = NAMES["student"]
COMMANDS = {
    TABLETOP: "hal tables --dataset tabletop",
    GESTURE_PHASE: "hal tables --dataset gesture_phase",  # HAL_ROS_DATA says where it lies
}
OFFLINE_NOTE = (
    "Upper references below: they know what comes later, so that none of them can run on a robot, and they stand in no"
    " table of those that can."
)
FAR_BELOW = NAMES["rule"]
"""Left out of the curve, where it would squash all others; it is in the tables."""
COMPARED = ("teacher without HAL", "HAL teacher", "causal ASFormer", "causal TCN", "GRU", "logistic")
"""Systems whose timelines stand below the student's, as far as they are there; five at most."""
MOST_COMPARED = 5


def write(folder: Path, results: Results, fewer: Sequence[Results] = ()) -> None:
    """Write <data set>.json, <data set>.md and its pictures; print the verdicts.

    `fewer` are experiments on fewer episodes, for the learning curve.
    """
    name = results.experiment.name
    rows = [row for entry in results.entries(*SECTIONS) for row in markdown.rows_of(entry)]
    write_rows(folder / f"{name}.json", rows)
    verdicts = _verdicts(results, rows)
    drawn = _pictures(folder, results, rows)
    more = _told_and_fewer(folder, results, fewer)
    write_document(folder / f"{name}.md", _document(results, verdicts, drawn, more))
    print(f"{name}: {len(rows)} rows in {folder / name}.json, tables in {name}.md")
    for line in aims.verdict_lines(verdicts):
        print(line)


def write_parts(folder: Path, parts: Sequence[Results]) -> None:
    """Write the documents of experiments on growing numbers of episodes, all of them last."""
    *fewer, whole = sorted(parts, key=learning_curves.episodes)
    write(folder, whole, fewer)


def _told_and_fewer(folder: Path, results: Results, fewer: Sequence[Results]) -> list[str]:
    """Return tables and pictures of what some annotations buy, and of what fewer episodes cost."""
    name, split = results.experiment.name, results.splits[-1]
    found = [*minutes.section(results, split, folder, f"{name}-minutes.svg")]
    found = [f"## Minutes of a person, {split}", *found] if found else []
    return found + (learning_curves.section([*fewer, results], folder, f"{name}-episodes.svg") if fewer else [])


# --- the document -----------------------------------------------------------------------------------------------------


def _document(results: Results, verdicts: Sequence[Verdict], drawn: Mapping[str, str], more: Sequence[str] = ()) -> str:
    name = results.experiment.name
    parts = [
        f"# Results on {name}",
        f"Made by `{COMMANDS[name]}`, written again by the same with `--report`. Mean ± standard deviation over"
        " seeds. Scores in percent; latencies in seconds, lag counted, computing time left out; *segments*: predicted"
        " over true ones; definitions in [metrics.md](../metrics.md). All systems under one supervision learn the same"
        " targets, and have the same kind of decoder, fitted to the validation targets of that supervision. "
        + results.cost_note,
    ]
    for split in results.splits:
        shown = (PROVISIONAL, CONFIRMED)
        parts += [f"## (a) All systems, {split}", markdown.markdown(results.entries(MAIN), split, shown)]
    if references := results.entries(REFERENCES):
        parts += [OFFLINE_NOTE]
        for split in results.splits:
            title = f"## What sees the whole recording, {split}"
            parts += [title, markdown.markdown(references, split, (OFFLINE,))]
    if verdicts:
        parts += [f"## What was aimed at, {results.experiment.aims}", "\n".join(aims.verdict_lines(verdicts)) + "\n"]
    student = [entry for entry in results.entries(MAIN) if entry.system == STUDENT and entry.supervision == WEAK]
    ablations = results.entries(ABLATIONS)
    if ablations:
        parts += [f"## (b) Ablations, {results.splits[-1]}"]
        parts += [markdown.markdown([*student, *ablations], results.splits[-1], (CONFIRMED, OFFLINE))]
    parts += [*more, *_alignment(results)]
    kinds = (CONFIRMED, *(output_of(kind) for kind in DECODERS))
    parts += [f"## Decoders, {results.splits[-1]}", markdown.markdown(results.entries(MAIN), results.splits[-1], kinds)]
    parts += [f"## {title}\n\n![{title}]({file})\n" for file, title in drawn.items()]
    if missing := markdown.unfinished(results.entries(*SECTIONS)):
        parts += ["## Not finished", "\n".join(f"- {line}" for line in missing) + "\n"]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _alignment(results: Results) -> list[str]:
    """Tell how near the teachers' targets come to the annotation that they never saw."""
    entries = results.entries(REFERENCES, ABLATIONS)
    teachers = [entry for entry in entries if any(TRAINING in (run or {}) for run in entry.runs)]
    if not teachers:
        return []
    return ["## Targets of training clips", markdown.markdown(teachers, TRAINING, (ALIGNED,))]


def _verdicts(results: Results, rows: Sequence[Row]) -> list[Verdict]:
    if not results.experiment.aims:
        return []
    baselines = tuple(
        line.system
        for line in results.lines
        if line.section == MAIN and line.supervision == WEAK and line.system != STUDENT
    )
    return aims.verdicts(rows, Aim(STUDENT, WEAK, baselines, results.experiment.aims, ANNOTATED))


# --- pictures ---------------------------------------------------------------------------------------------------------


def _pictures(folder: Path, results: Results, rows: Sequence[Row]) -> dict[str, str]:
    """Draw what can be drawn; returns the titles by file name."""
    experiment, split, drawn = results.experiment, results.splits[-1], {}
    if found := _curves(results, rows, split):
        name, title = f"{experiment.name}-latency.svg", f"(c) Accuracy against latency, {split}, under {WEAK}"
        curves.draw(found, title, folder / name)
        drawn[name] = title
    if timelines := _timelines(results):
        name = f"{experiment.name}-timelines.svg"
        write_svg(folder / name, standalone_svg(timelines, experiment.vocabulary))
        drawn[name] = "(d) The median and the worst episode, first seed"
    line = results.line(STUDENT, WEAK)
    if line is not None and results.store.done(results.graph, line.scores[0]):
        clips = latents.load_latents(_answers(results, line)[0] / latents_file(split))
        name = f"{experiment.name}-latents.svg"
        latents.draw_scatter(clips, experiment.vocabulary, folder / name)
        drawn[name] = f"(e) Latents of the student, {split}, first seed"
        name = f"{experiment.name}-changes.svg"
        latents.draw_changes(clips[0], experiment.vocabulary, experiment.period_ns / 1e9, folder / name)
        drawn[name] = "(e) How much the latents change"
    return drawn


def _curves(results: Results, rows: Sequence[Row], split: str) -> list[Curve]:
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        if (row.supervision, row.split) == (WEAK, split):
            found.setdefault((row.system, row.output), {})[row.metric] = row

    def points(keys: Sequence[tuple[str, str, str]]) -> list[Point]:
        return [Point(label, found[system, output]) for label, system, output in keys if (system, output) in found]

    lags, commits = [], []
    for line in (line for line in results.lines if line.section == CURVE):
        thresholds = results.graph.jobs[line.scores[0]].settings.get("thresholds", ())
        commits += [(f"{threshold:g}", line.system, commit_output(threshold)) for threshold in thresholds]
        if "lag" in line.system:
            lags.append((line.system.rpartition(" ")[2], line.system, CONFIRMED))
    if not lags:
        return []
    others = [line.system for line in results.lines if (line.section, line.supervision) == (MAIN, WEAK)]
    drawn = [Curve("student, by lag in ticks", points(lags)), Curve("student, by commit threshold", points(commits))]
    drawn += [Curve(name, points([("", name, CONFIRMED)])) for name in others if name not in (STUDENT, FAR_BELOW)]
    return [curve for curve in drawn if curve.points]


def _answers(results: Results, line: Line) -> list[Path]:
    """Return the folders of the first seed's answers, one for each fold."""
    inputs = results.graph.jobs[line.scores[0]].inputs
    return [results.store.path(results.graph, inputs[role]) for role in sorted(inputs)]


def answers_of(results: Results, line: Line, split: str) -> tuple[list[ClipAnswers], list[dict[str, OutputStream]]]:
    """Return what a line's first seed says of a split's clips, of all folds, and the confirmed output of each."""
    score = results.graph.jobs[line.scores[0]]
    fitted = load_fitted(results.store.path(results.graph, line.scores[0]))
    clips, outputs = [], []
    for folder, specs in zip(_answers(results, line), fitted, strict=True):
        shown = {name: spec for name, spec in specs.specs.items() if name == CONFIRMED}
        for clip in load_calibrated(folder / split_file(split), specs):
            clips.append(clip)
            outputs.append(streams(clip, shown, score.settings["lag_ticks"], results.experiment.period_ns))
    return clips, outputs


def _predictions(results: Results, line: Line, split: str) -> dict[str, Prediction]:
    """Return what a line's first seed says of every clip of a split, by the clip's name."""
    found = {}
    for clip, outputs in zip(*answers_of(results, line, split), strict=True):
        if line.system != STUDENT:
            outputs.pop(PROVISIONAL, None)
        found[clip.name] = Prediction(f"{line.system}, {line.supervision}", line.supervision, outputs)
    return found


def _timelines(results: Results) -> list[Timeline]:
    """Return the median and the worst episode of each split by the student's confirmed answers, with other systems'."""
    lines = [line for line in results.lines if line.section in (MAIN, REFERENCES) and line.supervision == WEAK]
    lines = [line for line in lines if results.store.done(results.graph, line.scores[0])]
    if not lines or lines[0].system != STUDENT:
        return []
    others = {line.system: line for line in lines}
    chosen = [lines[0], *(others[name] for name in COMPARED if name in others)][: MOST_COMPARED + 1]
    experiment, found = results.experiment, []
    folders = _answers(results, lines[0])
    for split in results.splits:
        by_system = [_predictions(results, line, split) for line in chosen]
        clips = [clip for folder in folders for clip in answer_files.load(folder / split_file(split))]
        truths = [truth_of(clip, experiment.period_ns) for clip in clips]
        ours = [by_system[0][truth.episode] for truth in truths]
        for title, index in zip(("median", "worst"), pictures.median_and_worst(truths, ours, CONFIRMED), strict=True):
            truth = truths[index]
            accuracy = frame_accuracy(truth, ours[index].streams[CONFIRMED])
            heading = f"{split}, {title} episode: {truth.episode} (confirmed MoF {accuracy:.1f} %)"
            shown = [predictions[truth.episode] for predictions in by_system]
            found.append(pictures.episode_timeline(heading, truth, shown, experiment.period_ns, experiment.vocabulary))
    return found
