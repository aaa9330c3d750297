"""What a run learns from: of each clip an annotation, some marks, a transcript, a tool's claims, or nothing.

All that is known of ticks stands in the clips' actions. Clips that are annotated throughout are taken as they are; the
others with a transcript are laid under it, through their known ticks; of the rest known ticks alone count. Under
transcripts alone the same is done after the annotations have been hidden, and under annotations nothing is laid out: so
full annotations of all, or transcripts of all, give the very targets of those supervisions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal_ros.core import segments
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.arrays import FloatArray
from hal_ros.core.errors import DatasetError
from hal_ros.core.work import Report
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.config import TRAINING, VALIDATION
from hal_ros.datasets.encoded_clips import EncodedClip
from hal_ros.datasets.look.known_ticks import boundaries, first_misfit, is_full
from hal_ros.labels.sources import Claims, Reliability, likeliest, log_evidence, reliabilities
from hal_ros.labels.targets import Targets, of_annotations
from hal_ros.labels.teacher.alignment import Known
from hal_ros.labels.teacher.fit import confidence
from hal_ros.labels.transcripts.first_labels import FirstLabels
from hal_ros.train.clips import probabilities
from hal_ros.train.config import ANNOTATIONS, AUTO, MIXED, TRANSCRIPTS, TrainConfig
from hal_ros.train.decoding import CHOSEN_FROM

ANNOTATED, MARKED, TRANSCRIBED = "annotated", "transcribed with marks", "transcribed"
MARKED_ALONE, CLAIMED, BARE = "marked without a transcript", "labelled by tools alone", "unlabelled"
LAID = (ANNOTATED, MARKED, TRANSCRIBED)
"""What an order is known of: annotated clips show the aligner what the actions look like."""
FEWEST_JUDGES = 2
"""So many annotated validation clips choose by themselves; one among others would choose what suits it."""
AnyClip = Clip | EncodedClip


def kind_of(clip: AnyClip) -> str:
    """Return what is told of a clip."""
    known = clip.actions != NO_ACTION
    if known.any() and _is_annotated(clip):
        return ANNOTATED
    if clip.transcript:
        return MARKED if known.any() else TRANSCRIBED
    if known.any():
        return MARKED_ALONE
    return CLAIMED if isinstance(clip, EncodedClip) and clip.claims else BARE


def _is_annotated(clip: AnyClip) -> bool:
    """Whether a person has told all of a clip, as far as its transcript goes."""
    if (clip.actions != NO_ACTION).all() or (isinstance(clip, EncodedClip) and clip.annotated):
        return True
    return is_full(clip.actions) and (not clip.transcript or _order(clip.actions) == _order(clip.transcript))


def _order(actions: Sequence[int] | NDArray[np.int64]) -> list[int]:
    return segments.transcript(np.asarray(actions, np.int64))


@dataclass(frozen=True)
class Mixture:
    """The clips of a run of which something is told, and what."""

    training: list[Any]  # Clip or EncodedClip, as of the run
    validation: list[Any]
    kinds: Mapping[str, str]  # by clip name
    align: bool  # whether any clip is to be laid under its transcript

    @property
    def pins(self) -> dict[str, NDArray[np.int64]]:
        """The known ticks (T,) of the clips that are laid out, by name; of one with none there are none."""
        both = [*self.training, *self.validation]
        pinned = [clip for clip in both if self.kinds[clip.name] in (ANNOTATED, MARKED)]
        return {clip.name: clip.actions for clip in pinned}

    @property
    def known_pairs(self) -> set[tuple[int, int]]:
        """The actions before and after each boundary that somebody has told."""
        pinned = self.pins.values()
        return {(int(known[at - 1]), int(known[at])) for known in pinned for at in boundaries(known)}

    @property
    def claims(self) -> dict[str, Claims]:
        """What tools say, by clip name and source."""
        both = [*self.training, *self.validation]
        return {clip.name: clip.claims for clip in both if isinstance(clip, EncodedClip) and clip.claims}

    def laid(self, clips: Sequence[Clip]) -> list[Clip]:
        """Return those of some of its clips that are laid under an order."""
        return [clip for clip in clips if self.kinds[clip.name] in LAID]


def mixture_of(
    config: TrainConfig, training: Sequence[AnyClip], validation: Sequence[AnyClip], report: Report = print
) -> Mixture:
    """Sort out what a supervision reads of clips. DatasetError where that is nothing, or contradicts itself.

    Also for a name that is in both splits, where clips are told apart by their names.
    """
    if config.supervision == ANNOTATIONS:
        clips = [*training, *validation]
        return Mixture(list(training), list(validation), dict.fromkeys((c.name for c in clips), ANNOTATED), False)
    hides = config.supervision == TRANSCRIPTS
    if hides:
        told = [_with_transcripts(part, report) for part in (training, validation)]
    else:
        told = [_mixed(part, whose, config, report) for part, whose in ((training, TRAINING), (validation, VALIDATION))]
        _say_who_judges(told[1], report)
    for clip in (*told[0], *told[1]):
        if (needed := len(_order(clip.transcript))) > clip.ticks:
            over = needed - clip.ticks
            report(f"{clip.name}: a transcript of {needed} actions in {clip.ticks} ticks; {over} are left out")
    kinds = {clip.name: kind_of(clip) for part in told for clip in part}
    teaches = bool(config.teacher.pseudo_labels) and any(kind not in LAID for kind in kinds.values())
    align = teaches or any(kind in (MARKED, TRANSCRIBED) for kind in kinds.values())
    mixture = Mixture(told[0], told[1], kinds, align)
    if (align or mixture.claims) and (both := sorted({c.name for c in told[0]} & {c.name for c in told[1]})):
        raise DatasetError(f"{both[0]} is the name of a training and of a validation clip; expected names of their own")
    return mixture


def _with_transcripts(clips: Sequence[AnyClip], report: Report) -> list[AnyClip]:
    """Return the clips that can be aligned, without their annotations; DatasetError when there is none."""
    kept = [_hidden(clip) for clip in clips if clip.transcript]
    if not kept:
        raise DatasetError(f"none of {len(clips)} episodes has a transcript; expected one beside each bag")
    if len(kept) < len(clips):
        report(f"left out, as they have no transcript of their own: {_stretches(len(clips) - len(kept))}")
    return kept


def _stretches(count: int) -> str:
    return f"{count} {'stretch' if count == 1 else 'stretches'}"


def _hidden(clip: AnyClip) -> AnyClip:
    nothing = np.full(clip.ticks, NO_ACTION)
    if isinstance(clip, EncodedClip):
        return replace(clip, actions=nothing, annotated=False, claims={})
    return replace(clip, actions=nothing)


def _mixed(clips: Sequence[AnyClip], split: str, config: TrainConfig, report: Report) -> list[AnyClip]:
    """Return the clips of which something is told, and the others where they get pseudo labels; say how many."""
    kinds = [kind_of(clip) for clip in clips]
    count = Counter(kinds)
    if set(count) <= {BARE}:
        raise DatasetError(f"of none of {len(clips)} episodes anything is told; expected a transcript or an annotation")
    taken = {*count} if config.teacher.pseudo_labels else {*count} - {BARE}
    order = (*LAID, MARKED_ALONE, CLAIMED, BARE)
    parts = [f"{count[k]} {k}{'' if k in taken else ' (left out)'}" for k in order if count[k]]
    report(f"{split}: {', '.join(parts)} ({_stretches(len(clips))} without gaps)")
    kept = [(clip, kind) for clip, kind in zip(clips, kinds, strict=True) if kind in taken]
    return [_ordered(clip, kind, report) for clip, kind in kept]


def _ordered(clip: AnyClip, kind: str, report: Report) -> AnyClip:
    """Return a clip with the order that its annotation has, or refuse marks that do not fit the transcript's."""
    if kind == ANNOTATED:
        found = tuple(_order(clip.actions))
        if clip.transcript and list(found) != _order(clip.transcript):
            report(f"{clip.name}: annotated in another order than its transcript's; the annotation counts")
        return replace(clip, transcript=found)
    if kind == MARKED and (tick := first_misfit(clip.transcript, clip.actions)) is not None:
        raise DatasetError(f"{clip.name}: what is told of tick {tick} does not fit its transcript; expected its order")
    return clip


