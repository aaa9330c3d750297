"""A small folder of feature vectors that looks like 50Salads: several users, background around the actions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hal_ros.datasets.formats.layout_files import write_clip_files, write_dataset_files

VOCABULARY = ("cut", "peel", "mix", "background")
WIDTH, RATE_HZ, STRIDE, LAG_TICKS = 5, 30, 3, 2
USERS = {f"{user}-{take}": user for user in ("anna", "bert", "carl", "dora") for take in range(2)}
SPLITS = {
    "1": {"train": [name for name in USERS if "anna" not in name], "test": ["anna-0", "anna-1"]},
    "2": {"train": [name for name in USERS if "bert" not in name], "test": ["bert-0", "bert-1"]},
}
SMALL: Mapping[str, Any] = {
    "model": {"width": 16, "heads": 2, "lookback": [3, 5], "feed_forward": 16, "visual_width": 8},
    "teacher": {
        "width": 16,
        "heads": 2,
        "feed_forward": 16,
        "visual_width": 8,
        "action_width": 8,
        "start_epochs": 1,
        "epochs": 1,
    },
    "batches": {"streams": 4, "chunk_ticks": 16},
    "optimiser": {"epochs": 4, "learning_rate": 0.02},
}


def write_folder(folder: Path, vocabulary: tuple[str, ...] = VOCABULARY, seed: int = 0) -> Path:
    """Write the clips (D, T) with ground truth, both splits and groups.csv."""
    means = 3 * np.random.default_rng(5).normal(size=(len(vocabulary), WIDTH))
    random = np.random.default_rng(seed)
    for name in USERS:
        order = random.permutation(3)
        actions = np.array([3, order[0], 3, order[1], order[2], 3])
        labels = np.repeat(actions, STRIDE * random.integers(6, 12, len(actions)) + 1)
        features = means[labels] + 0.5 * random.normal(size=(len(labels), WIDTH))
        write_clip_files(folder, name, features.T.astype(np.float32), [vocabulary[action] for action in labels])
    for split, subsets in SPLITS.items():
        write_dataset_files(folder, vocabulary, subsets, split)
    table = "".join(f"{name},{user}\n" for name, user in USERS.items())
    (folder / "groups.csv").write_text(f"clip,user\n{table}")
    return folder


def write_settings(path: Path, folder: Path, settings: Mapping[str, Any] | None = None, **data: Any) -> Path:
    """Write the settings of a small, quick run over the folder."""
    own = {"layout": "mstcn", "folder": str(folder), "rate_hz": RATE_HZ / STRIDE, "stride": STRIDE}
    own |= {"lag_ticks": LAG_TICKS, **data}
    path.write_text(yaml.safe_dump({"name": "mine", **SMALL, **(settings or {}), "data": own}))
    return path
