"""What the teacher minimises when only transcripts are known: video-level, frame-level and contrast terms.

Every term is (B,), one value for each video, so that a batch's loss is their mean wherever the videos are computed.
weight (B, T) is 1 on ticks that count, else 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

CONTRAST_TEMPERATURE = 0.2


def video_loss(video_logits: Tensor, present: Tensor) -> Tensor:
    """L_vid: does each action occur in the video? logits and present (B, K), 1 where the transcript names it."""
    loss = torch.nn.functional.binary_cross_entropy_with_logits(video_logits, present, reduction="none")
    return loss.mean(-1)


def frame_loss(log_probs: Tensor, targets: Tensor, weight: Tensor, action_weights: Tensor) -> Tensor:
    """L_frame: cross-entropy of log_probs (B, T, K) with aligned labels, hard or soft, as rows of targets (B, T, K).

    action_weights (K,) counts background less.
    """
    weighted = targets * action_weights
    share = weighted.sum(-1) * weight
    return -((weighted * log_probs).sum(-1) * weight).sum(-1) / share.sum(-1).clamp(min=1e-6)


def contrast(frames: Tensor, tokens: Tensor, targets: Tensor, weight: Tensor, present: Tensor) -> Tensor:
    """L_glc, the global-local contrast: the mean feature of an action's ticks resembles its class token, no other's.

    frames (B, T, e), tokens (B, K, e), held fixed; targets (B, T, K) as in `frame_loss`. ATBA's, temperature 0.2.
    """
    share = targets * weight[..., None]
    means = share.transpose(1, 2) @ frames / share.sum(1)[..., None].clamp(min=1e-6)  # (B, K, e)
    unit_means = torch.nn.functional.normalize(means, dim=-1)
    unit_tokens = torch.nn.functional.normalize(tokens.detach(), dim=-1)
    log_match = torch.log_softmax(unit_means @ unit_tokens.transpose(1, 2) / CONTRAST_TEMPERATURE, -1)
    right = log_match.diagonal(dim1=1, dim2=2)  # (B, K)
    return -(right * present).sum(-1) / present.sum(-1).clamp(min=1.0)
