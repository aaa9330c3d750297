"""From bags and a bundle to rows and a picture."""

from __future__ import annotations

import dataclasses
import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from colour_episodes import LAG, write_bundle, write_data

pytest.importorskip("torch")

from hal_ros.bags.inputs import AS_IN_THE_CARD
from hal_ros.core.errors import DatasetError
from hal_ros.experiments.evaluate import BASELINES, RULE, Evaluation, EvaluationConfig
from hal_ros.runtime.bundle import load_bundle, save_card

METRICS = {"MoF", "Edit", "F1@10", "F1@25", "F1@50", "boundary F1@0.25s", "boundary F1@0.5s", "boundary F1@1s"}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> EvaluationConfig:
    folder = tmp_path_factory.mktemp("colours")
    write_bundle(folder / "bundle")
    write_data(folder / "data")
    return EvaluationConfig(
        model=folder / "bundle",
        data=folder / "data",
        cache=folder / "cache",
        topics=AS_IN_THE_CARD,
        baselines=BASELINES,
        encode=False,
        limit=None,
        results=None,
    )


def evaluate(
    config: EvaluationConfig, results: Path, splits: Sequence[Any] = ("test", "unseen"), **changes: Any
) -> Path:
    evaluation = Evaluation(dataclasses.replace(config, results=results, **changes))
    for split in splits:
        evaluation.score(split)
    assert evaluation.write() == (results, results.with_suffix(".svg"))
    return results


def table(results: Any) -> dict[Any, Any]:
    rows = json.loads(results.read_text())
    return {(row["system"], row["split"], row["output"], row["metric"]): row["mean"] for row in rows}


def test_rows_and_picture_of_bundle_and_baselines(config: EvaluationConfig, tmp_path: Path) -> None:
    results = evaluate(config, tmp_path / "results" / "colours.json")
    found = table(results)
    assert {key[0] for key in found} == {"colours", "gripper rule", "logistic"}
    assert {key[1] for key in found} == {"test", "unseen"}
    assert {key[3] for key in found if key[0] == "gripper rule"} >= METRICS
    for split in ("test", "unseen"):
        assert found["colours", split, "provisional", "MoF"] == 100
        assert found["colours", split, "confirmed", "Edit"] == 100
        assert found["colours", split, "confirmed", "latency median s"] == pytest.approx(LAG / 10)
        assert found["logistic", split, "provisional", "MoF"] == 100
        assert found["gripper rule", split, "provisional", "MoF"] < 100  # it can't see colours
    svg = ET.parse(results.with_suffix(".svg")).getroot()
    text = " ".join(element.text or "" for element in svg.iter())
    assert "test, median episode" in text
    assert "unseen, worst episode" in text


def test_cached_features_and_real_encoding_give_the_same_rows(config: EvaluationConfig, tmp_path: Path) -> None:
    cached = evaluate(config, tmp_path / "cached.json", baselines=())
    encoded = evaluate(config, tmp_path / "encoded.json", baselines=(), encode=True)
    assert encoded.read_text() == cached.read_text()


def test_limit_and_splits_choose_what_is_scored(config: EvaluationConfig, tmp_path: Path) -> None:
    results = evaluate(config, tmp_path / "one.json", ["test"], limit=1, baselines=[RULE])
    assert {key[:2] for key in table(results)} == {("colours", "test"), ("gripper rule", "test")}


def test_rows_go_beside_the_other_results_unless_told_otherwise(
    config: EvaluationConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = Evaluation(dataclasses.replace(config, baselines=()))
    evaluation.score("test")
    monkeypatch.chdir(tmp_path)
    results, picture = evaluation.write()
    assert results == Path("runs/evaluation/bundle-colours.json") and results.exists() and picture.exists()


def test_episodes_without_annotation_are_refused_by_name(config: EvaluationConfig, tmp_path: Path) -> None:
    bare = dataclasses.replace(config, data=write_data(tmp_path / "data", annotated=False), baselines=())
    with pytest.raises(DatasetError, match=r"annotation\.json"):
        Evaluation(bare).score("test")
    with pytest.raises(DatasetError, match="to train baselines on; --baselines alone leaves these out"):
        Evaluation(dataclasses.replace(bare, baselines=config.baselines))


def test_what_nobody_says_is_the_models_own(
    config: EvaluationConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle names the data set that it was trained on; its cache and those of its splits that exist are taken."""
    monkeypatch.chdir(tmp_path)
    asked = dataclasses.replace(config, model=config.model.resolve(), data=None, cache=None, baselines=())
    card = load_bundle(config.model).card
    named = dataclasses.replace(card, trained_from={**card.trained_from, "dataset": "mine"})
    save_card(named, config.model)
    (tmp_path / "datasets/tabletop-v1").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"datasets/mine: is not there, and .* was trained on it; expected --data"):
        Evaluation(asked)  # scores on the benchmark would be no answer
    (tmp_path / "datasets/mine/cache").mkdir(parents=True)
    evaluation = Evaluation(asked)
    assert (evaluation.data, evaluation.cache) == (Path("datasets/mine"), Path("datasets/mine/cache"))
    with pytest.raises(DatasetError, match="datasets/mine: has none of the splits test, unseen"):
        evaluation.usual_splits()
    (tmp_path / "datasets/mine/test").mkdir()
    assert evaluation.usual_splits() == ["test"]
