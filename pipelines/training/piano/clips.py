"""Training clips: a random stretch of a random piece, damaged, at a random level, with its targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from pipelines.performing.damage import damage
from pipelines.performing.pieces import FIRST_VALIDATION, piece_path
from pipelines.training.distributed import ALONE, Ranks
from pipelines.training.piano.recipe import Recipe
from pipelines.training.piano.targets import targets
from services.amt.contract import FRAME_S, HOP_SAMPLES, SAMPLE_RATE_HZ, TARGET_RMS

#: Sound before the clip that goes through the damage too, so that rooms ring into the clip.
RUN_UP_S = 1.0
#: How far a clip's level strays from where serving would bring it, in dB (one standard deviation).
LEVEL_DB = 2.5


def pieces(validation: bool = False) -> list[Path]:
    """The pieces that lie in the cache, of training or of validation."""
    found = sorted(piece_path(0).parent.glob("???????.npz"))
    return [path for path in found if (int(path.stem) >= FIRST_VALIDATION) == validation]


def _rms(audio: np.ndarray) -> float:
    """Root mean square of int16 audio, full scale = 1, from every seventh sample."""
    return float(np.sqrt(np.mean((audio[::7].astype(np.float32) / 32768) ** 2)))


def clip(
    random: np.random.Generator, audio: np.ndarray, notes: np.ndarray, frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """One clip: int16-like float32 audio [frames * HOP_SAMPLES] and its targets [4, frames, 88]."""
    samples, run_up = frames * HOP_SAMPLES, int(RUN_UP_S * SAMPLE_RATE_HZ)
    start = int(random.integers(0, len(audio) - samples))
    begin = max(0, start - run_up)
    stretch = audio[begin : start + samples].astype(np.float32) / 32768
    # Whole recordings are served at one level, so a soft passage stays as soft as it was in its piece.
    softness = np.sqrt(np.mean(stretch**2)) / (_rms(audio) + 1e-6)
    sound = damage(random, stretch)[start - begin :]
    sound = sound * softness * TARGET_RMS * 10 ** (random.normal(0, LEVEL_DB) / 20)
    # Served audio has passed through int16: so does this, with its rounding and its ceiling.
    heard = np.round(np.clip(sound, -1, 1) * 32767) / 32768
    return heard.astype(np.float32), targets(notes, start / SAMPLE_RATE_HZ, frames)


class Clips(IterableDataset[tuple[Tensor, Tensor]]):
    """An endless stream of batches: audio [B, frames * HOP_SAMPLES] and targets [B, 4, frames, 88].

    Every clip is decided by the recipe's seed, its step and its place in the batch: a run that goes on after
    an interruption, or on another number of processes, learns from the same clips.

    Args:
        recipe: says how long clips are, how many make a batch, and the seed.
        files: the pieces to learn from.
        skip: steps that are done already.
        ranks: who trains together; each draws its share of every batch.

    Raises:
        FileNotFoundError: there are no pieces.
    """

    def __init__(self, recipe: Recipe, files: Sequence[Path], skip: int = 0, ranks: Ranks = ALONE) -> None:
        if not files:
            raise FileNotFoundError("No training pieces: run `python -m pipelines.performing.pieces`.")
        self.recipe = recipe
        self.files = files
        self.skip = skip
        share = ranks.share(recipe.batch)
        self.places = range(ranks.rank * share, (ranks.rank + 1) * share)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        if worker:
            torch.set_num_threads(1)
        for step in count(self.skip + first, stride):
            drawn = [self._clip(step, place) for place in self.places]
            sounds, wanted = (np.stack(each) for each in zip(*drawn, strict=True))
            yield torch.from_numpy(sounds), torch.from_numpy(wanted)

    def _clip(self, step: int, place: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng([self.recipe.seed, step, place])
        with np.load(self.files[int(random.integers(len(self.files)))]) as piece:
            return clip(random, piece["audio"], piece["notes"], self.recipe.frames)


def validation_clips(count: int = 16, seconds: float = 20.0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Fixed damaged excerpts on held-out instruments: int16-level audio and notes [notes, 4].

    Notes are in the time of the excerpt.
    """
    excerpts = []
    for number, path in enumerate(pieces(validation=True)[:count]):
        random = np.random.default_rng([77, number])
        with np.load(path) as piece:
            audio, notes = piece["audio"], piece["notes"]
        frames = int(seconds / FRAME_S)
        start = 10 * SAMPLE_RATE_HZ
        stretch = audio[start - SAMPLE_RATE_HZ : start + frames * HOP_SAMPLES]
        sound = damage(random, stretch.astype(np.float32) / 32768)[SAMPLE_RATE_HZ:]
        sound = sound * TARGET_RMS / (np.sqrt(np.mean(sound**2)) + 1e-6)
        kept = notes[(notes[:, 0] >= start / SAMPLE_RATE_HZ)].copy()
        kept[:, :2] -= start / SAMPLE_RATE_HZ
        kept = kept[kept[:, 0] < seconds - 0.1]
        excerpts.append((np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16), kept))
    return excerpts
