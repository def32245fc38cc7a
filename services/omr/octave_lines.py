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

_LEAST_CONFIDENCE: Final = 0.3
_INK: Final = 150
_BAND_PX: Final = 9
_THICKEST_PX: Final = 4
_WIDEST_GAP_PX: Final = 24
_SHORTEST_LINE_PX: Final = 24
_LEAST_INK: Final = 0.2


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
    inner = dark[_THICKEST_PX:-_THICKEST_PX, :_WIDEST_GAP_PX]
    rows = np.flatnonzero(inner.any(1)) + _THICKEST_PX if inner.size else ()
    reach = max((_reach(dark, int(row)) for row in rows), default=0)
    if figure.confidence < _LEAST_CONFIDENCE or reach < _SHORTEST_LINE_PX:
        return figure
    left = figure.x - figure.width / 2
    right = float(start + reach)
    return replace(figure, x=(left + right) / 2, width=right - left)


def _reach(dark: NDArray[np.bool_], row: int) -> int:
    """Where a thin line that begins at a row ends, before a gap too wide, in px; 0 where it is none.

    It is followed where it leans, by one row at a time.
    """
    last, inked = -1, 0
    for column in range(dark.shape[1]):
        if column - last > _WIDEST_GAP_PX:
            break
        low = max(row - _THICKEST_PX, 0)
        near = dark[max(row - 1, 0) : row + 2, column]
        if near.any() and np.count_nonzero(dark[low : row + _THICKEST_PX + 1, column]) <= _THICKEST_PX:
            row += 0 if dark[row, column] else 1 if near[-1] else -1
            row = min(row, dark.shape[0] - 1)
            last, inked = column, inked + 1
    return last if inked >= _LEAST_INK * (last + 1) else 0
