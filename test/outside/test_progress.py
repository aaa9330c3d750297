"""How far work is: nobody waits long for a line, short work says nothing, and a terminal has bars that go again."""

from __future__ import annotations

import io
import sys
from contextlib import suppress

import pytest

from hal_ros.outside.progress import EVERY_S, Clock, progress, tracked


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


class Watch:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def test_a_line_is_told_once_ten_seconds_have_passed() -> None:
    watch, lines = Watch(), list[str]()
    with progress("student", 8, lines.append, Clock(watch)) as shown:
        for number in range(1, 9):
            watch.s += EVERY_S / 4
            shown.reach(number, f"{number}/8")
    assert lines == ["student 4/8: 50%, 10 s", "student 8/8: 100%, 20 s"]


def test_pieces_in_one_another_tell_together_what_each_is_too_short_for() -> None:
    watch, lines = Watch(), list[str]()
    with progress("run", 6, lines.append, Clock(watch)) as outer:
        for _ in range(6):
            for _ in tracked(range(3), "part", 3, lines.append):
                watch.s += EVERY_S / 6
            outer.advance()
    assert [line.split(",")[0] for line in lines] == ["part 3/3: 100%", "part 3/3: 100%", "part 3/3: 100%"]


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(tracked("abc", "letters", 3)) == ["a", "b", "c"]
    assert capsys.readouterr().out == ""


def test_work_of_no_size_or_that_fails_leaves_no_clock_behind() -> None:
    watch, lines = Watch(), list[str]()
    with suppress(ValueError), progress("proof", 0, lines.append, Clock(watch)) as shown:
        watch.s += EVERY_S
        shown.reach(0)
        raise ValueError
    with progress("next", 1, lines.append) as shown:
        shown.advance()
    assert lines == ["proof: at work, 10 s"]


def test_a_terminal_has_a_bar_for_each_piece_and_keeps_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress("[run]", 2) as outer, progress("part", 2) as inner:
        inner.reach(1, "1/2")
        outer.bars.refresh()  # type: ignore[attr-defined]
        print("an epoch's line" + 90 * " x")
    drawn = terminal.getvalue()
    assert all(text in drawn for text in ("[run]", "part 1/2", " 50 %", "an epoch's line" + 90 * " x" + "\n"))
    assert "[progress" not in drawn
    assert sys.stdout is terminal
    with progress("later", 1) as later:
        assert len(later.bars.tasks) == 1  # type: ignore[attr-defined]
