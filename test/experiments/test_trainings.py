"""The trainings behind the tables, on tiny clips: each job reads what the one before it wrote."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from synthetic_tracks import GRID, SETTINGS, make_tracks  # noqa: E402

from hal_ros.core.answers import NO_ACTION  # noqa: E402
from hal_ros.core.errors import ConfigError, DatasetError  # noqa: E402
from hal_ros.datasets.clips import Clip  # noqa: E402
from hal_ros.experiments import stages as table_chain  # noqa: E402
from hal_ros.experiments import trainings as table_jobs  # noqa: E402
from hal_ros.experiments.files import About, load_lesson, restrict, save_clips  # noqa: E402
from hal_ros.experiments.graph import Job, Task  # noqa: E402
from hal_ros.experiments.runner import SCORES, Runner  # noqa: E402
from hal_ros.experiments.stages import hold_out  # noqa: E402
from hal_ros.labels.files import Labels, load_labels, save_labels  # noqa: E402
from hal_ros.metrics import answer_files  # noqa: E402
from hal_ros.nn.hal import CausalHal  # noqa: E402
from hal_ros.train import loop  # noqa: E402
from hal_ros.train.clips import Columns, SeenClips  # noqa: E402
from hal_ros.train.config import config_from_mapping  # noqa: E402

ACTIONS, SEEN, JOINTS = 3, 4, 2
COLUMNS = Columns(SEEN, 3 * JOINTS, JOINTS)
LAG = 2
CONFIG = {
    "seed": 0,
    "data": {"lag_ticks": LAG, "joints": ["arm", "gripper"], "rate_hz": 10.0},
    "model": {"width": 16, "heads": 2, "lookback": [3, 5, 3], "feed_forward": 16, "visual_width": 4},
    "batches": {"streams": 2, "chunk_ticks": 24},
    "optimiser": {"epochs": 2, "learning_rate": 0.01},
}
TINY = {"epochs": 1, "least_batches": 1, "width": 8, "layers": 2, "stages": 1}
TEACHER = {"seed": 0, "teacher": {"width": 16, "layers": 3, "start_epochs": 1, "epochs": 1, "visual_layer": 1}}


def clip(name: str, seed: int) -> Clip:
    """Return a clip whose actions show in its joints and in what is seen."""
    random = np.random.default_rng(seed)
    actions = np.repeat([*random.permutation(3), *random.permutation(3)[:2]], random.integers(10, 16, 5))
    order = tuple(actions[np.flatnonzero(np.diff(actions, prepend=-1))].tolist())
    ticks = len(actions)
    seen = np.eye(ACTIONS, SEEN)[actions] + 0.3 * random.normal(size=(ticks, SEEN))
    joints = np.eye(ACTIONS, 6)[actions] + 0.3 * random.normal(size=(ticks, 6))
    inputs = np.concatenate([seen, np.ones((ticks, 1)), joints, np.ones((ticks, 6))], 1)
    return Clip(name, inputs.astype(np.float32), actions, order)


def clips_folder(folder: Path) -> Path:
    folder.mkdir()
    counts = {"train": 6, "validation": 2, "test": 2, "unseen": 1}
    splits = {}
    for number, (split, count) in enumerate(counts.items()):
        clips = [clip(f"{split}-{index}", 10 * number + index) for index in range(count)]
        splits[split] = SeenClips(clips, {one.name: one.inputs[:, :SEEN] / 2 for one in clips})
    save_clips(folder, About(("move", "pick", "place"), COLUMNS, 10.0, tuple(splits)), splits)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Do the jobs up to the teacher once; others hang on them."""
    root = tmp_path_factory.mktemp("tables")
    found = {"clips": clips_folder(root / "clips")}
    found["first"] = do(root, "first", {}, {"clips": found["clips"]})
    found["labels"] = do(root, "teacher", {"config": TEACHER}, {"clips": found["clips"], "first": found["first"]})
    return found


def do(root: Path, kind: str, settings: dict, inputs: dict[str, Path], name: str = "") -> Path:
    folder = root / (name or kind)
    folder.mkdir(exist_ok=True)
    Runner({})(Task(Job(name or kind, kind, settings, {}), inputs, folder))
    return folder


