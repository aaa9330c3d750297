"""The loss terms of one batch of the teacher's training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hal_ros.labels.teacher.batches import TeacherBatch
from hal_ros.labels.teacher.config import TeacherConfig
from hal_ros.labels.teacher.network import PyramidConfig, PyramidTeacher, TeacherOutputs
from hal_ros.labels.teacher.weak_losses import contrast, frame_loss, video_loss
from hal_ros.nn.latent import Elbo
from hal_ros.nn.losses import slowness


class TeacherLoss(nn.Module):
    """The weights of L_total, and what only the ELBO needs: decoders and priors."""

    action_weights: Tensor

    def __init__(self, config: TeacherConfig, pyramid: PyramidConfig) -> None:
        super().__init__()
        self.config = config
        weights = torch.ones(pyramid.actions)
        weights[list(config.background)] = config.background_weight
        self.register_buffer("action_weights", weights)
        literal = pyramid.width if pyramid.literal else 0
        widths = (pyramid.width, pyramid.visual_width, pyramid.action_width)
        self.elbo = Elbo(*widths, config.prior, config.free_bits, literal) if config.elbo else None

    def forward(self, outputs: TeacherOutputs, batch: TeacherBatch, progress: float) -> dict[str, Tensor]:
        """Return the weighted terms by name, (B,) each; `progress` is the share of training that is done."""
        config, terms = self.config, {}
        if bool(batch.targets.any()):
            terms["frame"] = frame_loss(outputs.log_probs, batch.targets, batch.known, self.action_weights)
            if config.contrast:
                close = contrast(outputs.frames, outputs.tokens, batch.targets, batch.known, batch.present)
                terms["contrast"] = config.contrast * close
            if config.slowness:
                terms["slowness"] = config.slowness * _slowness(outputs, batch.known, config.slowness_floor)
        if config.video:
            terms["video"] = config.video * video_loss(outputs.video_logits, batch.present)
        if self.elbo is not None:
            above = outputs.action_below if config.literal else None
            found = self.elbo(outputs.visual_below, outputs.visual, outputs.action, batch.known, above)
            warm = min(1.0, progress / config.kl_warmup) if config.kl_warmup else 1.0
            terms["elbo"] = config.elbo * found.negative_elbo(config.kl * warm)
        return terms


def _slowness(outputs: TeacherOutputs, known: Tensor, floor: float) -> Tensor:
    """L_s of each video, (B,), on means: samples would let a noisier v pass for a faster one."""
    videos = range(len(known))
    parts = [(outputs.visual.mean[i : i + 1], outputs.action.mean[i : i + 1], known[i : i + 1]) for i in videos]
    return torch.stack([slowness(visual, action, weight, floor) for visual, action, weight in parts])


def batch_terms(model: PyramidTeacher, loss: TeacherLoss, batch: TeacherBatch, progress: float) -> dict[str, Tensor]:
    """Return the terms by name, each the mean over the videos of the batch."""
    terms = loss(model(batch.inputs, batch.known), batch, progress)
    return {name: term.sum() / len(term) for name, term in terms.items()}
