"""Makes what `context` learns from: `python -m pipelines.training.context.candidates`.

Pictures of engraved pages go the service's own way, through preparation, the `symbols` model and the finding
of staves; every candidate is then matched with what is printed. Low scores are kept, so that `context`
sees what it is to refuse. Resumable: a page that is there is not read again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from services.omr.straighten import prepare
from services.omr.systems import find_systems
from tqdm import tqdm

from pipelines.cache import cache_folder
from pipelines.engraving.pages import EngravedPage
from pipelines.engraving.pictures import Means, staff_space, take_picture
from pipelines.release.served import SymbolsModel
from pipelines.training.context.matching import TARGETS, match
from services.omr import contract
from services.omr.assembly.boxes import to_upload
from services.omr.assembly.recognition import RecognisedPage
from services.omr.context import windows_of
from services.omr.page import Symbol
from services.omr.steps import find_symbols
from services.omr.vocabulary import CLASSES

#: Shares of pictures taken by each means.
_MEANS = {Means.SCAN: 0.6, Means.PHOTO: 0.2, Means.CLEAN: 0.2}


def read_picture(
    picture: EngravedPage, model: SymbolsModel, least_score: float
) -> tuple[NDArray[np.float16], NDArray[np.int8]]:
    """Candidates of a picture's staves and what they are.

    Returns:
        float16 [windows, SEQUENCE, CONTEXT_FIELDS] and int8 [windows, SEQUENCE, TARGETS]; no windows where no
        staves are found.
    """
    page = prepare(picture.image)
    symbols: tuple[Symbol, ...] = ()
    targets = np.zeros((0, len(TARGETS)), np.int8)
    systems = ()
    if page is not None:
        symbols, middle_lines = find_symbols(page, model, np.full(len(CLASSES), least_score, np.float32))
        systems = find_systems(page, middle_lines, symbols)
    if page is None or not symbols or not systems:
        empty = np.zeros((0, contract.SEQUENCE, contract.CONTEXT_FIELDS), np.float16)
        return empty, np.zeros((0, contract.SEQUENCE, len(TARGETS)), np.int8)
    centres = np.array([(symbol.x, symbol.y) for symbol in symbols])
    x, y = to_upload(page, centres[:, 0], centres[:, 1])
    targets = match(symbols, x, y, picture.symbols, staff_space(picture))
    windows, tensors = windows_of(RecognisedPage(page, systems, symbols))
    asked = np.full((len(windows), contract.SEQUENCE, len(TARGETS)), -1, np.int8)
    for row, window in zip(asked, windows, strict=True):
        row[: len(window.symbols)] = targets[list(window.symbols)]
    return tensors.astype(np.float16), asked


def make_candidates(source: Path, folder: Path, count: int, seed: int, least_score: float) -> None:
    """Read pictures of `count` pages of a folder into another."""
    folder.mkdir(parents=True, exist_ok=True)
    model = SymbolsModel.released()
    pages = sorted(source.glob("*.npz"))
    chosen = np.random.default_rng(seed).permutation(len(pages))[:count]
    for index in tqdm(chosen, desc=folder.name, unit="page", mininterval=10):
        stem = pages[index].with_suffix("")
        made = folder / f"{stem.name}.npz"
        if made.exists():
            continue
        random = np.random.default_rng([seed, int(index)])
        means = random.choice(list(_MEANS), p=list(_MEANS.values()))
        picture = take_picture(EngravedPage.load(stem), Means(means), random)
        candidates, targets = read_picture(picture, model, least_score)
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
    for name, count in (("validation", args.validation_pages), ("train", args.pages)):
        make_candidates(cache_folder("pages", name), data / name, count, args.seed, args.least_score)


if __name__ == "__main__":
    main()
