"""Trains the `symbols` model: `python -m pipelines.training.symbols.train` (or `make train-symbols`).

Learns from the pages in the cache (`python -m pipelines.engraving.make`), also from those made meanwhile;
resumes from the last checkpoint; shows losses, scores on pages of other scores (`validation.csv`) and their
curves (`curves.png`) as it goes. The loop is torch's; network and losses are Keras' operations. On several
GPUs of a machine: `torchrun --standalone --nproc-per-node=N -m pipelines.training.symbols.train`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pipelines.cache import cache_folder
from pipelines.training import checkpoints
from pipelines.training.curves import LOSSES, VALIDATION, append_row, draw_curves
from pipelines.training.distributed import ALONE, Ranks, counted, ranks
from pipelines.training.symbols.losses import WEIGHTS, losses, total
from pipelines.training.symbols.network import SymbolsNetwork, by_cell
from pipelines.training.symbols.recipe import Recipe
from pipelines.training.symbols.shelf import Batch, Batches
from pipelines.training.symbols.targets import POINT
from pipelines.training.symbols.tiles import Tile
from pipelines.training.symbols.validation import reader_of, validate, validation_tiles


class Reading(nn.Module):
    """Detector and reader in one go, as training asks for them: tiles to maps, and what is read at cells."""

    def __init__(self, network: SymbolsNetwork, frozen_norms: bool) -> None:
        super().__init__()
        self.network = network
        self.frozen_norms = frozen_norms

    def forward(self, tile: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Tiles [B, T, T] and indices of cells [N] -> maps [B, MAPS, G, G] and readings [N, ...]."""
        maps, features = self.network(tile, training=not self.frozen_norms)
        return maps, self.network.reader(by_cell(features)[cells])


