"""The steps of reading one page, one after another, without any server.

The service does the same with the model on Triton (`services.omr.reader`); an evaluation calls these with
the model in its own process.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.omr import tiles
from services.omr.page import PreparedPage, Symbol
from services.omr.symbols import resolve


class TileModel(Protocol):
    """The `symbols` model, wherever it runs."""

    def __call__(self, tile: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Read one tile, uint8 [TILE_PX, TILE_PX]: candidates [CANDIDATES, FIELDS], staves [CELLS, CELLS]."""
        ...


def find_symbols(
    page: PreparedPage, model: TileModel, least_scores: NDArray[np.float32]
) -> tuple[tuple[Symbol, ...], NDArray[np.uint8]]:
    """Find a page's symbols, surest first, and its middle lines, uint8 [height / 4, width / 4]."""
    placed = tiles.place(page.image)
    stitcher = tiles.Stitcher(page.image.shape, placed, least_scores)
    for index, tile in enumerate(placed):
        stitcher.put(index, *model(tiles.cut(page.image, tile)))
    return resolve(stitcher.candidates()), stitcher.middle_lines
