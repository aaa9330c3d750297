"""A robot with a user's own encoder, from bags to labels: ingested, trained, exported, proven, opened again."""

from __future__ import annotations

import hashlib
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.torch

from colour_episodes import write_episode  # noqa: E402
from fakes import COLOURS  # noqa: E402
from hal_ros.bags.messages import deserialise  # noqa: E402
from hal_ros.bags.reader import read_messages  # noqa: E402
from hal_ros.core.errors import ConfigError  # noqa: E402
from hal_ros.datasets.config import TRAINING, VALIDATION  # noqa: E402
from hal_ros.export.run import ExportOptions, export_run  # noqa: E402
from hal_ros.offline.bundle import BundleChoice  # noqa: E402
from hal_ros.offline.labelling import LabelJob, run_label  # noqa: E402
from hal_ros.offline.replay import LABEL_TOPIC  # noqa: E402
from hal_ros.runtime.backend import open_backend  # noqa: E402
from hal_ros.runtime.bundle import ENCODER, ENCODER_FP16, STEP_FP16, Bundle  # noqa: E402
from hal_ros.runtime.golden import check_golden  # noqa: E402
from hal_ros.train import stages  # noqa: E402
from hal_ros.train.config import TrainConfig, config_from_mapping  # noqa: E402
from hal_ros.train.run import train_on_episodes  # noqa: E402
from own_encoders import CHANNELS, SIDE, SIZE_PX, conv_map, conv_vector  # noqa: E402
from small_vit import WIDTH, SmallVit  # noqa: E402
from synthetic_episodes import SETTINGS  # noqa: E402

ORDERS = {TRAINING: ["RGB", "GRBG", "BGR", "RBG"], VALIDATION: ["BRG"]}
TICKS = 12
"""Of each letter."""
DOCUMENT = Path(__file__).parents[2] / "docs" / "training.md"


def documented(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the document's export of a DINOv2, with a small untrained backbone of its form; returns the size in px."""
    (code,) = re.findall(r"```python\n(.*?torch\.onnx\.export.*?)```", DOCUMENT.read_text(), re.DOTALL)
    code, imports = re.subn(r"from transformers import AutoModel\n", "", code)
    code, loads = re.subn(r"AutoModel\.from_pretrained\([^)]*\)", "SmallVit()", code)
    assert (imports, loads) == (1, 1)
    names: dict[str, Any] = {"SmallVit": SmallVit, "__name__": "documented"}
    monkeypatch.chdir(path.parent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own dependencies
        exec(code, names)
    Path("dinov2-small.onnx").rename(path)
    return int(names["SIZE_PX"])


def spelt(order: str) -> str:
    """Return a letter for each tick."""
    return "".join(letter * TICKS for letter in order)


def settings(folder: Path, encoder: Path, size_px: int = SIZE_PX) -> TrainConfig:
    """Write the bags and return the settings of a short training on them."""
    for split, orders in ORDERS.items():
        for index, order in enumerate(orders):
            write_episode(folder / "data" / split / f"episode-{index}", spelt(order), annotated=True)
    given: dict[str, Any] = SETTINGS
    data = {"folder": str(folder / "data"), "cache": str(folder / "cache"), "processes": 1, "actions": list(COLOURS)}
    own = {"encoder": f"onnx:{encoder}", "image_size_px": size_px}
    return config_from_mapping(
        {**given, "data": {**given["data"], **data, **own}, "optimiser": {"epochs": 12, "learning_rate": 0.01}}
    )


def trained(config: TrainConfig, folder: Path) -> Path:
    card, _, (training, validation) = stages.ingest(config, (TRAINING, VALIDATION))
    return train_on_episodes(config, card, training, validation, folder / "run")


def agreement(bundle: Bundle, folder: Path) -> float:
    """Label a bag and return the share of the answers that name its colours."""
    bag = folder / "data" / VALIDATION / "episode-0"
    run_label(LabelJob(bag, folder / "labelled.mcap"), BundleChoice(bundle.folder))
    answers = [deserialise(m.type_name, m.data) for m in read_messages(folder / "labelled.mcap", [LABEL_TOPIC])]
    word = spelt(ORDERS[VALIDATION][0])
    assert len(answers) == len(word)
    confirmed = [answer.confirmed_label for answer in answers[bundle.card.lag_ticks :]]
    right = [name == COLOURS["RGB".index(letter)] for name, letter in zip(confirmed, word, strict=False)]
    return float(np.mean(right))


@pytest.mark.parametrize("kind", ["map", "vector", "tokens"])
def test_any_encoder_leads_from_bags_to_labels(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, size_px = tmp_path / "mine.onnx", SIZE_PX
    grids = {"map": (SIDE, SIDE, CHANNELS), "vector": (1, 1, CHANNELS), "tokens": (16, 16, WIDTH)}
    if kind == "tokens":
        size_px = documented(path, monkeypatch)
    else:
        {"map": conv_map, "vector": conv_vector}[kind](path)
    folder = trained(settings(tmp_path, path, size_px), tmp_path)
    bundle = export_run(folder, ExportOptions(tmp_path / "bundle", reference=True))
    card, printed = bundle.card, capsys.readouterr().out
    assert card.encoder is not None
    assert card.encoder.source == f"onnx:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert (card.encoder.feature_dim, card.encoder.channels) == (int(np.prod(grids[kind])), grids[kind][2])
    assert "without half-precision graphs, as there is none of the user's own encoder" in printed
    assert ("TensorRT may not take the encoder" in printed) == (kind != "map")
    assert not {ENCODER_FP16, STEP_FP16} & set(card.files)
    for backend in ("onnxruntime", "torch"):
        check_golden(bundle, open_backend(bundle, backend)[0])
    assert agreement(bundle, tmp_path) > 0.7


def test_for_tensorrt_8_6_pictures_go_in_as_floats(tmp_path: Path) -> None:
    folder = trained(settings(tmp_path, conv_map(tmp_path / "mine.onnx")), tmp_path)
    bundle = export_run(folder, ExportOptions(tmp_path / "bundle", target="8.6"))
    image = onnx.load(bundle.path(ENCODER)).graph.input[0]
    assert image.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    check_golden(bundle, open_backend(bundle, "onnxruntime")[0])


def test_an_encoder_that_was_changed_since_the_training_is_refused(tmp_path: Path) -> None:
    path = conv_vector(tmp_path / "mine.onnx")
    folder = trained(settings(tmp_path, path), tmp_path)
    conv_map(path)
    with pytest.raises(ConfigError, match=r"run: was trained with encoder onnx:\w{64}; onnx:.*mine\.onnx is now onnx:"):
        export_run(folder, ExportOptions(tmp_path / "bundle"))
