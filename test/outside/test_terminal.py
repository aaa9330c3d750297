"""Whatever a program prints of others' text, by print or by rich, arrives at the terminal printable."""

from __future__ import annotations

import io
import re
import sys

import pytest
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from hal_ros.outside.console import PrintableConsole
from hal_ros.outside.terminal import PrintableStream, plain, printable_output
from rooms import ROOT, SOURCES

EVIL = "\x1b]0;owned\x1b[2J[/x][red]:smile:\u202ename"
SHOWN = r"\x1b]0;owned\x1b[2J[/x][red]:smile:\u202ename"
STYLES = re.compile("\x1b\\[[0-9;]*m")
"""What rich itself writes: colours."""


def test_print_is_printable_and_what_was_there_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout
    with printable_output():
        print(EVIL)
        print(EVIL, file=sys.stderr)
        sys.stdout.writelines([EVIL, "\n"])
        with printable_output():
            assert not isinstance(plain(sys.stdout), PrintableStream)
    assert sys.stdout is before
    printed = capsys.readouterr()
    assert printed.out == f"{SHOWN}\n{SHOWN}\n"
    assert printed.err == f"{SHOWN}\n"


def test_rich_draws_names_as_they_are_and_keeps_its_own_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    with printable_output():
        console = PrintableConsole(force_terminal=True, width=100)
        table = Table(EVIL, title=EVIL)
        table.add_row(EVIL)
        table.add_row(Text(EVIL, "bold red"))
        console.print(EVIL, table, Text(EVIL, "bold red"))
    drawn = written.getvalue()
    assert len(STYLES.findall(drawn)) > 2  # rich's escapes went through, and nobody else's
    assert "\x1b" not in STYLES.sub("", drawn)
    assert "\u202e" not in drawn
    assert drawn.count(SHOWN) == 6


def test_columns_are_as_wide_as_what_is_drawn() -> None:
    written = io.StringIO()
    table = Table("name", "value")
    table.add_row("a\x1bb", "1")
    table.add_row("plain", "2")
    PrintableConsole(file=written, width=60).print(table)
    lines = written.getvalue().splitlines()
    assert len({len(line) for line in lines}) == 1, lines


def test_print_beside_a_bar_is_printable(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    with printable_output(), Progress(console=PrintableConsole(force_terminal=True, width=80)):
        print("\u202e\x07name")
    assert r"\u202e" in written.getvalue()
    assert "\u202e" not in written.getvalue()


def test_nobody_makes_a_console_of_another_kind() -> None:
    """Another one would write names as they are, or have its colours written out."""
    own = ROOT / "hal_ros" / "outside" / "console.py"
    console = re.compile(r"import .*\bConsole\b|rich\.print|get_console")
    bar = re.compile(r"\b(Progress|track)\((?!.*console=)")
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in SOURCES if path != own}
    assert [name for name, text in texts.items() if console.search(text)] == []
    assert [name for name, text in texts.items() if "from rich.progress" in text and bar.search(text)] == []
    assert console.search(own.read_text())