def unseen_actions(training: Sequence[AnyClip], actions: int) -> list[int]:
    """Return which of K actions no training clip shows: nobody can learn them."""
    shown: set[int] = set()
    for clip in training:
        shown |= {*clip.transcript, *np.unique(clip.actions).tolist()}
        if isinstance(clip, EncodedClip):
            shown |= {action for claimed in clip.claims.values() for action in np.unique(claimed).tolist()}
    return [action for action in range(actions) if action not in shown]


# --- validation -------------------------------------------------------------------------------------------------------


def judges(supervision: str, validation: Sequence[AnyClip]) -> list[AnyClip]:
    """Return the validation clips whose known ticks choose epochs and decoder; none where aligned labels have to.

    In mixed supervision these are the annotated ones, if there are FEWEST_JUDGES of them, or no others.
    """
    if supervision == ANNOTATIONS:
        return list(validation)
    annotated = [clip for clip in validation if kind_of(clip) == ANNOTATED] if supervision == MIXED else []
    return annotated if len(annotated) >= min(FEWEST_JUDGES, len(validation)) else []


def decoder_kind(config: TrainConfig, validation: Sequence[AnyClip], report: Report = print) -> str:
    """Return the kind of decoder to be fitted: of kind "auto" the simplest, and say so, where no known ticks choose.

    Durations found by alignment are more regular than real ones: aligned labels flatter a decoder that knows them.
    """
    if config.decoder != AUTO or judges(config.supervision, validation):
        return config.decoder
    report(f"decoder: {CHOSEN_FROM[0]}, as labels of validation are aligned, which flatters {CHOSEN_FROM[1]}")
    return CHOSEN_FROM[0]


