"""What the planner promises, event by event. A script of labels stands in for the segmenter; nothing here needs ROS."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hal_planner import tabletop
from hal_planner.options import PlanError
from hal_planner.planner import Boundary, Command, Label, Outcome, Planner, State

NAMES = ("press_button", "hover_button", "open_drawer", "close_drawer", "pick_cup", "pour", "tilt_empty", "return_cup")
BLOCKS = [
    f"{name}_{c}{on}"
    for c in ("red", "blue")
    for name, on in (("pick", ""), ("place", "_on_plate"), ("place", "_on_tray"))
]
DURATIONS = {name: {"mean_s": 6.0, "p99_s": 8.0} for name in (*NAMES, *BLOCKS, "home")}
TIMEOUT_S = 8.0 * tabletop.MARGIN
PLANNER = Planner(tabletop.options(DURATIONS))
PLAN = tabletop.plan_of(("red_to_plate", "press"))


class Robot:
    """A planner, and a script of what the segmenter says: labels every 0.1 s, an event at each change."""

    def __init__(self, plan: Sequence[str] = PLAN, session: int = 7) -> None:
        self.state: State = PLANNER.start(plan, tabletop.START)
        self.now_s, self.segment_id, self.session = 0.0, 0, session
        self.commands: list[Command] = []

    def take(self, answer: tuple[State, Command | None]) -> None:
        self.state, command = answer
        if command is not None:
            self.commands.append(command)

    def does(self, *labels: str, seconds: float = 1.0, confidence: float = 0.9, events: bool = True) -> Robot:
        for label in labels:
            self.segment_id += 1
            if events:
                self.take(PLANNER.on_boundary(self.state, Boundary(self.now_s, label, self.segment_id, self.session)))
            for _ in range(round(seconds * 10)):
                seen = Label(self.now_s, label, confidence, self.segment_id, self.session)
                self.take(PLANNER.on_label(self.state, seen))
                self.now_s += 0.1
                self.take(PLANNER.on_time(self.state, self.now_s))
        return self

    def is_silent(self, seconds: float) -> Robot:
        for _ in range(round(seconds * 10)):
            self.now_s += 0.1
            self.take(PLANNER.on_time(self.state, self.now_s))
        return self

    @property
    def told(self) -> list[str]:
        return [command.option for command in self.commands]


def test_options_follow_one_another_as_their_last_actions_end_and_inner_boundaries_only_advance() -> None:
    robot = Robot().does("idle")
    assert robot.told == ["pick_red"]
    assert robot.does("move").state.reached == 0
    assert robot.does("pick_red").state.reached == 1
    assert robot.told == ["pick_red"]
    robot.does("idle", "carry", "place_plate", "idle", "move", "press_button", "idle", "move", "idle")
    assert robot.told == ["pick_red", "place_red_on_plate", "press_button", "home", ""]
    assert {command.outcome for command in robot.commands[1:]} == {Outcome.SUCCEEDED}
    assert robot.state.done
    assert robot.state.facts == {"hand_empty", "red_on_plate", "press_button_done"}


def test_a_lost_event_is_made_good_by_the_next_label() -> None:
    seen = Robot().does("idle", "move", "pick_red", "idle")
    unheard = Robot().does("idle", "move", "pick_red", "idle", events=False)
    assert unheard.told == seen.told == ["pick_red", "place_red_on_plate"]


def test_a_missed_grasp_is_tried_again_and_the_attempts_end() -> None:
    robot = Robot().does("idle", "move", "missed_grasp", "idle")
    assert robot.told == ["pick_red", "pick_red"]
    assert robot.commands[-1].outcome is Outcome.FAILED
    robot.does("move", "pick_red", "idle")
    assert robot.told[-1] == "place_red_on_plate"
    gives_up = Robot().does(*["idle", "move", "missed_grasp"] * 4, "idle")
    assert gives_up.told == ["pick_red"] * 4 + ["safe"]
    assert "given up after 4" in gives_up.commands[-1].reason
    assert gives_up.does("move", "idle").told[-1] == ""
    assert not gives_up.state.done


def test_a_block_that_is_not_in_the_hand_is_picked_again() -> None:
    robot = Robot().does("idle", "move", "pick_red", "idle", "move", "idle")
    assert robot.told == ["pick_red", "place_red_on_plate", "pick_red"]
    robot.does("move", "pick_red", "idle", "carry", "place_plate", "idle")
    assert robot.told[3:] == ["place_red_on_plate", "press_button"]


def test_a_pause_taken_for_the_end_is_waited_out_but_not_for_ever() -> None:
    robot = Robot().does("idle", "move").does("idle", seconds=2.0).does("move", "pick_red", "idle")
    assert robot.told == ["pick_red", "place_red_on_plate"]
    stops = Robot().does("idle", "move").does("idle", seconds=5.0)
    assert stops.told == ["pick_red", "pick_red"]


def test_an_option_whose_change_never_comes_ends_by_its_time_out_in_the_safe_one() -> None:
    robot = Robot().does("idle", "move").does("pick_red", seconds=TIMEOUT_S)
    assert robot.told == ["pick_red", "safe"]
    assert robot.commands[-1].outcome is Outcome.TIMED_OUT
    assert robot.does("move", "idle").told[-1] == "pick_red"


@pytest.mark.parametrize("session", [7, 8])
def test_silence_leads_to_the_safe_option_and_fresh_labels_out_of_it(session: int) -> None:
    robot = Robot().does("idle", "move").is_silent(30.0)
    assert robot.told == ["pick_red", "safe"]  # it stays safe for as long as nobody says what happens
    robot.session = session
    robot.segment_id = 0 if session != 7 else robot.segment_id
    robot.does("idle")
    assert robot.told == ["pick_red", "safe", "pick_red"]
    assert robot.state.attempt == 1  # it is nobody's failure


def test_a_segmenter_that_was_started_anew_in_a_blink_leads_to_the_safe_option() -> None:
    robot = Robot().does("idle", "move")
    robot.session, robot.segment_id = 8, 0
    assert robot.does("pick_red").told == ["pick_red", "safe"]
    assert "anew" in robot.commands[-1].reason


def test_what_does_not_belong_has_to_last_before_it_counts() -> None:
    assert Robot().does("idle", "move").does("pour", seconds=0.5).does("pick_red", "idle").told[-1] != "safe"
    assert Robot().does("idle", "move").does("pour", seconds=2.0).told == ["pick_red", "safe"]


def test_doubt_has_to_last_before_it_counts() -> None:
    assert Robot().does("idle", "move").does("pick_red", seconds=1.0, confidence=0.1).told == ["pick_red"]
    assert Robot().does("idle", "move").does("pick_red", seconds=2.0, confidence=0.1).told == ["pick_red", "safe"]


def test_deviation_from_the_plan_leads_to_the_safe_option_once() -> None:
    robot = Robot().does("idle", "move")
    robot.take(PLANNER.on_deviation(robot.state, True, robot.now_s))
    robot.take(PLANNER.on_deviation(robot.state, True, robot.now_s))
    assert robot.told == ["pick_red", "safe"]


def test_nothing_happens_before_the_first_label() -> None:
    assert Robot().is_silent(100.0).told == []


def test_plans_that_can_not_be_followed_are_refused() -> None:
    with pytest.raises(PlanError, match="step 1 is 'fly'; expected one of"):
        PLANNER.start(["pick_red", "fly"], tabletop.START)
    with pytest.raises(PlanError, match="step 0, place_red_on_plate, requires red_held"):
        PLANNER.start(["place_red_on_plate"], tabletop.START)


def test_every_macro_becomes_options_that_can_follow_one_another() -> None:
    macros = ("red_to_plate", "blue_to_tray", "press", "hover", "pour", "tilt", "open", "close")
    state = PLANNER.start(tabletop.plan_of(macros), tabletop.START)
    assert len(state.plan) == 2 * 2 + 2 + 2 * 3 + 2 + 1
