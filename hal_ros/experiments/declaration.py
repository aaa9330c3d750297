"""What config/tables.yaml declares, and how the part on one data set becomes a plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hal_ros.baselines.presets import PRESETS
from hal_ros.baselines.sequence_config import settings_of
from hal_ros.core.errors import ConfigError
from hal_ros.experiments.blocks import ALL_THERE_IS
from hal_ros.experiments.plan import DATASETS, Builder, TablePlan, merged, quickened
from hal_ros.outside.reading import Expected
from hal_ros.outside.yaml_text import SETTINGS_BYTES, read_yaml
from hal_ros.train.config import MIXED, TRANSCRIPTS, TrainConfig, load_config

DECLARATION = Expected(ConfigError, "a YAML file that declares tables", SETTINGS_BYTES)

QUICK = "quick"


class NotHereError(ConfigError):
    """A data set of other people, or of another robot, is not on this machine: an error only if it was asked for."""


Declaration = Mapping[str, Any]
"""What config/tables.yaml says, or its part on one data set."""


@dataclass(frozen=True)
class OwnTables:
    """Tables of one's own data: the settings of a run, and what is asked for beside them."""

    config: TrainConfig
    seeds: tuple[int, ...] = (0,)
    episodes: tuple[int, ...] = ()  # numbers of demonstrations of a learning curve

    def declared(self, score: Sequence[str], rule: bool) -> dict[str, Any]:
        """Return the declaration of the systems that are compared; `rule`: there is a gripper to go by."""
        config = self.config
        return {
            "seeds": list(self.seeds),
            "score": list(score),
            "decoder": config.decoder,
            "teachers": {"plain": {}},  # the run's own
            "blocks": {config.supervision: self._block()},
            "systems": ["student", "gru", "logistic", *(["rule"] if rule else [])],
        }

    def _block(self) -> Any:
        known = {MIXED: {"teacher": "plain", ALL_THERE_IS: True}, TRANSCRIPTS: "plain"}
        return known.get(self.config.supervision)


def own_tables(path: Path, seeds: Sequence[int], episodes: Sequence[int]) -> OwnTables | None:
    """Return the tables of a run's settings; None where the file declares tables itself.

    Raises ConfigError for settings that can't be, seeds or numbers of episodes that are no such.
    """
    try:
        said = read_yaml(path, DECLARATION)
    except ConfigError:
        return None  # load_declaration says what is wrong with it
    if not isinstance(said, dict) or {*DATASETS, QUICK} & said.keys() or not {"data", "base"} & said.keys():
        return None
    for name, given, least in (("--seeds", seeds, 0), ("--episodes", episodes, 2)):
        if min(given, default=least) < least or len({*given}) < len(given):
            raise ConfigError(f"{name} is {list(given)}; expected different numbers of {least} or more")
    config = load_config(path)
    return OwnTables(config, tuple(seeds) or (0,), tuple(sorted(episodes)))


def load_declaration(path: Path) -> Declaration:
    """Read config/tables.yaml. Raises ConfigError for a file that can't be read or lacks a part."""
    declared = read_yaml(path, DECLARATION)
    missing = {*DATASETS, QUICK} - set(declared if isinstance(declared, dict) else {})
    if missing:
        raise ConfigError(f"{path}: has no {', '.join(sorted(missing))}; expected the tables' declaration")
    return dict(declared)


def run_settings(path: str, quick: Declaration | None) -> dict[str, Any]:
    """Return a training run's settings as nested mappings, with those of the short form over them."""
    found = dataclasses.asdict(load_config(Path(path)))
    return merged(found, quick["run"]) if quick else found


CURVE_SETTINGS = ("episodes", "systems", "blocks")


def of_curve(declared: Declaration) -> Declaration:
    """Return the part of a data set's declaration that is done on fewer episodes too, as its `curve` says.

    Raises ConfigError for a curve of what is not declared.
    """
    curve = declared["curve"]
    if unknown := sorted({*curve} - {*CURVE_SETTINGS}):
        raise ConfigError(f"curve has {unknown[0]!r}; expected {', '.join(CURVE_SETTINGS)}")
    for key in ("systems", "blocks"):
        if unknown := [name for name in curve[key] if name not in declared[key]]:
            raise ConfigError(
                f"curve: {unknown[0]!r} is none of the {key}; expected some of {', '.join(declared[key])}"
            )
    blocks = {name: declared["blocks"][name] for name in curve["blocks"]}
    kept = {key: declared[key] for key in ("seeds", "score", "decoder", "preset") if key in declared}
    used = {name for name in blocks.values() if isinstance(name, str)}
    teachers = {name: teacher for name, teacher in declared["teachers"].items() if name in used}
    return {**kept, "teachers": teachers, "blocks": blocks, "systems": curve["systems"], "costs": False}


def make_plan(
    dataset: str,
    declared: Declaration,
    settings: Mapping[str, Any],
    folds: Mapping[str, Mapping[str, Any]],
    quick: Declaration | None,
) -> TablePlan:
    """Return the jobs and lines of one data set; see `plan.Builder`."""
    presets = {kind: settings_of(preset) for kind, preset in PRESETS.items()}
    return Builder(dataset, quickened(declared, quick) if quick else declared, settings, folds, presets).build()
