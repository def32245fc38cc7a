"""Every number that a training run of the `piano` model depends on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from services.amt.contract import FRAME_S


@dataclass(frozen=True)
class Recipe:
    """How the model is trained; stored with every checkpoint and in the model's card.

    Attributes:
        seed: of weights, clips and damage.
        pieces: training pieces of one minute.
        validation_pieces: pieces on held-out instruments.
        pitch_channels: width of the network's layers over keys.
        frames: length of a clip.
        batch: clips a step.
        steps: length of the run.
        learning_rate: its highest value, reached after `warm_up` steps.
        average: decay of the moving average of the weights, which is what is released.
        workers: processes that make clips.
        report_every, validate_every: in steps; a checkpoint is written with each validation.
        validated: excerpts of held-out pianos that a validation hears.
        frozen_norms: whether normalisation keeps the statistics and the form that it started with; for a
            network that goes on from a released one, whose norms were folded into its convolutions.
    """

    seed: int = 1
    pieces: int = 2400
    validation_pieces: int = 40
    pitch_channels: int = 80
    frames: int = 256
    batch: int = 4
    steps: int = 6500
    warm_up: int = 60
    learning_rate: float = 3e-3
    average: float = 0.995
    workers: int = 1
    report_every: int = 50
    validate_every: int = 400
    validated: int = 16
    frozen_norms: bool = False

    @property
    def clip_s(self) -> float:
        """Length of a clip in seconds."""
        return self.frames * FRAME_S

    def rate_at(self, step: int) -> float:
        """Learning rate of a step: a short rise, a plateau of 40 %, then a cosine to nearly zero."""
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / self.warm_up
        decline = max(0.0, (step / self.steps - 0.4) / 0.6)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * decline)))
