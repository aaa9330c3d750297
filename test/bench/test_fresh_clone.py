"""A fresh clone is timed until its first label; what goes wrong there is told in one line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hal_ros.bench import fresh_clone
from hal_ros.core.errors import HalError


def make_repository(folder: Path, recipe: str) -> Path:
    """Commit a Makefile whose target `demo` runs one shell line."""
    folder.mkdir()
    (folder / "Makefile").write_text(f"demo:\n\t@{recipe}\n")
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "Start"]):
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True)
    return folder


def test_a_fresh_clone_is_timed_until_its_first_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = "echo first label after 1 s of DURATION=$(DURATION)"
    monkeypatch.setattr(fresh_clone, "REPOSITORY", make_repository(tmp_path / "repository", recipe))
    row = fresh_clone.row(tmp_path)
    assert isinstance(row.value, float)
    assert row.holds is True
    assert "DURATION=5" in (tmp_path / "logs" / "fresh.log").read_text()


@pytest.mark.parametrize(
    ("recipe", "words"), [("echo it broke; exit 3", "it broke"), ("echo no word of it", "no word")]
)
def test_a_fresh_clone_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, words: str
) -> None:
    monkeypatch.setattr(fresh_clone, "REPOSITORY", make_repository(tmp_path / "repository", recipe))
    with pytest.raises(HalError, match=words):
        fresh_clone.row(tmp_path)


def test_what_is_no_repository_can_not_be_cloned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh_clone, "REPOSITORY", tmp_path)
    with pytest.raises(HalError, match="can't be cloned"):
        fresh_clone.row(tmp_path)
