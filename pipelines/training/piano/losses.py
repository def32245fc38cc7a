"""What training minimises, head by head."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from pipelines.training.distributed import counted
from services.amt.contract import FRAME, OFFSET, ONSET, VELOCITY

#: Onsets decide most of what a listener notices.
ONSET_WEIGHT = 2.0
#: Squared errors of velocity are small numbers beside the cross-entropies.
VELOCITY_WEIGHT = 10.0
#: How much more the differences between a clip's notes count than their common level, which nobody
#: can hear: a recording is brought to one loudness before the model gets it.
CONTRAST_WEIGHT = 4.0


def losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Losses of the four heads, [4]: logits and targets [B, 4, T, P].

    Cross-entropy for onset, offset and frame, positives weighing more where they are rare; squared
    error for velocity where an onset is, its head being a probability like the others.
    """
    wanted_onset, wanted_offset = targets[:, ONSET], targets[:, OFFSET]
    onset = cross_entropy(logits[:, ONSET], wanted_onset, weight=1 + 2 * wanted_onset)
    offset = cross_entropy(logits[:, OFFSET], wanted_offset, weight=1 + wanted_offset)
    frame = cross_entropy(logits[:, FRAME], targets[:, FRAME])
    return torch.stack([onset, offset, frame, _velocity_loss(logits[:, VELOCITY], targets[:, VELOCITY])])


def _velocity_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Squared error [B, T, P] of the clips' common level and, weighing more, of what differs from it."""
    counts = (wanted > 0).float()
    in_clip = counts.sum(dim=(1, 2), keepdim=True)
    miss = (torch.sigmoid(logits) - wanted) * counts
    level = miss.sum(dim=(1, 2), keepdim=True) / (in_clip + 1)
    contrast = ((miss - level) ** 2 * counts).sum() / counted(counts.sum())
    return (level**2).mean() + CONTRAST_WEIGHT * contrast


def total(heads: Tensor) -> Tensor:
    """One number to minimise from the losses of the four heads."""
    weights = torch.tensor([10 * ONSET_WEIGHT, 10.0, 10.0, VELOCITY_WEIGHT], device=heads.device)
    return (weights * heads).sum()
