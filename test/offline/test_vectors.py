"""Feature vectors labelled by a bundle that takes states alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hal_ros.core.errors import ConfigError
from hal_ros.core.segmenter import Segmenter
from hal_ros.offline.vectors import check_takes_vectors, label_vectors
from hal_ros.runtime.backend import open_backend
from hal_ros.runtime.bundle import load_bundle
from memory_bundle import write_memory_bundle

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("ticks", [1, 3, 40])
def test_every_tick_gets_a_label_whatever_is_missing(tmp_path: Path, ticks: int) -> None:
    bundle = write_memory_bundle(tmp_path / "bundle", "shift", cameras=0)
    check_takes_vectors(bundle.card)
    segmenter = Segmenter(bundle.card, open_backend(bundle, "onnxruntime")[0])
    values = np.random.default_rng(0).normal(size=(ticks, bundle.card.streams.value_count)).astype(np.float32)
    labels = label_vectors(segmenter, values)
    assert len(labels) == ticks and set(labels) <= set(bundle.card.vocabulary)
    values[0, 0] = np.nan
    assert len(label_vectors(segmenter, values)) == ticks


def test_a_bundle_with_cameras_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"takes pictures \(camera\), not feature vectors"):
        check_takes_vectors(load_bundle(ROOT / "models" / "tabletop").card)
