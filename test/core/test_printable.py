"""No text of others steers the reader's terminal, and none becomes unreadable for it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_ros.core.printable import one_line, printable

TEXT = st.text(alphabet=st.characters(codec=None))


@given(TEXT)
def test_nothing_that_steers_is_left(text: str) -> None:
    for shown in (printable(text), one_line(text)):
        kinds = {unicodedata.category(character) for character in shown.replace("\n", "").replace("\t", "")}
        assert not kinds & {"Cc", "Cs", "Zl", "Zp"}
        assert not any("\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069" for character in shown)
        shown.encode()  # half characters, as of a file's name that is no UTF-8, could not be printed
    assert "\n" not in one_line(text)


@given(TEXT)
def test_what_is_printable_stays(text: str) -> None:
    assert printable(printable(text)) == printable(text)


@pytest.mark.parametrize("text", ["pick up", "größe 抓取 захват", "می‌خواهم", "👩‍🔧 repairs", "a\tb\nc", ""])
def test_plain_text_of_any_language_is_as_it_was(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("gnp.\u202eexe", r"gnp.\u202eexe"),
        ("over\rwritten", r"over\rwritten"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("half\udcff", r"half\udcff"),
    ],
)
def test_what_steers_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_one_line_is_one_line_and_may_be_cut() -> None:
    assert one_line("a\nb\tc") == r"a\nb\tc"
    assert one_line("x" * 100, 10) == "x" * 9 + "…"
    assert one_line("x" * 10, 10) == "x" * 10
