"""Second augmentation dots: two dots in a row, of which the model sees one.

Dots of a doubly dotted note lie half a staff space apart, too near to be told apart by the model, which was
shown few of them. So the ink beside every dot that it finds is looked at: one blot as wide as two dots, or
two blots side by side, each of a dot's size. Of some 800 single dots on scans, photos and clean pages none
was taken for two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.omr.page import Symbol
from services.omr.vocabulary import SymbolClass

#: What is looked at around a dot: so far to either side, and up and down, in px.
_ASIDE_PX: Final = 16
_UP_PX: Final = 7
#: Ink is darker than half way from the darkest px to paper, which is this percentile.
_PAPER_PERCENTILE: Final = 90
#: Blots are level with the dot within this.
_LEVEL_PX: Final = 2.0
#: Height and width of a dot, and width of two in one blot, at least and at most, in px; least area in px.
_HEIGHT_PX: Final = (2, 6)
_WIDTH_PX: Final = (2, 6)
_WIDTH_OF_TWO_PX: Final = (7, 11)
_LEAST_AREA: Final = 10
#: How far the two dots may be apart, in px; a dot found so near to a blot is the blot's own.
_MOST_APART_PX: Final = 9.0
_SAME_PX: Final = 3.5


@dataclass(frozen=True, slots=True)
class _Blot:
    """A connected piece of ink: its centre, size and area, in px of the page."""

    x: float
    y: float
    width: int
    height: int
    area: int


def with_second_dots(image: NDArray[np.uint8], symbols: Sequence[Symbol]) -> tuple[Symbol, ...]:
    """The symbols, where there are two dots in a row both of them.

    Args:
        image: the prepared page, uint8 [height, width], 255 is paper.
        symbols: on it.
    """
    dots = [each for each in symbols if each.kind is SymbolClass.AUGMENTATION_DOT]
    found: list[Symbol] = []
    for symbol in symbols:
        if symbol.kind is not SymbolClass.AUGMENTATION_DOT:
            found.append(symbol)
            continue
        places = _both(image, symbol)
        others = [dot for dot in dots if dot is not symbol and abs(dot.y - symbol.y) <= _SAME_PX]
        if places is None or any(abs(dot.x - x) <= _SAME_PX for dot in others for x in places):
            found.append(symbol)
        else:
            found += [replace(symbol, x=x) for x in places]
    return tuple(found)


def _both(image: NDArray[np.uint8], dot: Symbol) -> tuple[float, float] | None:
    """Where a dot and the one right of it lie, if there are two."""
    blots = [blot for blot in _blots(image, dot) if abs(blot.y - dot.y) <= _LEVEL_PX]
    for blot in blots:
        if _within(blot.width, _WIDTH_OF_TWO_PX) and abs(blot.x - dot.x) <= blot.width / 2:
            return blot.x - blot.width / 4, blot.x + blot.width / 4
    single = sorted(blot.x for blot in blots if _within(blot.width, _WIDTH_PX))
    for first, second in pairwise(single):
        near = min(abs(first - dot.x), abs(second - dot.x)) <= _SAME_PX
        if near and second - first <= _MOST_APART_PX:
            return first, second
    return None


def _blots(image: NDArray[np.uint8], dot: Symbol) -> list[_Blot]:
    """Ink around a dot that is as high as dots are and does not go on beyond what is looked at."""
    left, top = max(round(dot.x) - _ASIDE_PX, 0), max(round(dot.y) - _UP_PX, 0)
    around = image[top : round(dot.y) + _UP_PX + 1, left : round(dot.x) + _ASIDE_PX + 1]
    if not around.size:
        return []
    ink = around < (around.min() + np.percentile(around, _PAPER_PERCENTILE)) / 2
    _, _, boxes, centres = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=4)
    rows, columns = ink.shape
    return [
        _Blot(left + x, top + y, width, height, area)
        for (from_x, from_y, width, height, area), (x, y) in zip(
            boxes[1:].tolist(), centres[1:].tolist(), strict=True
        )
        if from_x > 0
        and from_y > 0
        and from_x + width < columns
        and from_y + height < rows
        and _within(height, _HEIGHT_PX)
        and area >= _LEAST_AREA
    ]


def _within(value: int, limits: tuple[int, int]) -> bool:
    return limits[0] <= value <= limits[1]