def agreement(accuracy: float, supervision: str, validation: Sequence[AnyClip]) -> str:
    """Return a share of validation ticks in words: what agrees with aligned labels need not be right."""
    whose = "are annotated" if judges(supervision, validation) else "are aligned, which tells agreement, no score"
    return f"the lagged head says {accuracy:.1%} of the validation ticks as they {whose}"


def _say_who_judges(validation: Sequence[AnyClip], report: Report) -> None:
    """Say by what is chosen in mixed supervision, unless all validation clips are annotated."""
    judging = judges(MIXED, validation)
    if not judging:
        report(
            f"epochs and decoder are chosen by aligned labels of validation; with {FEWEST_JUDGES} or more annotated "
            "validation episodes they would be chosen by these"
        )
    elif len(judging) < len(validation):
        report(f"epochs and decoder are chosen by the {len(judging)} annotated of {len(validation)} validation clips")


# --- targets ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Learnt:
    """What targets are made from, beside what is told."""

    actions: int  # K
    labels: FirstLabels | None = None  # of the clips that are laid out; None where none is
    sources: Mapping[str, Reliability] = field(default_factory=dict)
    log_probs: Mapping[str, FloatArray] = field(default_factory=dict)  # (T, K) of the teacher, for pseudo labels


def compare_sources(mixture: Mixture, learnt: Learnt, report: Report = print) -> Learnt:
    """Return also how reliable tools are beside persons' and aligned labels; each is said in a line."""
    clips = [*mixture.training, *mixture.validation]
    reference: dict[str, Any] = {clip.name: probabilities(clip.actions, learnt.actions)[0] for clip in clips}
    sources = reliabilities(mixture.claims, reference | (learnt.labels.soft if learnt.labels else {}))
    for source in sources.values():
        report(source.line())
    return replace(learnt, sources=sources)


def known_of(mixture: Mixture, learnt: Learnt) -> Known:
    """Return what the teacher is told of the clips that are laid out."""
    evidence = {name: log_evidence(claims, learnt.sources, learnt.actions) for name, claims in mixture.claims.items()}
    return Known(mixture.pins, evidence)


def targets_of(mixture: Mixture, learnt: Learnt, config: TrainConfig) -> Targets:
    """Return the targets of all clips of a run, from whatever is told of each."""
    if not mixture.align and not mixture.claims:
        return of_annotations(mixture.training, mixture.validation)
    found = {clip.name: _target(clip, mixture, learnt, config) for clip in mixture.training}
    told = {name: one for name, one in found.items() if (one.ids != NO_ACTION).any()}
    judging = judges(config.supervision, mixture.validation) or mixture.validation
    chosen_by = {clip.name: _target(clip, mixture, replace(learnt, log_probs={}), config) for clip in judging}
    return Targets(
        {name: one.ids for name, one in told.items()},
        {name: one.ids for name, one in chosen_by.items() if (one.ids != NO_ACTION).any()},
        {name: one.soft for name, one in told.items() if one.soft is not None},
        {name: one.weight for name, one in told.items() if one.weight is not None},
    )


@dataclass(frozen=True)
class _Target:
    ids: NDArray[np.int64]  # (T,)
    soft: NDArray[Any] | None = None  # (T, K)
    weight: FloatArray | None = None  # (T,)


def _target(clip: AnyClip, mixture: Mixture, learnt: Learnt, config: TrainConfig) -> _Target:
    """Return the target of one clip; a tool's word counts where no person's and no transcript's does."""
    kind, power = mixture.kinds[clip.name], config.teacher.doubt_discount
    if kind == ANNOTATED:
        return _Target(clip.actions)
    if kind in LAID and learnt.labels is not None:
        soft = learnt.labels.soft[clip.name]
        return _Target(learnt.labels.hard[clip.name], soft, confidence(soft, power) if power else None)
    ids, weight = clip.actions, (clip.actions != NO_ACTION).astype(np.float32)
    if clip.name in mixture.claims:
        claimed, sure = likeliest(log_evidence(mixture.claims[clip.name], learnt.sources, learnt.actions))
        ids, weight = np.where(ids == NO_ACTION, claimed, ids), np.where(ids == NO_ACTION, sure, weight)
    if clip.name in learnt.log_probs:
        chances = np.exp(learnt.log_probs[clip.name])
        pseudo = (config.teacher.pseudo_labels * chances.max(1)).astype(np.float32)
        ids, weight = np.where(ids == NO_ACTION, chances.argmax(1), ids), np.where(ids == NO_ACTION, pseudo, weight)
    return _Target(ids.astype(np.int64), None, weight.astype(np.float32))
