"""Octave lines: how far the dashed line reaches that follows an 8va.

The model finds the figure alone. The line is traced on the page: thin dashes at one height, from the figure
to the right, until a gap is wider than between dashes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.omr.page import Symbol
from services.omr.vocabulary import SymbolClass

_INK: Final = 150
_BAND_PX: Final = 9
_THICKEST_PX: Final = 4
_WIDEST_GAP_PX: Final = 24
_SHORTEST_LINE_PX: Final = 24
_FEWEST_DASHES: Final = 3
_NARROWEST_GAP_PX: Final = 3
_LEAST_INK: Final = 0.2
_MOST_INK: Final = 0.9


def with_octave_lines(image: NDArray[np.uint8], symbols: Iterable[Symbol]) -> tuple[Symbol, ...]:
    """The symbols, the box of each 8va widened to the end of its line.

    Args:
        image: the prepared page, uint8 [height, width], 255 is paper.
        symbols: on it. One without a line keeps its box.
    """
    return tuple(_widened(image, each) if each.kind is SymbolClass.OTTAVA else each for each in symbols)


def _widened(image: NDArray[np.uint8], figure: Symbol) -> Symbol:
    start = round(figure.x + figure.width / 2) + 1
    top = max(0, round(figure.y) - _BAND_PX - _THICKEST_PX)
    dark = image[top : round(figure.y) + _BAND_PX + _THICKEST_PX + 1, start:] < _INK
    if dark.shape[0] <= 2 * _THICKEST_PX:
        return figure
    reaches = [_reach(_thin(dark, row)) for row in range(_THICKEST_PX, dark.shape[0] - _THICKEST_PX)]
    reach = max(reaches, default=0)
    if reach < _SHORTEST_LINE_PX:
        return figure
    left = figure.x - figure.width / 2
    right = float(start + reach)
    return replace(figure, x=(left + right) / 2, width=right - left)


def _thin(dark: NDArray[np.bool_], row: int) -> NDArray[np.bool_]:
    """Columns that are dark at a row, or beside it, and not over more rows than a line is thick."""
    window = dark[row - _THICKEST_PX : row + _THICKEST_PX + 1]
    near = window[_THICKEST_PX - 1 : _THICKEST_PX + 2].any(0)
    return np.asarray(near & (window.sum(0) <= _THICKEST_PX))


def _reach(ink: NDArray[np.bool_]) -> int:
    """Where a line that begins at the first column ends: before a gap too wide, in px; 0 where it is none."""
    columns = np.flatnonzero(ink)
    if len(columns) == 0 or columns[0] > _WIDEST_GAP_PX:
        return 0
    steps = np.diff(columns)
    breaks = np.flatnonzero(steps > _WIDEST_GAP_PX)
    last = int(breaks[0]) if len(breaks) else len(columns) - 1
    dashes = 1 + np.count_nonzero(steps[:last] > _NARROWEST_GAP_PX)
    reach = int(columns[last])
    # A line of the staff, or a slur, has no gaps.
    dashed = dashes >= _FEWEST_DASHES and _LEAST_INK <= (last + 1) / (reach + 1) <= _MOST_INK
    return reach if dashed else 0
