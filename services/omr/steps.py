"""The steps of reading one page, one after another, without any server.

The service takes the same steps with the model on Triton (`services.omr.reader`); an evaluation takes them
with the model in its own process.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from services.omr import tiles
from services.omr.assembly.recognition import RecognisedPage
from services.omr.octave_clefs import with_octave_clefs
from services.omr.octave_lines import with_octave_lines
from services.omr.page import PreparedPage, Symbol
from services.omr.second_dots import with_second_dots
from services.omr.straighten import prepare
from services.omr.symbols import resolve
from services.omr.systems import find_systems
from services.omr.uploads import PagePicture

#: Kept of a prepared page once it has been looked at: a hundred pictures would be too much to hold.
_NO_IMAGE: Final = np.zeros((0, 0), np.uint8)


class TileModel(Protocol):
    """The `symbols` model, wherever it runs."""

    def __call__(self, tile: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Read one tile, uint8 [TILE_PX, TILE_PX]: candidates [CANDIDATES, FIELDS], staves [CELLS, CELLS]."""
        ...


def find_symbols(
    page: PreparedPage, model: TileModel, least_scores: NDArray[np.float32]
) -> tuple[tuple[Symbol, ...], NDArray[np.uint8]]:
    """Find a page's symbols, surest first, and its middle lines, uint8 [height / 4, width / 4]."""
    stitcher = _looked_at(page, tiles.place(page.image), model, least_scores)
    return found_symbols(page, stitcher), stitcher.middle_lines


def made_ready(picture: PagePicture) -> tuple[PreparedPage, tuple[tiles.Tile, ...]]:
    """Prepare a page, and place the tiles that the model is to look at."""
    page = picture.in_upload_px(prepare(picture.image))
    return page, tiles.place(page.image)


def recognised(page: PreparedPage, stitcher: tiles.Stitcher) -> RecognisedPage:
    """Make symbols and systems of what the model has found; the page's picture is let go."""
    symbols = found_symbols(page, stitcher)
    systems = find_systems(page, stitcher.middle_lines, symbols)
    symbols = with_octave_clefs(page.image, systems, symbols)
    return RecognisedPage(replace(page, image=_NO_IMAGE), systems, symbols)


def found_symbols(page: PreparedPage, stitcher: tiles.Stitcher) -> tuple[Symbol, ...]:
    """Make symbols, surest first, of what the model has found."""
    return with_second_dots(page.image, with_octave_lines(page.image, resolve(stitcher.candidates())))


def _looked_at(
    page: PreparedPage,
    placed: tuple[tiles.Tile, ...],
    model: TileModel,
    least_scores: NDArray[np.float32],
) -> tiles.Stitcher:
    stitcher = tiles.Stitcher(page.image.shape, placed, least_scores)
    for index, tile in enumerate(placed):
        stitcher.put(index, *model(tiles.cut(page.image, tile)))
    return stitcher
