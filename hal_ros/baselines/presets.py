"""The settings of the learned baselines in the tables, by the system's name.

GRU, causal TCN, causal ASFormer and MS-TCN: found on the validation clips of the tabletop benchmark, about 70 s of one
processor each. The others have the shape, dropout, learning rate and batch that were published, as their files say, and
the schedule, weight decay and choice of epoch of all; their epochs are fewer, as many as a processor can do in minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hal_ros.baselines.sequence_config import SequenceConfig

PUBLISHED_TCN: Mapping[str, Any] = {
    "width": 64,
    "layers": 10,
    "dropout": 0.5,
    "learning_rate": 5e-4,
    "piece_ticks": 2048,
}
"""What the papers that build on MS-TCN share; whole clips, but for very long ones."""
LAST_TICK: Mapping[str, Any] = {"transition": 0.0, "window_ticks": 128, "loss_ticks": 1}
"""MiniROAD's windows, with the loss on their last tick alone."""

PRESETS = {
    "gru": SequenceConfig(
        "gru",
        width=128,
        epochs=10,
        batch=64,
        learning_rate=4e-3,
        input_dropout=0.1,
        transition=0.0,
        window_ticks=128,
        window_stride_ticks=24,
        loss_ticks=1,
    ),
    "causal_tcn": SequenceConfig("causal_tcn", width=64, learning_rate=2e-3, input_dropout=0.1),
    "causal_asformer": SequenceConfig(
        "causal_asformer", width=64, layers=6, stages=2, epochs=10, learning_rate=2e-3, input_dropout=0.1
    ),
    "mini_road": SequenceConfig(
        "mini_road", width=1024, epochs=10, batch=16, learning_rate=1e-4, weight_decay=0.05, **LAST_TICK
    ),
    "mini_road_small": SequenceConfig(
        "mini_road", width=128, epochs=10, batch=64, learning_rate=4e-3, window_stride_ticks=24, **LAST_TICK
    ),
    "online_tas": SequenceConfig("online_tas", stages=1, batch=1, validate_every=8, **PUBLISHED_TCN),
    "pro_tas": SequenceConfig("pro_tas", stages=4, batch=1, **PUBLISHED_TCN),
    "ms_tcn": SequenceConfig("ms_tcn", width=64),
    "asformer": SequenceConfig("asformer", stages=4, batch=1, input_dropout=0.3, **PUBLISHED_TCN),
    "diffact": SequenceConfig(
        "diffact", stages=1, batch=4, least_batches=100, input_dropout=0.5, transition=0.2, **PUBLISHED_TCN
    ),
}
