"""Makes what `context` learns from: `python -m pipelines.training.context.candidates`.

Engraved pages are damaged and read by the trained `symbols` model; every candidate is then matched with what
is printed. Low scores are kept, so that `context` sees what it is to refuse. Resumable: a page that is there
is not read again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipelines.cache import cache_folder
from pipelines.engraving.pages import EngravedPage
from pipelines.engraving.pictures import Means, as_prepared
from pipelines.training.checkpoints import CHECKPOINT
from pipelines.training.context.matching import TARGETS, match
from pipelines.training.symbols.checkpoint import TrainedSymbols
from pipelines.training.symbols.tiles import on_nearest_staff
from services.omr import contract
from services.omr.assembly.recognition import RecognisedPage
from services.omr.context import windows_of
from services.omr.page import PreparedPage, Staff, System
from services.omr.steps import TileModel, find_symbols
from services.omr.vocabulary import CLASSES

#: Shares of pictures taken by each means.
_MEANS = {Means.SCAN: 0.6, Means.PHOTO: 0.2, Means.CLEAN: 0.2}


def read_page(
    page: EngravedPage, model: TileModel, least_score: float
) -> tuple[NDArray[np.float16], NDArray[np.int8]]:
    """Candidates of a page's staves and what they are.

    Args:
        page: as prepared.
        model: the `symbols` model.
        least_score: candidates below are left out.

    Returns:
        float16 [windows, SEQUENCE, CONTEXT_FIELDS] and int8 [windows, SEQUENCE, TARGETS].
    """
    height, width = page.image.shape
    corners = np.array([[0.0, width], [0.0, width]]), np.array([[0.0, 0.0], [height, height]])
    prepared = PreparedPage(page.image, (width, height), float(max(width, height)), *corners)
    symbols, _ = find_symbols(prepared, model, np.full(len(CLASSES), least_score, np.float32))
    x, y = np.array([(symbol.x, symbol.y) for symbol in symbols], float).reshape(-1, 2).T
    targets = match(symbols, x, y, page.symbols, contract.STAFF_SPACE_PX)
    windows, tensors = windows_of(RecognisedPage(prepared, systems_of(page), symbols))
    asked = np.full((len(windows), contract.SEQUENCE, len(TARGETS)), -1, np.int8)
    for row, window in zip(asked, windows, strict=True):
        row[: len(window.symbols)] = targets[list(window.symbols)]
    return tensors.astype(np.float16), asked


def systems_of(page: EngravedPage) -> tuple[System, ...]:
    """The true systems of a level page."""
    systems = []
    for number in np.unique(page.staves["system"]):
        rows = page.staves[page.staves["system"] == number]
        staves = tuple(
            Staff(np.array([row["left"], row["right"]], float), np.array([row["y"], row["y"]], float))
            for row in rows
        )
        parts = rows["part"].tolist()
        firsts = [index for index, part in enumerate(parts) if index == 0 or part != parts[index - 1]]
        lasts = [first - 1 for first in firsts[1:]] + [len(parts) - 1]
        systems.append(System(staves, tuple(zip(firsts, lasts, strict=True))))
    return tuple(systems)


def make_candidates(
    source: Path, folder: Path, count: int, seed: int, least_score: float, model: TileModel
) -> None:
    """Read pictures of `count` pages of a folder into another, by a `symbols` model."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = sorted(source.glob("*.npz"))
    chosen = np.random.default_rng(seed).permutation(len(pages))[:count]
    for index in tqdm(chosen, desc=folder.name, unit="page", mininterval=10):
        stem = pages[index].with_suffix("")
        made = folder / f"{stem.name}.npz"
        if made.exists():
            continue
        random = np.random.default_rng([seed, int(index)])
        means = random.choice(list(_MEANS), p=list(_MEANS.values()))
        page = as_prepared(on_nearest_staff(EngravedPage.load(stem)), Means(means), random)
        candidates, targets = read_page(page, model, least_score)
        partial = made.with_suffix(".part.npz")
        np.savez_compressed(partial, candidates=candidates, targets=targets)
        partial.replace(made)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=700)
    parser.add_argument("--validation-pages", type=int, default=40)
    parser.add_argument("--least-score", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    data = cache_folder("context")
    model = TrainedSymbols(cache_folder("runs", "symbols") / CHECKPOINT)
    for name, count in (("validation", args.validation_pages), ("train", args.pages)):
        make_candidates(cache_folder("pages", name), data / name, count, args.seed, args.least_score, model)


if __name__ == "__main__":
    main()
