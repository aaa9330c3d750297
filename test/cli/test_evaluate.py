"""`hal evaluate` from bags and a bundle to tables, rows and a picture."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import colour_bundle
import cv2
import numpy as np
import pytest
from fakes import COLOURS, make_card, picture

from hal_ros.bags.messages import header_message, known_class, serialise
from hal_ros.bags.reader import BagWriter
from hal_ros.cli import main

pytest.importorskip("torch")

LAG = 1
PERIOD_NS = 100_000_000
START_NS = 1_000_000_000
SPLITS = {"train": ["RRRRRRGGGGGGBBBBBB"] * 2, "test": ["GGGGGRRRRRRBBBBBB", "BBBBBRRRRR"], "unseen": ["RRRRRBBBBBB"]}
METRICS = {"MoF", "Edit", "F1@10", "F1@25", "F1@50", "boundary F1@0.25s", "boundary F1@0.5s", "boundary F1@1s"}


def write_bundle(folder: Path) -> None:
    colour_bundle.write_bundle(folder, make_card(lag_ticks=LAG))


def write_episode(folder: Path, word: str, annotated: bool) -> None:
    """One letter of R, G, B a tick; the second joint is a gripper that is closed while green."""
    image_type, joint_type = "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/JointState"
    with BagWriter(folder) as bag:
        for tick, letter in enumerate(word):
            header = header_message(START_NS + tick * PERIOD_NS, "camera")
            values = np.array([0.1 * tick, float(letter != "G")])
            joints = known_class(joint_type)(header, ["a", "b"], values, np.ones(2), np.zeros(2))
            bag.write("/joint_states", joint_type, serialise(joints), START_NS + tick * PERIOD_NS)
            rgb = picture(COLOURS["RGB".index(letter)])
            _, png = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
            message = known_class(image_type)(header, "png", png.reshape(-1))
            bag.write("/camera/color/image_raw/compressed", image_type, serialise(message), START_NS + tick * PERIOD_NS)
    if annotated:
        segments = [
            {
                "action": COLOURS["RGB".index(letter)],
                "start_ns": START_NS + tick * PERIOD_NS,
                "end_ns": START_NS + (tick + 1) * PERIOD_NS,
            }
            for tick, letter in enumerate(word)
        ]
        (folder / "annotation.json").write_text(json.dumps({"segments": segments}))


def write_data(folder: Path, annotated: bool = True) -> Path:
    for split, words in SPLITS.items():
        for index, word in enumerate(words):
            write_episode(folder / split / f"episode-{index}", word, annotated)
    return folder


def evaluate(tmp_path, *more):
    results = tmp_path / "results" / "colours.json"
    folders = ["--model", tmp_path / "bundle", "--data", tmp_path / "data", "--cache", tmp_path / "cache"]
    code = main([str(item) for item in ("evaluate", *folders, "--results", results, *more)])
    return code, results


def table(results):
    rows = json.loads(results.read_text())
    return {(row["system"], row["split"], row["output"], row["metric"]): row["mean"] for row in rows}


def test_tables_rows_and_picture_of_bundle_and_baselines(tmp_path, capsys):
    write_bundle(tmp_path / "bundle")
    write_data(tmp_path / "data")
    code, results = evaluate(tmp_path)
    assert code == 0
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
    printed = capsys.readouterr().out
    assert "gripper rule" in printed
    assert "boundary F1 0.25 s" in printed


def test_cached_features_and_real_encoding_give_the_same_rows(tmp_path):
    write_bundle(tmp_path / "bundle")
    write_data(tmp_path / "data")
    _, cached = evaluate(tmp_path, "--baselines")
    first = cached.read_text()
    _, encoded = evaluate(tmp_path, "--baselines", "--encode")
    assert encoded.read_text() == first


def test_limit_and_splits_choose_what_is_scored(tmp_path):
    write_bundle(tmp_path / "bundle")
    write_data(tmp_path / "data")
    code, results = evaluate(tmp_path, "--splits", "test", "--limit", "1", "--baselines", "rule")
    assert code == 0
    assert {key[:2] for key in table(results)} == {("colours", "test"), ("gripper rule", "test")}


@pytest.mark.parametrize(
    ("more", "expected"),
    [(("--limit", "0"), "--limit"), (("--splits", "nowhere"), "nowhere"), (("--model", "/nonexistent"), "card.json")],
)
def test_what_can_not_be_evaluated_is_one_line(tmp_path, capsys, more, expected):
    write_bundle(tmp_path / "bundle")
    write_data(tmp_path / "data")
    code, _ = evaluate(tmp_path, *more)
    error = capsys.readouterr().err
    assert code == 1
    assert expected in error
    assert error.count("\n") == 1


def test_episodes_without_annotation_are_refused_by_name(tmp_path, capsys):
    write_bundle(tmp_path / "bundle")
    write_data(tmp_path / "data", annotated=False)
    assert evaluate(tmp_path, "--baselines")[0] == 1
    assert "annotation.json" in capsys.readouterr().err
