"""A run on feature vectors that several commands are asked about: trained once."""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_folder import write_folder, write_settings
from hal_ros import cli


@pytest.fixture(scope="session")
def feature_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run; its data lie in `data` beside it."""
    pytest.importorskip("torch")
    work = tmp_path_factory.mktemp("features")
    settings = write_settings(work / "mine.yaml", write_folder(work / "data"))
    assert cli.main(["train", str(settings), "--checkpoint", str(work / "run")]) == 0
    return work / "run"
