"""MiniROAD (An et al., ICCV 2023) in its published shape: an embedding twice as wide as the state of its one GRU layer.

Published: embedding 2048, hidden state 1024, dropout 0.2, every four ticks a window of 128 with the loss on its last
tick alone, ten epochs of AdamW with learning rate 1e-4 and decay 0.05, batches of 16. `gru.py` is the same idea as
small as our clips need it.
"""

from __future__ import annotations

from hal_ros.baselines.networks.gru import GruModel


class MiniRoad(GruModel):
    """Inputs -> linear, norm, ReLU, dropout -> GRU -> ReLU -> linear to two heads."""

    EMBEDDING = 2
    DROPS_STATE = False
