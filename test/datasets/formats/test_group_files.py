"""Who is seen in which clip: both forms of the file, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal_ros.core.errors import DatasetError
from hal_ros.datasets.formats.group_files import check_groups_of, read_groups


def groups(tmp_path: Path, text: str, column: str = "") -> dict[str, str]:
    path = tmp_path / "groups.txt"
    path.write_text(text)
    return read_groups(path, column)


def test_a_column_is_chosen_by_its_name_and_is_the_first_one_otherwise(tmp_path: Path) -> None:
    table = 'clip,user,recipe\nP03.cam01.txt, anna ,tea\n"a,b",01,coffee\n'
    assert groups(tmp_path, table) == {"P03.cam01": "anna", "a,b": "01"}
    assert groups(tmp_path, table, "recipe") == {"P03.cam01": "tea", "a,b": "coffee"}


def test_without_a_head_the_group_is_the_last_word(tmp_path: Path) -> None:
    assert groups(tmp_path, "a anna\nb c.npy\tbert\nd,  anna\na anna\n") == {"a": "anna", "b c": "bert", "d": "anna"}


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        (f"clip,user\na,{'b' * 200_000}\n", "", "can't be read as a table of names and groups .field larger"),
        ("", "", "is empty; expected a name and its group a line"),
        ("a anna\nb\n", "", ":2: 'b' alone; expected a name and its group"),
        ("clip,user\na,\n", "", ":2: 'a' alone"),
        ("clip,user\na,b,c\n", "", ":2: 3 cells; expected 2, as in the head"),
        ("a anna\na bert\n", "", ":2: a is of bert and of anna; expected one group"),
        ("clip,user\na,b\n", "session", "has no column 'session'; expected one of user"),
        ("a anna\n", "user", "has no column 'user'"),
    ],
)
def test_what_is_no_group_is_refused_by_its_line(tmp_path: Path, text: str, column: str, said: str) -> None:
    with pytest.raises(DatasetError, match=f"groups.txt.*{said}"):
        groups(tmp_path, text, column)


def test_a_name_without_a_group_is_refused(tmp_path: Path) -> None:
    check_groups_of(["a"], {"a": "anna", "b": "bert"}, tmp_path)
    with pytest.raises(DatasetError, match="4 of 5 have no group: b, c, d and 1 more"):
        check_groups_of("abcde", {"a": "anna"}, tmp_path)
