"""The teacher: learns from transcripts alone, ends the same when it is cut off, and bears odd data."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hal_ros.core.errors import ConfigError, DatasetError  # noqa: E402
from hal_ros.datasets.clips import Clip  # noqa: E402
from hal_ros.fit.loop import RunSession  # noqa: E402
from hal_ros.fit.scalars import Scalars  # noqa: E402
from hal_ros.labels.teacher import alignment as teacher_alignment  # noqa: E402
from hal_ros.labels.teacher import fit as module  # noqa: E402
from hal_ros.labels.teacher.batches import LONGEST_STEPS, plan, steps_of  # noqa: E402
from hal_ros.labels.teacher.config import TeacherConfig  # noqa: E402
from hal_ros.labels.teacher.fit import Transcribed, align_clips, train_teacher  # noqa: E402
from hal_ros.labels.transcripts.durations import place  # noqa: E402
from synthetic_clips import ACTIONS, FEATURES, accuracy, make_clips  # noqa: E402

SMALL = TeacherConfig(
    width=16, heads=2, layers=3, feed_forward=16, visual_width=8, action_width=8, visual_layer=1, dropout=0.1,
    start_epochs=2, epochs=2, batch_clips=4, learning_rate=1e-2,
)  # fmt: skip
HAL = dataclasses.replace(SMALL, elbo=0.1, slowness=0.1, contrast=0.1)


def quiet(_: str) -> None: ...


def train(
    config: TeacherConfig = SMALL,
    clips: Any = None,
    seed: int = 0,
    folder: Any = None,
    report: Callable[..., Any] = quiet,
    **more: Any,
) -> Any:
    material = Transcribed(more.pop("actions", ACTIONS), clips or make_clips(8), **more)
    return train_teacher(config, material, seed, RunSession(folder, report))


def weights(teacher: Any) -> Any:
    return torch.cat([tensor.reshape(-1) for tensor in teacher.model.state_dict().values()])


VARIANTS = {
    "plain": SMALL,
    "hal": HAL,
    "literal": dataclasses.replace(HAL, literal=True, prior="standard"),
    "atba": dataclasses.replace(SMALL, start="video", aligner="boundaries", soft=False, contrast=0.1),
    "posterior": dataclasses.replace(SMALL, start="uniform", aligner="posterior", bands="flat"),
    "no start": dataclasses.replace(SMALL, start_epochs=0),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_trains_and_aligns(variant: str) -> None:
    clips = make_clips(8)
    lines: list[str] = []
    teacher = train(VARIANTS[variant], clips, validation=clips[:2], report=lines.append)
    assert len(lines) == VARIANTS[variant].start_epochs + VARIANTS[variant].epochs
    assert ("elbo" in lines[0]) == (VARIANTS[variant].elbo > 0)
    assert "validation_frame" in lines[-1]
    labels = align_clips(teacher, clips)
    for clip in clips:
        assert [action for action, _ in itertools.groupby(labels.hard[clip.name])] == list(clip.transcript)
        np.testing.assert_allclose(labels.soft[clip.name].sum(1), 1, atol=1e-4)


def test_transcripts_alone_teach_the_actions() -> None:
    clips, others = make_clips(24), make_clips(6, seed=1)
    config = dataclasses.replace(SMALL, start_epochs=4, epochs=2)
    teacher = train(config, clips)
    assert accuracy(align_clips(teacher, clips).hard, clips) > 0.95
    assert accuracy({clip.name: teacher.log_probs(clip).argmax(1) for clip in others}, others) > 0.9
    blind = [dataclasses.replace(clip, actions=np.zeros(clip.ticks, np.int64)) for clip in clips]
    assert torch.equal(weights(train(config, blind)), weights(teacher))  # annotations are not looked at


def test_a_seed_gives_the_same_weights_and_another_gives_others() -> None:
    first = weights(train(HAL, seed=3))
    assert torch.equal(weights(train(HAL, seed=3)), first)
    assert not torch.equal(weights(train(HAL, seed=4)), first)


class CutError(Exception):
    """The power went out."""


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_run_that_was_cut_off_ends_as_the_whole_one(tmp_path: Path, epochs: int) -> None:
    whole = train(HAL)
    told = 0

    def report(_: str) -> None:
        nonlocal told
        told += 1
        if told > epochs:
            raise CutError

    with pytest.raises(CutError):
        train(HAL, folder=tmp_path, report=report)
    again = train(HAL, folder=tmp_path)
    assert torch.equal(weights(again), weights(whole))
    np.testing.assert_array_equal(again.statistics.durations.mean, whole.statistics.durations.mean)


def test_every_phase_of_the_stride_is_seen_as_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, (clip,) = train(dataclasses.replace(SMALL, stride_ticks=3)), make_clips(1)
    found = teacher.log_probs(clip)
    assert found.shape == (clip.ticks, ACTIONS)
    np.testing.assert_allclose(np.exp(found).sum(1), 1, atol=1e-5)
    alone = teacher.log_probs(dataclasses.replace(clip, inputs=clip.inputs[1::3], actions=clip.actions[1::3]))
    assert np.abs(alone - found[1::3]).max() > 1e-3  # at a third of the rate it is another video
    one_phase = teacher.model(torch.from_numpy(clip.inputs[1::3])[None], torch.ones(1, len(found[1::3]))).log_probs
    np.testing.assert_allclose(one_phase[0].detach().numpy(), found[1::3], atol=1e-5)
    monkeypatch.setattr(module, "EMBED_TICKS", 7)
    np.testing.assert_allclose(teacher.log_probs(clip), found, atol=1e-5)


def test_odd_clips_are_borne() -> None:
    clips = make_clips(6)
    broken = clips[0].inputs.copy()
    broken[:, 0], broken[:, 1], broken[5] = np.nan, 7.0, np.inf
    one = Clip("one frame", clips[0].inputs[:1], clips[0].actions[:1], (2,))
    repeated = dataclasses.replace(
        clips[1], name="repeated", transcript=tuple(np.repeat(clips[1].transcript, 2).tolist())
    )
    crowded = Clip("more actions than ticks", clips[0].inputs[:3], clips[0].actions[:3], (0, 1, 2, 3, 0))
    everything = [dataclasses.replace(clips[0], inputs=broken), *clips[1:], one, repeated, crowded]
    teacher = train(HAL, everything, actions=ACTIONS + 1)  # one action never occurs
    assert weights(teacher).isfinite().all()
    labels = align_clips(teacher, everything)
    assert all(np.isfinite(soft).all() for soft in labels.soft.values())
    assert labels.hard["one frame"].tolist() == [2]


def test_a_very_long_video_is_trained_on_and_aligned() -> None:
    actions = np.repeat([0, 1, 2, 3, 0], 20_000)
    means = np.random.default_rng(99).normal(size=(ACTIONS, FEATURES)) * 2
    inputs = means[actions] + np.random.default_rng(0).normal(size=(100_000, FEATURES))
    clip = Clip("long", inputs.astype(np.float16), actions.astype(np.int64), (0, 1, 2, 3, 0))
    teacher = train(dataclasses.replace(SMALL, stride_ticks=25, start_epochs=30, epochs=0), [clip])
    assert teacher.log_probs(clip).shape == (100_000, ACTIONS)
    assert accuracy(align_clips(teacher, [clip]).hard, [clip]) > 0.95


def test_a_clip_of_any_length_makes_no_more_steps_than_memory_bears() -> None:
    clip = Clip("endless", np.zeros((3 * LONGEST_STEPS, 1)), np.zeros(3 * LONGEST_STEPS, np.int64), (0,))
    assert steps_of(clip, 1) == LONGEST_STEPS
    assert steps_of(clip, 6) == LONGEST_STEPS // 2
    assert sorted(plan([clip, clip], 1, 8, np.random.default_rng(0))) == [[0], [1]]


@pytest.mark.parametrize("start", ["uniform", "video"])
def test_a_start_without_model_merges_the_steps_of_a_long_clip(monkeypatch: pytest.MonkeyPatch, start: str) -> None:
    seen = []

    def watched(scores: Any, *more: Any) -> Any:
        seen.append(len(scores))
        return place(scores, *more)

    monkeypatch.setattr(teacher_alignment, "place", watched)
    order = (0, 1, 2, 3)
    clip = Clip("long", np.zeros((20_000, 1), np.float32), np.zeros(20_000, np.int64), order)
    config = dataclasses.replace(SMALL, start=start, stride_ticks=1)
    run = module._TeacherTraining(config, Transcribed(ACTIONS, [clip]), 0, Scalars())
    run.resume(0, {})
    assert seen == [2000]
    np.testing.assert_allclose(run.statistics.frequency, 1 / 4, atol=1e-3)
    if start == "uniform":
        assert run.targets[0].shape == (20_000, ACTIONS)


@pytest.mark.parametrize("start", ["durations", "uniform", "video"])
def test_one_tick_alone_is_trained_on(start: str) -> None:
    one = Clip("one frame", np.ones((1, FEATURES), np.float32), np.zeros(1, np.int64), (2,))
    teacher = train(dataclasses.replace(HAL, start=start), [one])
    assert weights(teacher).isfinite().all()
    assert align_clips(teacher, [one]).hard["one frame"].tolist() == [2]


def test_labels_from_elsewhere_replace_the_start() -> None:
    clips = make_clips(4)
    start = align_clips(train(clips=clips), clips)
    turned = dataclasses.replace(start, soft={name: np.roll(soft, 1, 1) for name, soft in start.soft.items()})
    only_start = dataclasses.replace(SMALL, start_epochs=3, epochs=0)
    assert torch.equal(weights(train(only_start, clips, start=start)), weights(train(only_start, clips, start=start)))
    assert not torch.equal(
        weights(train(only_start, clips, start=turned)), weights(train(only_start, clips, start=start))
    )


def test_an_empty_transcript_is_refused_by_name() -> None:
    clips = make_clips(2)
    clips[1] = dataclasses.replace(clips[1], transcript=())
    with pytest.raises(DatasetError, match=f"clip {clips[1].name} has an empty transcript"):
        train(clips=clips)
    with pytest.raises(DatasetError, match="empty transcript"):
        align_clips(train(), clips)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prior": "flow"}, "teacher.prior is 'flow'; expected transition or standard"),
        ({"heads": 3}, "teacher.heads is 3"),
        ({"visual_layer": 3}, "teacher.visual_layer is 3; expected 1 to 2"),
        ({"epochs": 0, "start_epochs": 0}, "teacher.epochs is 0"),
        ({"elbo": -1.0}, "teacher.elbo is -1.0; expected 0 or more"),
    ],
)
def test_settings_no_run_could_use_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(SMALL, **change)
