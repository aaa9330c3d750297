"""The summary counts what is in the bags, and the sheet has one row for each phase."""

from __future__ import annotations

from pathlib import Path

import pytest

from other_robots.recording import FORMS, JOINT_STATE, Form
from other_robots.summary import MOMENTS, describe, draw_sheet, read_episode
from other_robots_bags import Plot, write_other_robot

PLOT = Plot(("idle", "push", "idle"), seconds=0.5)


def test_an_episode_is_measured(tmp_path: Path) -> None:
    episode = read_episode(write_other_robot(tmp_path, "panda", FORMS[0], PLOT))
    assert episode.seconds == pytest.approx(1.5)
    assert episode.segments == tuple((action, pytest.approx(0.5)) for action in PLOT.actions)
    arm = episode.topics["/joint_states"]
    assert (arm.type_name, arm.messages) == (JOINT_STATE, 150)
    assert 1.0 <= arm.late_ms[0] < arm.late_ms[1] < 50.0


def test_a_split_is_described(tmp_path: Path) -> None:
    bags = [write_other_robot(tmp_path / str(form.turns), "panda", form, PLOT) for form in FORMS[:2]]
    first, *lines = describe("train", [read_episode(bag) for bag in bags])
    assert first.startswith("train: 2 episodes, 3 s (2 to 2), 3 to 3 segments (mean 3.0)")
    (idle,) = (line for line in lines if line.split()[0] == "idle")
    assert idle.split()[1:4] == ["4", "segments", "2.0"]
    (front,) = (line for line in lines if line.split()[0] == "/front/image_raw/compressed")
    assert "12.0 Hz in 2 bags" in front


@pytest.mark.parametrize("form", [FORMS[0], FORMS[2]])
def test_a_sheet_has_a_row_for_each_phase(tmp_path: Path, form: Form) -> None:
    sheet = draw_sheet(write_other_robot(tmp_path, "aloha", form, Plot(("wait", "push", "wait"), seconds=0.5)))
    assert sheet.shape[0] == 3 * (132 + 3)
    assert sheet.shape[1] == len(MOMENTS) * (176 + 3 + 2 * (160 + 3))
