"""Trains the `piano` model: `python -m pipelines.training.piano.train` (or `make train-piano`).

Makes the pianos and the pieces first if the cache does not hold them, resumes from the last
checkpoint, and shows as it goes: losses, a validation table on instruments kept out of training
(`validation.csv`) and their curves (`curves.png`). Runs on a GPU where torch finds one; on several of a
machine with `torchrun --standalone --nproc-per-node=N -m pipelines.training.piano.train`.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pipelines.cache import cache_folder
from pipelines.evaluation.note_measures import NoteScores, as_rows, mean_scores, score_notes
from pipelines.performing import pianos, pieces
from pipelines.training import checkpoints
from pipelines.training.curves import LOSSES, VALIDATION, append_row, draw_curves
from pipelines.training.distributed import ALONE, Ranks, ranks
from pipelines.training.piano import clips
from pipelines.training.piano.clips import Clips, validation_clips
from pipelines.training.piano.losses import losses, total
from pipelines.training.piano.network import NetworkSize, PianoNetwork
from pipelines.training.piano.recipe import Recipe
from services.amt.contract import HEADS
from services.amt.notes import find_notes


class Trainer:
    """One training run: its network, its moving average, its optimiser and where it stands.

    Args:
        recipe: how it trains.
        folder: of the run, where its checkpoint and its curves lie.
        files: the pieces to learn from; by default those of the cache.
        start: weights to start from (a `state_dict`), instead of random ones.
        limit_s: seconds after which training ends, wherever it is; 0 for no limit.
        ranks: who trains together.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        files: Sequence[Path] | None = None,
        start: Mapping[str, Tensor] | None = None,
        limit_s: float = 0.0,
        ranks: Ranks = ALONE,
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.files = clips.pieces() if files is None else files
        self.limit_s = limit_s
        self.ranks = ranks
        self.device = ranks.device
        torch.manual_seed(recipe.seed)
        network = PianoNetwork(NetworkSize(pitch=recipe.pitch_channels)).to(self.device)
        if start is not None:
            network.load_state_dict(dict(start))
        self.network = network.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).eval()
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), recipe.learning_rate, betas=(0.9, 0.98), weight_decay=1e-3
        )
        self.step = 0
        self.seconds = 0.0
        if (state := checkpoints.resume(folder, ranks)) is not None:
            self._restore(state)
        self._together = ranks.together(self.network)

    @property
    def checkpoint(self) -> Path:
        """Where the run stands; written after every validation."""
        return self.folder / checkpoints.CHECKPOINT

    def run(self) -> None:
        """Train to the recipe's number of steps, or to the limit of time."""
        drawn = Clips(self.recipe, self.files, self.step, self.ranks)
        stream = iter(DataLoader(drawn, batch_size=None, num_workers=self.recipe.workers))
        recent: list[np.ndarray] = []
        began = time.monotonic() - self.seconds
        ended = self.ended
        while not ended:
            audio, wanted = next(stream)
            recent.append(self._learn(audio.to(self.device), wanted.to(self.device)))
            self.step += 1
            self.seconds = time.monotonic() - began
            ended = self.ranks.agreed(self.ended)
            if not self.ranks.leads:
                continue
            if self.step % self.recipe.report_every == 0:
                self._report(np.mean(recent, axis=0))
                recent.clear()
            if self.step % self.recipe.validate_every == 0 or ended:
                self._validate()
                self._save()

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do."""
        return self.step >= self.recipe.steps or 0 < self.limit_s <= self.seconds

    def _learn(self, audio: Tensor, wanted: Tensor) -> np.ndarray:
        rate = self.recipe.rate_at(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.network.train()
        if self.recipe.frozen_norms:
            for layer in self.network.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.eval()
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self._together(audio)
        heads = losses(logits.float(), wanted)
        total(heads).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 3.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self._follow()
        return heads.detach().cpu().numpy()

    @torch.no_grad()
    def _follow(self) -> None:
        """Let the moving average follow the network, faster in the first steps."""
        keep = min(self.recipe.average, 1 - 1 / (self.step / 4 + 1))
        ours, theirs = self.average.state_dict(), self.network.state_dict()
        for name, value in ours.items():
            if value.dtype == torch.float32:
                value.lerp_(theirs[name], 1 - keep)
            else:
                value.copy_(theirs[name])

    def _report(self, heads: np.ndarray) -> None:
        heard_h = self.step * self.recipe.batch * self.recipe.clip_s / 3600
        named = "  ".join(f"{name} {loss:.4f}" for name, loss in zip(HEADS, heads, strict=True))
        pace = self.seconds / self.step
        left_min = (self.recipe.steps - self.step) * pace / 60
        print(
            f"step {self.step}  {heard_h:.2f} h heard  {pace:.2f} s/step  {left_min:.0f} min left  {named}",
            flush=True,
        )
        append_row(self.folder / LOSSES, {"step": self.step, **dict(zip(HEADS, heads.tolist(), strict=True))})

    def _validate(self) -> None:
        scores = mean_scores(validate(self.average, self.device, self.recipe.validated))
        row = {"step": self.step, **{k: round(v, 4) for k, v in asdict(scores).items()}}
        append_row(self.folder / VALIDATION, row)
        print("held-out pianos  " + "  ".join(f"{k} {v}" for k, v in row.items()), flush=True)
        draw_curves(
            self.folder,
            HEADS,
            ("onset_f1", "offset_f1", "frame_f1", "velocity"),
            "held-out pianos",
        )

    def _save(self) -> None:
        state = {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "seconds": self.seconds,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        checkpoints.save(self.folder, state)

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]


@torch.inference_mode()
def posteriors(network: PianoNetwork, audio: np.ndarray, device: torch.device) -> np.ndarray:
    """What the model would serve for int16 audio of an even number of frames: uint8 [4, T, 88]."""
    heard = torch.from_numpy(audio.astype(np.float32) / 32768)[None].to(device)
    likely = torch.sigmoid(network(heard).float())[0]
    return torch.round(likely * 255).to(torch.uint8).cpu().numpy()


def validate(network: PianoNetwork, device: torch.device, count: int) -> list[NoteScores]:
    """Scores on the first of the fixed excerpts of held-out pianos."""
    return [
        score_notes(truth.astype(float), as_rows(find_notes(posteriors(network, audio, device))))
        for audio, truth in validation_clips(count)
    ]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, default=Path("../shared/data/scores"))
    parser.add_argument("--run", default="piano", help="name of the run; its folder is in the cache")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--pieces", type=int, default=Recipe.pieces)
    args = parser.parse_args()
    recipe = Recipe(steps=args.steps, pieces=args.pieces)
    folder = cache_folder("runs", args.run)
    with ranks() as joined:
        if joined.leads:
            pianos.make_all()
            pieces.make_pieces(0, recipe.pieces, args.scores)
            pieces.make_pieces(pieces.FIRST_VALIDATION, recipe.validation_pieces, args.scores)
            (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2))
        joined.wait()
        if torch.get_num_threads() > 1 and not torch.cuda.is_available():
            torch.set_num_threads(max(1, torch.get_num_threads() - recipe.workers))
        Trainer(recipe, folder, ranks=joined).run()


if __name__ == "__main__":
    main()
