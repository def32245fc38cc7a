"""Makes the training data of the `piano` model: performed pieces, as sound with the truth of each note.

A piece is decided by its number alone, so any range of pieces can be made on any machine, in any
order, and made again. Each is one `.npz` of `audio` (int16, 16 kHz), `notes` (float32 [notes, 4]:
onset s, offset s, MIDI pitch, velocity) and `piano` (the instrument's name).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pipelines.cache import cache_folder
from pipelines.corpora.scores import load_corpus
from pipelines.performing.expression import excerpt, perform
from pipelines.performing.pianos import HELD_OUT, TRAINING_SHARES, load_piano
from pipelines.performing.sampler import draw_tuning, render
from pipelines.performing.textures import improvise

PIECE_S = 60.0
IMPROVISED_SHARE = 0.4
#: Pieces numbered from here on are validation, played on instruments kept out of training.
FIRST_VALIDATION = 1_000_000


def piece_path(number: int) -> Path:
    """Where piece `number` lies in the cache."""
    return cache_folder("piano", "pieces") / f"{number:07d}.npz"


def make_piece(
    number: int,
    corpus: list[np.ndarray],
    path: Path | None = None,
    seed: Sequence[int] = (),
    shares: Mapping[str, float] | None = None,
) -> None:
    """Perform and render piece `number`, unless it is there.

    Args:
        number: decides the piece, with `seed`.
        corpus: note tables to perform.
        path: of the piece; by default in the cache.
        seed: for another series of pieces than that of the cache.
        shares: how often each instrument plays; by default, by the number, as in training or in validation.
    """
    path = path or piece_path(number)
    if path.exists():
        return
    random = np.random.default_rng([20_261_120, number, *seed])
    if shares is None:
        shares = dict.fromkeys(HELD_OUT, 1.0) if number >= FIRST_VALIDATION else TRAINING_SHARES
    names = list(shares)
    chances = np.array(list(shares.values()))
    piano = load_piano(str(random.choice(names, p=chances / chances.sum())))
    improvised = random.random() < IMPROVISED_SHARE
    table = improvise(random, PIECE_S) if improvised else excerpt(random, corpus, PIECE_S)
    performance = perform(random, table, PIECE_S)
    sound = render(random, performance, piano, draw_tuning(random), PIECE_S)
    peak = float(np.abs(sound).max()) or 1.0
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        audio=np.round(sound / peak * 0.9 * 32767).astype(np.int16),
        notes=performance.notes[:, [0, 2, 3, 4]],
        piano=piano.name,
    )
    partial.rename(path)


def make_pieces(first: int, count: int, scores: Path) -> None:
    """Make pieces `first` to `first + count - 1`; those already there are kept."""
    corpus = load_corpus(scores)
    for number in tqdm(range(first, first + count), desc="performing", unit="piece"):
        make_piece(number, corpus)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, default=Path("../shared/data/scores"))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=2400)
    args = parser.parse_args()
    make_pieces(args.first, args.count, args.scores)


if __name__ == "__main__":
    main()
