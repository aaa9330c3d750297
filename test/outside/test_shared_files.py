"""Files that come with the package are found in the checkout and wherever it was installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal_ros.core.errors import ConfigError
from hal_ros.outside import shared_files


def test_files_are_found_in_the_source_tree_before_the_installed_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "share" / "hal_ros" / "config" / "only_installed.yaml"
    installed.parent.mkdir(parents=True)
    installed.touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert shared_files.shared_file("config/only_installed.yaml") == installed
    assert shared_files.shared_file("config/fastdds.xml") == shared_files.REPOSITORY / "config" / "fastdds.xml"
    with pytest.raises(ConfigError, match=r"config/nowhere.yaml"):
        shared_files.shared_file("config/nowhere.yaml")


def test_a_users_own_file_comes_before_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = shared_files.REPOSITORY / "models" / "tabletop"
    assert shared_files.given_or_shared(Path("models/tabletop")) == shipped
    (tmp_path / "models" / "tabletop").mkdir(parents=True)
    assert shared_files.given_or_shared(Path("models/tabletop")) == Path("models/tabletop")
    assert shared_files.given_or_shared(Path("models/mine")) == Path("models/mine")
    assert shared_files.given_or_shared(Path("../models/tabletop")) == Path("../models/tabletop")
