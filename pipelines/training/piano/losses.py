"""What training minimises, head by head."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from services.amt.contract import FRAME, OFFSET, ONSET, VELOCITY

#: Onsets decide most of what a listener notices.
ONSET_WEIGHT = 2.0
VELOCITY_WEIGHT = 1.0


def losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Losses of the four heads, [4]: logits and targets [B, 4, T, P].

    Cross-entropy for onset, offset and frame, positives weighing more where they are rare; squared
    error for velocity where an onset is, its head being a probability like the others.
    """
    wanted_onset, wanted_offset = targets[:, ONSET], targets[:, OFFSET]
    onset = cross_entropy(logits[:, ONSET], wanted_onset, weight=1 + 2 * wanted_onset)
    offset = cross_entropy(logits[:, OFFSET], wanted_offset, weight=1 + wanted_offset)
    frame = cross_entropy(logits[:, FRAME], targets[:, FRAME])
    counts = (targets[:, VELOCITY] > 0).float()
    miss = (torch.sigmoid(logits[:, VELOCITY]) - targets[:, VELOCITY]) ** 2
    velocity = (miss * counts).sum() / (counts.sum() + 1)
    return torch.stack([onset, offset, frame, velocity])


def total(heads: Tensor) -> Tensor:
    """One number to minimise from the losses of the four heads."""
    weights = torch.tensor([10 * ONSET_WEIGHT, 10.0, 10.0, VELOCITY_WEIGHT], device=heads.device)
    return (weights * heads).sum()