class Trainer:
    """One training run: its network, its moving average, its optimiser and where it stands.

    Args:
        recipe: how it trains.
        folder: of the run, where its checkpoint and its curves lie.
        pages: the folder of pages, with `train` and `validation`.
        ranks: who trains together.
        start: weights to start from, instead of random ones.
        limit_s: seconds after which training ends, wherever it is; 0 for no limit.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        pages: Path,
        ranks: Ranks = ALONE,
        start: Sequence[NDArray[np.float32]] | None = None,
        limit_s: float = 0.0,
    ) -> None:
        self.recipe = recipe
        self.limit_s = limit_s
        self.folder = folder
        self.pages = pages
        self.ranks = ranks
        keras.utils.set_random_seed(recipe.seed)
        self.network = SymbolsNetwork(policy="mixed_bfloat16")
        if start is not None:
            self.network.set_weights(list(start))
        self.average = SymbolsNetwork()
        self.average.set_weights(arrays(self.network))
        self.device = self.network.weights[0].value.device
        self.optimiser = torch.optim.AdamW(self._groups(), betas=(0.9, 0.99), fused=True)
        self.step = 0
        self.seconds = 0.0
        self._tiles: list[Tile] = []
        if (state := checkpoints.resume(folder, ranks)) is not None:
            self._restore(state)
        self._reading = ranks.together(Reading(self.network, recipe.frozen_norms))

    @property
    def checkpoint(self) -> Path:
        """Where the run stands."""
        return self.folder / checkpoints.CHECKPOINT

    def _groups(self) -> list[dict[str, object]]:
        """Kernels, which decay, and norms and biases, which do not."""
        weights = [weight.value for weight in self.network.trainable_weights]
        kernels = [weight for weight in weights if weight.ndim > 1]
        others = [weight for weight in weights if weight.ndim <= 1]
        decay = self.recipe.weight_decay
        return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]

    def run(self) -> None:
        """Train to the recipe's number of steps, or to the limit of time."""
        batches = Batches(self.pages / "train", self.recipe, self.step, self.ranks)
        stream = iter(DataLoader(batches, batch_size=None, num_workers=self.recipe.workers))
        recent: list[dict[str, float]] = []
        began = time.monotonic() - self.seconds
        saved = validated = self.seconds
        last = self.ended
        while not last:
            recent.append(self._learn(next(stream)))
            self.step += 1
            self.seconds = time.monotonic() - began
            last = self.ranks.agreed(self.ended)
            if self.step % self.recipe.report_every == 0:
                if self.ranks.leads:
                    self._report(recent)
                recent.clear()
            if not self.ranks.leads:
                continue
            if self.seconds - saved > self.recipe.save_every_s or last:
                self._save()
                saved = self.seconds
            if self.seconds - validated > self.recipe.validate_every_s or last:
                self._validate()
                validated = self.seconds

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do."""
        return self.step >= self.recipe.steps or 0 < self.limit_s <= self.seconds

    def _learn(self, batch: Batch) -> dict[str, float]:
        rate = self.recipe.rate_at(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        batch = {name: values.to(self.device) for name, values in batch.items()}
        maps, read = self._reading(batch["tile"], batch["read"])
        points = {name: batch[name] for name in POINT.names}
        found = losses(maps, read, batch["absence"], batch["staves"], points, counted)
        self.optimiser.zero_grad(set_to_none=True)
        total(found).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        # A step that has gone wrong is left out rather than followed.
        if bool(torch.isfinite(norm)):
            self.optimiser.step()
        self._follow()
        return {name: float(loss.detach()) for name, loss in found.items()}

    @torch.no_grad()
    def _follow(self) -> None:
        """Let the moving average follow the network, faster in the first steps."""
        keep = min(self.recipe.average, 1 - 1 / (self.step / 5 + 1))
        ours = [weight.value for weight in self.average.weights]
        theirs = [weight.value for weight in self.network.weights]
        torch._foreach_lerp_(ours, theirs, 1 - keep)

    def _report(self, recent: list[dict[str, float]]) -> None:
        means = {name: float(np.mean([each[name] for each in recent])) for name in WEIGHTS}
        pace = self.seconds / self.step
        left_min = (self.recipe.steps - self.step) * pace / 60
        named = "  ".join(f"{name} {loss:.3f}" for name, loss in means.items())
        print(f"step {self.step}  {pace:.3f} s/step  {left_min:.0f} min left  {named}", flush=True)
        append_row(self.folder / LOSSES, {"step": self.step, **means})

    def _validate(self) -> None:
        if not self._tiles:
            self._tiles = validation_tiles(
                self.pages / "validation", self.recipe.validated, self.recipe.tile_px
            )
        scores = asdict(validate(reader_of(self.average), self._tiles))
        by_class = scores.pop("by_class")
        row = {"step": self.step, **{name: round(score, 4) for name, score in scores.items()}}
        append_row(self.folder / VALIDATION, row)
        print("other scores  " + "  ".join(f"{name} {score}" for name, score in row.items()), flush=True)
        print(json.dumps(dict(sorted(by_class.items(), key=lambda each: each[1]))), flush=True)
        draw_curves(
            self.folder,
            WEIGHTS,
            ("head_f1", "position", "duration", "mean_ap"),
            "pages of other scores",
        )

    def _save(self) -> None:
        state = {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "seconds": self.seconds,
            "network": arrays(self.network),
            "average": arrays(self.average),
            "optimiser": self.optimiser.state_dict(),
        }
        checkpoints.save(self.folder, state)

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.network.set_weights(state["network"])
        self.average.set_weights(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]


def arrays(network: SymbolsNetwork) -> list[NDArray[np.float32]]:
    """All weights, as `set_weights` takes them (Keras' own `get_weights` trips over numpy 2)."""
    return [weight.value.detach().cpu().numpy() for weight in network.weights]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="symbols", help="name of the run; its folder is in the cache")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    args = parser.parse_args()
    recipe = Recipe(steps=args.steps)
    folder = cache_folder("runs", args.run)
    with ranks() as joined:
        if joined.leads:
            (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2))
        Trainer(recipe, folder, cache_folder("pages"), joined).run()


if __name__ == "__main__":
    main()
