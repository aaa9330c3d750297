"""What is made to be pasted names nobody."""

from __future__ import annotations

import pytest

from hal_ros.bench.verify import without_home


@pytest.mark.parametrize(
    ("home", "text"),
    [("/home/zo", "~/x and ~, but /home/zoe and /home/zo.old"), ("/", "/home/zo/x and /home/zo")],
)
def test_only_whole_home_folders_are_replaced(monkeypatch: pytest.MonkeyPatch, home: str, text: str) -> None:
    monkeypatch.setenv("HOME", home)
    assert without_home(text.replace("~", "/home/zo")) == text
