"""The tables' declaration."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from hal_ros.core.errors import ConfigError  # noqa: E402
from hal_ros.experiments.declaration import load_declaration, run_settings  # noqa: E402

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tabletop: {}", "has no gesture_phase, other_robots, quick, streams; expected the tables' declaration"),
        ("", "has no gesture_phase, other_robots, quick, streams, tabletop"),
        ("a: [", "expected a readable YAML file"),
    ],
)
def test_a_declaration_that_can_not_be_used_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "tables.yaml").write_text(text)
    with pytest.raises(ConfigError, match=rf"tables\.yaml: .*{said}"):
        load_declaration(tmp_path / "tables.yaml")


def test_the_short_form_stands_over_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    declared = load_declaration(ROOT / "config" / "tables.yaml")
    whole, short = (run_settings("config/train_all.yaml", quick) for quick in (None, declared["quick"]))
    assert (whole["optimiser"]["epochs"], short["optimiser"]["epochs"]) == (12, 1)
    assert whole["data"] == short["data"]
