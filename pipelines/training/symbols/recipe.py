"""Every number that a training run of the `symbols` model depends on."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How the model is trained; stored with every checkpoint and in the model's card.

    Attributes:
        seed: of weights, tiles and damage.
        tile_px: side of a training tile, a multiple of 16; served tiles may be larger.
        batch: tiles a step.
        steps: length of the run, and of the learning rate's fall.
        learning_rate: its highest value, reached after `warm_up` steps.
        weight_decay: of kernels; norms and biases are free.
        average: decay of the moving average of the weights, which is what is released.
        clip_norm: longest gradient that is followed in full.
        clean: share of tiles that keep the engraver's clean print.
        workers: processes that make tiles.
        pages_in_memory: pages that tiles are cut from at a time, by each worker.
        tiles_a_page: tiles made, on average, before a page gives way to another.
        report_every: in steps.
        save_every_s, validate_every_s: in seconds.
        validated: tiles that a validation reads.
        frozen_norms: whether normalisation keeps the statistics and the form that it started with; for
            weights of a released model, whose norms were folded into its convolutions.
    """

    seed: int = 1
    tile_px: int = 384
    batch: int = 8
    steps: int = 10000
    warm_up: int = 200
    learning_rate: float = 2.2e-3
    weight_decay: float = 1e-2
    average: float = 0.998
    clip_norm: float = 5.0
    clean: float = 0.1
    workers: int = 1
    pages_in_memory: int = 32
    tiles_a_page: int = 16
    report_every: int = 100
    save_every_s: float = 300.0
    validate_every_s: float = 900.0
    validated: int = 128
    frozen_norms: bool = False

    def rate_at(self, step: int) -> float:
        """Learning rate of a step: a short rise, then a cosine to nearly zero."""
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / self.warm_up
        done = min(1.0, (step - self.warm_up) / max(1, self.steps - self.warm_up))
        return self.learning_rate * (0.002 + 0.998 * 0.5 * (1 + math.cos(math.pi * done)))
