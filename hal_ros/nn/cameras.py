"""Several cameras in one model: how their parts are named, and how their columns lie beside each other."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn


def numbered(name: str, camera: int) -> str:
    """Return what a part is called that each camera has: the first one's name is what it was with one camera."""
    return f"{name}_{camera}" if camera else name


def columns(x: Tensor, cameras: int) -> list[Tensor]:
    """Cut x (..., C * n) into C tensors (..., n); that of one camera is x itself, which costs a graph nothing."""
    if cameras == 1:
        return [x]
    width = x.shape[-1] // max(cameras, 1)
    return [x[..., camera * width : (camera + 1) * width] for camera in range(cameras)]


@dataclass(frozen=True)
class CameraInput:
    """One camera's way into the trunk: the model's own tensors and modules."""

    mean: Tensor  # (E,) of what its eye gives, and the spread: they standardise it
    spread: Tensor  # (E,)
    drop: nn.Module
    project: nn.Module
    blind: Tensor  # (d,) stands in where there is no picture

    def seen(self, attended: Tensor, image_valid: Tensor, training: bool) -> Tensor:
        """Return (B, T, d) of attended (B, T, E), zeros where image_valid (B, T, 1) is."""
        standard = (attended - self.mean) / self.spread
        seen: Tensor = self.project(self.drop(standard.transpose(1, 2)).transpose(1, 2) if training else standard)
        return seen * image_valid

    def unseen(self, image_valid: Tensor) -> Tensor:
        """Return (B, T, d): what stands in where image_valid (B, T, 1) is zero, zeros elsewhere."""
        return self.blind * (1.0 - image_valid)
