"""A prepared page cut into the tiles of the model's contract, and their answers put together again.

Tiles lie on a grid over the page's ink, evenly spread, neighbours overlapping by at least two halos. Every
point of the page belongs to the one tile in which it lies furthest inside: that tile's core. Of each answer
the core is kept, so that a symbol is told once, and by the tile that sees most around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.omr.contract import CELL_PX, CLASS, FIELDS, HALO_PX, SCORE, TILE_PX, X, Y

#: Ink is darker than this (255 is paper) on a page of even light.
_INK: Final = 192
#: A tile with fewer px of ink holds nothing that could be read.
_LEAST_INK_PX: Final = 24
#: Paper left around the ink, in px.
_MARGIN_PX: Final = 16
#: Centres may differ by so much between two tiles that see one symbol; within that of a core's edge both
#: tiles' candidates are kept, lest each tile leave the symbol to the other.
_SLACK_PX: Final = 4.0


@dataclass(frozen=True, slots=True)
class Tile:
    """Where one tile lies; all in px of the page, multiples of `CELL_PX`.

    Attributes:
        left, top: its upper left corner; it may reach beyond the page.
        core: left, top, right and bottom of the part of the page that belongs to it.
    """

    left: int
    top: int
    core: tuple[int, int, int, int]


def place(image: NDArray[np.uint8]) -> tuple[Tile, ...]:
    """Place tiles over all ink of a page, row by row; none where there is no ink.

    Args:
        image: uint8 [height, width], 255 is paper.
    """
    dark = image < _INK
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    if not rows.size:
        return ()
    tiles = []
    for top, upper, lower in _spread(int(rows[0]), int(rows[-1]) + 1, image.shape[0]):
        for left, first, last in _spread(int(columns[0]), int(columns[-1]) + 1, image.shape[1]):
            if np.count_nonzero(dark[top : top + TILE_PX, left : left + TILE_PX]) >= _LEAST_INK_PX:
                tiles.append(Tile(left, top, (first, upper, last, lower)))
    return tuple(tiles)


def _spread(first: int, last: int, size: int) -> list[tuple[int, int, int]]:
    """Spread tiles over [first, last) of one axis: the start of each, and its core's start and end."""
    start = max(first - _MARGIN_PX, 0) // CELL_PX * CELL_PX
    end = min(last + _MARGIN_PX, size)
    room = -(-max(end - start - TILE_PX, 0) // CELL_PX) * CELL_PX
    steps = -(-room // (TILE_PX - 2 * HALO_PX))
    starts = [start + index * room // max(steps, 1) // CELL_PX * CELL_PX for index in range(steps + 1)]
    edges = [(before + TILE_PX + after) // 2 // CELL_PX * CELL_PX for before, after in pairwise(starts)]
    ends = -(-size // CELL_PX) * CELL_PX
    return list(zip(starts, [0, *edges], [*edges, ends], strict=True))


def cut(image: NDArray[np.uint8], tile: Tile) -> NDArray[np.uint8]:
    """Cut one tile, uint8 [TILE_PX, TILE_PX]; beyond the page is paper."""
    inside = image[tile.top : tile.top + TILE_PX, tile.left : tile.left + TILE_PX]
    if inside.shape == (TILE_PX, TILE_PX):
        return np.ascontiguousarray(inside)
    whole = np.full((TILE_PX, TILE_PX), 255, np.uint8)
    whole[: inside.shape[0], : inside.shape[1]] = inside
    return whole


class Stitcher:
    """Takes the tiles' answers in any order and makes the page's of them."""

    def __init__(
        self, shape: tuple[int, ...], tiles: tuple[Tile, ...], least_scores: NDArray[np.float32]
    ) -> None:
        """Make room for a page.

        Args:
            shape: height and width of the page, in px.
            tiles: as they were placed.
            least_scores: float32 [classes]: candidates of each class with lower scores are dropped.
        """
        self._tiles = tiles
        self._least_scores = least_scores
        self._candidates: dict[int, NDArray[np.float32]] = {}
        cells = (-(-shape[0] // CELL_PX), -(-shape[1] // CELL_PX))
        #: uint8 [height / 4, width / 4]: how likely a staff's middle line runs through each cell, 255 is 1.
        self.middle_lines: NDArray[np.uint8] = np.zeros(cells, np.uint8)

    def put(self, index: int, candidates: NDArray[np.float32], staves: NDArray[np.uint8]) -> None:
        """Keep what tile `index` has found in its core.

        Args:
            index: of the tile, in the order in which they were placed.
            candidates: float32 [CANDIDATES, FIELDS], in px of the tile.
            staves: uint8 [CELLS, CELLS].
        """
        tile = self._tiles[index]
        left, top, right, bottom = tile.core
        classes = candidates[:, CLASS].astype(np.intp)
        found = candidates[candidates[:, SCORE] >= self._least_scores[classes]].copy()
        found[:, X] += tile.left
        found[:, Y] += tile.top
        inside = (found[:, X] >= left - _SLACK_PX) & (found[:, X] < right + _SLACK_PX)
        inside &= (found[:, Y] >= top - _SLACK_PX) & (found[:, Y] < bottom + _SLACK_PX)
        self._candidates[index] = found[inside]
        # A core may reach over blank margins that no tile covers, to the page's edges.
        rows = slice(max(top, tile.top) // CELL_PX, min(bottom, tile.top + TILE_PX) // CELL_PX)
        columns = slice(max(left, tile.left) // CELL_PX, min(right, tile.left + TILE_PX) // CELL_PX)
        room = self.middle_lines[rows, columns]
        row, column = rows.start - tile.top // CELL_PX, columns.start - tile.left // CELL_PX
        room[:] = staves[row : row + room.shape[0], column : column + room.shape[1]]

    def candidates(self) -> NDArray[np.float32]:
        """All that was found, float32 [N, FIELDS], in px of the page; what two tiles saw is twice in it."""
        found = [self._candidates[index] for index in sorted(self._candidates)]
        return np.concatenate(found) if found else np.zeros((0, FIELDS), np.float32)
