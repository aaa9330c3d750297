"""The planner's table: an episode is driven to its end, and rows say what the lines hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import planner_table
from hal_ros.sim.driven.disturbances import NONE
from planner_episode import DrivenEpisode
from planner_events import GripperAndVelocity, Rule, Truth


def line(policy: str, number: int, success: float) -> dict[str, Any]:
    values = dict.fromkeys(planner_table.METRICS, 0.0)
    return {"policy": policy, "number": number, **values, "success": success}


def test_the_truth_drives_an_episode_to_its_goal() -> None:
    driven = DrivenEpisode(planner_table.spec_of(11), NONE, planner_table.planner_of(), lambda _: Truth())
    result = driven.run()
    assert result.success
    assert result.wrong_switches == 0
    assert [command.option for command in driven.commands][-2:] == ["home", ""]


def test_a_hasty_rule_ends_what_still_runs() -> None:
    hasty = Rule(still_s=0.2)
    driven = DrivenEpisode(
        planner_table.spec_of(11), NONE, planner_table.planner_of(), lambda _: GripperAndVelocity(hasty)
    )
    result = driven.run()
    assert result.early > 0
    assert not result.success


def test_rows_are_means_over_seeds_and_say_how_much_of_the_gap_is_closed() -> None:
    success = {"boundaries": (1, 0.5), "gripper_velocity": (0, 0.5), "truth": (1, 1)}
    lines = [
        line(policy, seed * 2 + n, value)
        for policy, values in success.items()
        for seed, value in enumerate(values)
        for n in range(2)
    ]
    rows = planner_table.table([*lines, line("truth", 99, 0.0)], list(success), seeds=2, episodes=2)
    found = {(row["policy"], row["metric"]): row for row in rows}
    assert found["boundaries", "success"] == {
        "policy": "boundaries",
        "metric": "success",
        "mean": 0.75,
        "std": 0.3536,
        "seeds": 2,
    }
    assert found["gap closed", "success"]["mean"] == round((0.75 - 0.25) / (1 - 0.25), 4)
    assert "| truth | 1.00 ± 0.00 |" in planner_table.markdown(rows)


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    whole = json.dumps(line("truth", 0, 1.0)) + "\n"
    (tmp_path / "episodes.jsonl").write_text(whole + whole[:20])
    assert planner_table.read(tmp_path) == [line("truth", 0, 1.0)]
    assert planner_table.read(tmp_path / "nowhere") == []
