"""Several cameras in one model: how their parts are named, and how their columns lie beside each other."""

from __future__ import annotations

from torch import Tensor


def numbered(name: str, camera: int) -> str:
    """Return what a part is called that each camera has: the first one's name is what it was with one camera."""
    return f"{name}_{camera}" if camera else name


def columns(x: Tensor, cameras: int) -> list[Tensor]:
    """Cut x (..., C * n) into C tensors (..., n); that of one camera is x itself, which costs a graph nothing."""
    if cameras == 1:
        return [x]
    width = x.shape[-1] // max(cameras, 1)
    return [x[..., camera * width : (camera + 1) * width] for camera in range(cameras)]
