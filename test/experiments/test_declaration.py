"""The tables' declaration."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from feature_folder import write_settings  # noqa: E402
from hal_ros.core.errors import ConfigError  # noqa: E402
from hal_ros.experiments.declaration import load_declaration, of_curve, own_tables, run_settings  # noqa: E402

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tabletop: {}", "has no gesture_phase, other_robots, quick, streams; expected the tables' declaration"),
        ("", "has no gesture_phase, other_robots, quick, streams, tabletop"),
        ("a: [", "can't be read as a YAML file that declares tables"),
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


def test_a_curve_is_part_of_what_is_declared() -> None:
    declared = {
        "seeds": [0],
        "score": ["test"],
        "offline": ["ms_tcn"],
        "teachers": {"plain": {}, "hal": {}},
        "blocks": {"transcripts": "plain", "annotations": None},
        "systems": ["student", "gru", "logistic"],
    }
    curve = {"episodes": [5], "systems": ["gru"], "blocks": ["transcripts"]}
    found = of_curve({**declared, "curve": curve})
    assert (found["systems"], found["blocks"]) == (["gru"], {"transcripts": "plain"})
    assert list(found["teachers"]) == ["plain"] and "offline" not in found
    for wrong, said in (
        ({**curve, "systems": ["rule"]}, "curve: 'rule' is none of the systems; expected some of student, gru"),
        ({**curve, "blocks": ["mixed"]}, "curve: 'mixed' is none of the blocks"),
        ({**curve, "seeds": [1]}, "curve has 'seeds'; expected episodes, systems, blocks"),
    ):
        with pytest.raises(ConfigError, match=said):
            of_curve({**declared, "curve": wrong})


# --- one's own data ---------------------------------------------------------------------------------------------------


def test_a_runs_settings_are_no_declaration_and_the_other_way_round(tmp_path: Path) -> None:
    path = write_settings(tmp_path / "mine.yaml", tmp_path, {"supervision": "transcripts", "decoder": "duration"})
    own = own_tables(path, [], [10, 5])
    assert own is not None and (own.seeds, own.episodes) == ((0,), (5, 10))
    declared = own.declared(("test",), rule=False)
    assert (declared["blocks"], declared["decoder"]) == ({"transcripts": "plain"}, "duration")
    assert declared["systems"] == ["student", "gru", "logistic"]
    assert own.declared(("test",), rule=True)["systems"][-1] == "rule"
    assert own_tables(ROOT / "config" / "tables.yaml", [], []) is None
    assert own_tables(tmp_path / "none.yaml", [], []) is None


@pytest.mark.parametrize(
    ("seeds", "episodes", "said"),
    [
        ([-1], [], r"--seeds is \[-1\]; expected different numbers of 0 or more"),
        ([1, 1], [], r"--seeds is \[1, 1\]"),
        ([], [5, 1], r"--episodes is \[5, 1\]; expected different numbers of 2 or more"),
    ],
)
def test_what_is_no_seed_and_no_number_of_episodes_is_refused(
    tmp_path: Path, seeds: list[int], episodes: list[int], said: str
) -> None:
    path = write_settings(tmp_path / "mine.yaml", tmp_path)
    with pytest.raises(ConfigError, match=said):
        own_tables(path, seeds, episodes)