def test_first_labels_and_teacher_give_targets_in_the_transcripts_order(folders):
    for stage, validation in (("first", 2), ("labels", 2)):
        labels = load_labels(folders[stage])
        assert (len(labels.training), len(labels.validation), len(labels.soft)) == (6, validation, 6)
        truth = clip("train-0", 0)
        said = labels.training["train-0"]
        assert tuple(said[np.flatnonzero(np.diff(said, prepend=-1))].tolist()) == truth.transcript
        assert (said == truth.actions).mean() > 0.8
        assert np.allclose(labels.soft["train-0"].sum(1), 1, atol=1e-4)


def test_a_teacher_answers_offline_and_shows_its_alignment(folders):
    (one, *_) = answer_files.load(folders["labels"] / "unseen.npz")
    assert one.offline and np.array_equal(one.truth, clip("unseen-0", 30).actions)
    aligned = answer_files.load(folders["labels"] / answer_files.ALIGNED)
    assert len(aligned) == 6 and all(len(one.targets) == len(one.truth) for one in aligned)


def test_annotations_are_hidden_under_transcripts_and_shown_to_scores_alone(folders):
    weak = load_lesson(folders["clips"], folders["labels"])
    assert all((one.actions == NO_ACTION).all() for split in ("train", "validation") for one in weak.clips[split].clips)
    assert (weak.clips["test"].clips[0].actions != NO_ACTION).all()
    annotated = load_lesson(folders["clips"], None)
    assert np.array_equal(annotated.training.targets["train-0"], clip("train-0", 0).actions)


def test_a_changed_annotation_changes_no_target(folders, tmp_path):
    weak = load_lesson(folders["clips"], folders["labels"])
    for split, seen in weak.clips.items():
        wrong = [one._replace(actions=np.zeros_like(one.actions)) for one in seen.clips]
        weak.clips[split].clips[:] = wrong  # type: ignore[index]
    (tmp_path / "clips").mkdir()
    save_clips(tmp_path / "clips", weak.about, weak.clips)
    first = do(tmp_path, "first", {}, {"clips": tmp_path / "clips"})
    for before, after in zip(*(load_labels(f).training.items() for f in (folders["first"], first)), strict=True):
        assert before[0] == after[0] and np.array_equal(before[1], after[1])


def test_realigning_keeps_answers_and_makes_targets_anew(folders, tmp_path):
    settings = {"robot": True, "bonus": 0.2, "joints": ["arm", "gripper"]}
    folder = do(tmp_path, "realign", settings, {"clips": folders["clips"], "teacher": folders["labels"]})
    pairs = zip(*(answer_files.load(f / answer_files.ALIGNED) for f in (folders["labels"], folder)), strict=True)
    for before, after in pairs:
        assert np.array_equal(before.log_probs, after.log_probs)
        assert len(after.targets) == len(after.truth)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("student", {"config": CONFIG}),
        ("student", {"config": CONFIG, "modalities": "camera"}),
        ("baseline", {"system": "rule", "seed": 0, "lag_ticks": LAG, "joints": ["arm", "gripper"]}),
        ("baseline", {"system": "logistic", "seed": 0, "lag_ticks": LAG}),
        ("baseline", {"system": "gru", "seed": 0, "lag_ticks": LAG, "preset": {**TINY, "kind": "gru"}}),
        ("baseline", {"system": "ms_tcn", "seed": 0, "lag_ticks": LAG, "preset": {**TINY, "kind": "ms_tcn"}}),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.get("system", value.get("modalities", "both"))),
)
def test_a_system_is_trained_answers_and_is_scored(folders, tmp_path, kind, settings):
    inputs = {"clips": folders["clips"], "labels": folders["labels"]}
    folder = do(tmp_path, kind, settings, inputs)
    offline = settings.get("system") == "ms_tcn"
    for split, count in (("validation", 2), ("test", 2), ("unseen", 1)):
        said = answer_files.load(folder / f"{split}.npz")
        assert len(said) == count and all(one.offline == offline for one in said)
        assert all(np.allclose(np.exp(one.log_probs).sum(1), 1, atol=1e-3) for one in said)
    (held_out, *_) = answer_files.load(folder / "validation.npz")
    assert np.array_equal(held_out.targets, load_labels(folders["labels"]).validation[held_out.name])
    assert not (folder / "run").exists()
    scoring = {"splits": ["unseen"], "decoder": "duration", "kinds": ["duration", "argmax"], "lag_ticks": LAG}
    scores = json.loads((do(tmp_path, "score", scoring, {"answers0": folder}) / SCORES).read_text())
    assert scores["unseen"]["offline" if offline else "confirmed"]["MoF"] > 0
    assert scores["all"]["model"]["parameters"] > 0 < scores["all"]["model"]["ms per tick"]
    assert (folder / "latents-unseen.npz").exists() == (kind == "student")


