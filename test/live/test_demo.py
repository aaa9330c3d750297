"""The demo ends when no labels come, and plays a recording where nothing can be rendered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hal_ros.bags.reader import read_messages
from hal_ros.core.errors import HalError
from hal_ros.live import demo
from hal_ros.sim import render


def test_labels_that_do_not_come_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(demo.time, "monotonic", lambda: now)  # type: ignore[attr-defined]
    watch = demo.Watch(duration_s=30.0)
    now += demo.FIRST_LABEL_LIMIT_S - 1
    assert watch.failure() == ""
    assert watch.update(0) is False
    now += 2
    assert "no label came within" in watch.failure()
    assert watch.update(1) is True
    assert watch.update(2) is False
    assert (watch.failure(), watch.is_over()) == ("", False)
    assert watch.start_s == demo.FIRST_LABEL_LIMIT_S + 1
    now += demo.SILENCE_LIMIT_S + 1
    assert "after 2" in watch.failure()
    watch.update(3)
    now += 20
    assert watch.is_over()


def test_without_rendering_the_shipped_recording_is_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(os.environ, "MUJOCO_GL", "egl")

    def refuse() -> None:
        raise HalError("can't render: install libegl1")

    monkeypatch.setattr(render, "check_gl", refuse)
    assert demo.fallback() == demo.DEMO_RECORDING
    assert "libegl1" in capsys.readouterr().err
    monkeypatch.setattr(render, "check_gl", lambda: None)
    assert demo.fallback() is None
    assert demo.DEMO_RECORDING.stat().st_size <= 3_000_000
    topics = {message.topic for message in read_messages(demo.DEMO_RECORDING)}
    assert {"/camera/color/image_raw/compressed", "/joint_states", "/simulation/action_truth"} <= topics
