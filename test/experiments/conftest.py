"""Jobs that several test modules read, done once."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folders of the jobs up to the teacher."""
    from table_jobs import do_up_to_the_teacher  # late: it needs torch

    return do_up_to_the_teacher(tmp_path_factory.mktemp("tables"))