def test_an_empty_file_of_labels_teaches_nobody_the_annotations(monkeypatch, tmp_path):
    splits = {"train": make_tracks(1, 0), "validation": make_tracks(1, 1)}
    monkeypatch.setattr(table_chain, "_tracks", lambda *_: splits)
    monkeypatch.setattr(table_chain, "grid_of", lambda _: GRID)
    save_labels(tmp_path, Labels({}, {}, {}))
    with pytest.raises(DatasetError, match="no tick has both a picture and a target"):
        table_chain.eye({"vocabulary": "abcd", "config": SETTINGS}, {"labels": tmp_path}, {}, tmp_path)


# --- the student ------------------------------------------------------------------------------------------------------


def long_clip() -> Clip:
    one = clip("long", 5)
    return one._replace(inputs=np.tile(one.inputs, (5, 1)), actions=np.tile(one.actions, 5))


def untrained() -> CausalHal:
    return loop.new_model(config_from_mapping(CONFIG), ACTIONS, COLUMNS, [clip("a", 1)]).eval()


def test_latents_are_found_in_pieces_as_in_one(monkeypatch):
    model, one, seen = untrained(), long_clip(), []
    with torch.no_grad():
        whole, _ = model(loop.stream_inputs(one, COLUMNS), model.initial_state())
        model.register_forward_pre_hook(lambda _, given: seen.append(given[0].joints.shape[1]))
        found = table_jobs._latents(model, one)
    assert sum(seen) == one.ticks > 2 * loop.ANSWER_TICKS and max(seen) == loop.ANSWER_TICKS
    for ours, theirs in zip(found, (whole.visual, whole.context), strict=True):
        np.testing.assert_allclose(ours, theirs[0].numpy(), atol=1e-5)


def test_a_students_tick_costs_what_its_processor_spends_not_what_the_clock_says(monkeypatch):
    model = untrained()
    model.register_forward_pre_hook(lambda *_: time.sleep(0.02))  # something else runs
    assert 0 < table_jobs._student_ms(model, clip("a", 1), ticks=5) < 15


# --- other ------------------------------------------------------------------------------------------------------------


def test_a_modality_taken_away_leaves_no_trace():
    one = clip("a", 1)
    seen = SeenClips([one], {"a": one.inputs[:, :SEEN] / 2})
    (joints,) = restrict(seen, COLUMNS, "joints").clips
    assert not joints.inputs[:, : SEEN + 1].any() and joints.inputs[:, SEEN + 1 :].any()
    (camera,) = restrict(seen, COLUMNS, "camera").clips
    assert not camera.inputs[:, SEEN + 1 :].any() and np.array_equal(camera.inputs[:, :SEEN], seen.numb["a"])


def test_the_end_of_a_recording_is_held_out_with_its_own_transcript():
    one = clip("a", 1)
    before, after = hold_out(one, 0.25)
    assert before.ticks + after.ticks == one.ticks and after.name != before.name
    assert before.transcript[-1] == before.actions[-1] and after.transcript[0] == after.actions[0]
    with pytest.raises(DatasetError, match="within"):
        hold_out(one, 1.0)


def test_a_kind_that_nothing_does_is_named(tmp_path):
    with pytest.raises(ConfigError, match="'juggle', which nothing does"):
        do(tmp_path, "juggle", {}, {})
