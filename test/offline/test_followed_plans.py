"""Plans that a recording names, taken up where they counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import make_card
from hal_ros.bags.answer_messages import FOLLOWED_TYPE, followed_message
from hal_ros.bags.definitions import BagTypes
from hal_ros.bags.frames import Frame
from hal_ros.bags.inputs import find_inputs
from hal_ros.bags.messages import serialise
from hal_ros.bags.reader import BagMessage, BagWriter, read_messages
from hal_ros.core.decoding.known_plan import PlanTracker
from hal_ros.core.errors import ConfigError
from hal_ros.core.planning.known import LastKnown
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.streams.intake import Due
from hal_ros.offline.bundle import BundleChoice
from hal_ros.offline.followed_plans import FOLLOWED_TOPIC, FollowedPlans, PlanChange, recorded_plans
from hal_ros.offline.named_ticks import named_frames, named_ticks
from hal_ros.offline.replay import LABEL_TOPIC, PLAN_TOPIC, replay
from hal_ros.offline.run import ReplayJob, run_replay
from hal_ros.runtime.backend import open_backend
from hal_ros.runtime.bundle import load_bundle

CARD = make_card()
S = 1_000_000_000
LIFE = 7


def frame(stamp_s: int, received_s: int, session: int = LIFE) -> Frame:
    nothing = np.zeros(0, np.float32)
    return Frame(Due(stamp_s * S, 0, 0, {}, nothing, nothing, ()), {}, "camera", received_s * S, session=session)


def message(actions: tuple[int, ...], after_s: int, received_s: int, session: int = LIFE) -> BagMessage:
    data = serialise(followed_message(actions, CARD.vocabulary, LastKnown(None, after_s * S, "camera"), session))
    return BagMessage(FOLLOWED_TOPIC, FOLLOWED_TYPE, received_s * S, data)


def change(after_s: int, received_s: int, session: int = LIFE, steps: int = 1) -> PlanChange:
    tracker = PlanTracker([0] * steps, CARD) if steps else None
    return PlanChange(message((0,) * steps, after_s, received_s, session), after_s * S, session, tracker)


def taken_up(changes: list[PlanChange], frames: list[Frame]) -> list[int]:
    """How many plans count from each frame on."""
    plans = FollowedPlans(changes=changes)
    return [len(list(plans.before(one))) for one in frames]


def test_a_plan_counts_after_the_label_that_it_names() -> None:
    frames = [frame(stamp, stamp) for stamp in (10, 11, 12, 13)]
    assert taken_up([change(0, 10), change(11, 11), change(11, 11)], frames) == [1, 0, 2, 0]


def test_one_that_was_latched_before_the_recording_counts_from_its_beginning() -> None:
    assert taken_up([change(3, 10)], [frame(10, 10), frame(11, 11)]) == [1, 0]


def test_where_stamps_come_again_the_time_of_reception_decides() -> None:
    frames = [frame(10, 100), frame(11, 101), frame(3, 103), frame(4, 104)]
    assert taken_up([change(3, 103)], frames) == [0, 0, 0, 1]


def test_a_plan_of_another_life_of_the_node_waits_for_it() -> None:
    frames = [frame(10, 10), frame(11, 11), frame(12, 12, session=8), frame(13, 13, session=8)]
    assert taken_up([change(0, 10), change(0, 12, session=8)], frames) == [1, 0, 1, 0]
    unnamed = [frame(10, 10, session=0), frame(11, 11, session=0)]
    assert taken_up([change(0, 10), change(10, 10)], unnamed) == [1, 1]


def bag_of(path: Path, *messages: BagMessage) -> Path:
    with BagWriter(path) as bag:
        for one in messages:
            bag.write(one.topic, one.type_name, one.data, one.receive_ns)
    return path


def test_recorded_plans_are_read_as_they_were_told(tmp_path: Path) -> None:
    bag = bag_of(tmp_path / "bag.mcap", message((0, 2), 0, 1), message((), 5, 6, session=8))
    first, second = recorded_plans(bag, [FOLLOWED_TOPIC], CARD)
    assert first.tracker is not None and first.tracker.plan == (0, 2)
    assert (second.tracker, second.after_ns, second.session) == (None, 5 * S, 8)
    assert recorded_plans(bag, [], CARD) == []


def test_a_plan_of_another_model_is_refused(tmp_path: Path) -> None:
    def other(actions: tuple[int, ...]) -> Any:
        data = serialise(followed_message(actions, ("wave", "bow"), LastKnown(), LIFE))
        return BagMessage(FOLLOWED_TOPIC, FOLLOWED_TYPE, S, data)

    bag = bag_of(tmp_path / "bag.mcap", other((1,)))
    with pytest.raises(ConfigError, match="plan: action 'bow' is unknown; expected one of red, green, blue"):
        recorded_plans(bag, [FOLLOWED_TOPIC], CARD)


GOLDEN = Path(__file__).parents[1] / "golden" / "0.1.0"


def test_the_progress_in_a_recording_is_repeated_with_its_plans(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = load_bundle(GOLDEN / "bundle")
    card, bag = bundle.card, GOLDEN / "recording.mcap"
    answers = list(read_messages(GOLDEN / "answers.mcap", [LABEL_TOPIC]))
    ticks, _ = named_ticks(answers, card, BagTypes.of(GOLDEN / "answers.mcap"))
    ticks = [replace(tick, session=LIFE) for tick in ticks]
    told = bag_of(
        tmp_path / "told.mcap",
        *(
            BagMessage(
                FOLLOWED_TOPIC,
                FOLLOWED_TYPE,
                answers[at].receive_ns,
                serialise(followed_message(ids, card.vocabulary, LastKnown(None, ticks[at].stamp_ns), LIFE)),
            )
            for at, ids in ((20, (1, 2, 3)), (40, ()), (50, (0, 4)))
        ),
    )
    inputs = find_inputs(bag, card.streams, card.name)
    frames = named_frames(read_messages(bag, inputs.all_topics), ticks, inputs, Counter())
    segmenter = Segmenter(card, open_backend(bundle, "onnxruntime")[0])
    plans = FollowedPlans(changes=recorded_plans(told, [FOLLOWED_TOPIC], card))
    recorded = bag_of(tmp_path / "recorded.mcap", *replay(frames, segmenter, plans=plans))
    choice = BundleChoice(bundle.folder, "onnxruntime")
    assert run_replay(ReplayJob(bag, ticks_from=recorded), choice)
    assert f"{PLAN_TOPIC}: 50 of 50 recorded messages equal byte for byte" in capsys.readouterr().out
    other = tmp_path / "plan.txt"
    other.write_text("idle\n")
    assert run_replay(ReplayJob(bag, ticks_from=recorded, plan=other), choice)  # somebody asks for another plan
    assert PLAN_TOPIC not in capsys.readouterr().out
