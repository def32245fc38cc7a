"""Octave clefs: the 8 under a treble clef, as tenors read it.

The model finds the clef, but hardly tells it from one with an 8: the figure is small, and such clefs were few
among what it learnt from. So it is looked for here, where engravers put it, by its likeness to the mean of
their eights. The clefs of one staff down a page are judged together, as they are printed alike. A bold 3
would pass for an 8, but nobody prints one there. Bass clefs with an 8, and an 8 above a clef, are left to the
model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from statistics import median
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.omr.contract import STAFF_SPACE_PX
from services.omr.page import Staff, Symbol, System
from services.omr.pictures import likeness, picture
from services.omr.vocabulary import CLEFS, SymbolClass

#: The 8 is sought in a picture of twice the size, where it fits within a quarter of a pixel, in three sizes.
_TIMES: Final = 2
_SIZES: Final = (0.88, 1.0, 1.12)
#: Where the figure may lie: so far below the staff's middle line, and to either side of the clef, in px.
_TOP_PX: Final = 28
_BOTTOM_PX: Final = 58
_ASIDE_PX: Final = 12
#: Least likeness (normalised correlation). Plain clefs come to 0.62 in clean print, and past this once in a
#: hundred times when it is damaged; of clefs with an 8 do so 95 % in clean print and 80 % when it is damaged.
_LEAST_LIKENESS: Final = 0.73
_LEAST_CONFIDENCE: Final = 0.3
#: A clef stands on a staff if its centre is so near to the middle line, in px.
_NEAR_PX: Final = 2 * STAFF_SPACE_PX


def with_octave_clefs(
    image: NDArray[np.uint8], systems: Sequence[System], symbols: Sequence[Symbol]
) -> tuple[Symbol, ...]:
    """The symbols, treble clefs that have an 8 below them under their right name.

    Args:
        image: the prepared page, uint8 [height, width], 255 is paper.
        systems: of the page.
        symbols: on it.
    """
    named = list(symbols)
    for clefs in _printed_alike(systems, symbols):
        if median(_likeness(image, staff, symbols[index]) for index, staff in clefs) >= _LEAST_LIKENESS:
            for index, _ in clefs:
                named[index] = replace(symbols[index], kind=SymbolClass.G_CLEF_8VB)
    return tuple(named)


def _printed_alike(systems: Sequence[System], symbols: Sequence[Symbol]) -> Iterator[list[tuple[int, Staff]]]:
    """Treble clefs, by their index, with their staves: those that begin one staff down the page together."""
    clefs = [
        index
        for index, symbol in enumerate(symbols)
        if symbol.kind in CLEFS and symbol.confidence >= _LEAST_CONFIDENCE
    ]
    begin: dict[tuple[int, int], list[tuple[int, Staff]]] = defaultdict(list)
    for system in systems:
        for number, staff in enumerate(system.staves):
            here = [i for i in clefs if abs(staff.y_at(symbols[i].x) - symbols[i].y) <= _NEAR_PX]
            here.sort(key=lambda index: symbols[index].x)
            for place, index in enumerate(here):
                if symbols[index].kind is not SymbolClass.G_CLEF:
                    continue
                if place == 0:
                    begin[len(system.staves), number].append((index, staff))
                else:
                    yield [(index, staff)]
    yield from begin.values()


def _likeness(image: NDArray[np.uint8], staff: Staff, clef: Symbol) -> float:
    """How much like the figure what lies below a clef is at its likest, -1 to 1."""
    middle, x = round(staff.y_at(clef.x)), round(clef.x)
    below = image[middle + _TOP_PX : middle + _BOTTOM_PX, max(x - _ASIDE_PX, 0) : x + _ASIDE_PX + 1]
    if not below.size:
        return -1.0
    enlarged = _resized(below.astype(np.float32), _TIMES)
    return max(likeness(enlarged, figure) for figure in _figures())


@cache
def _figures() -> tuple[NDArray[np.float32], ...]:
    return tuple(_resized(picture("eight"), _TIMES * size) for size in _SIZES)


def _resized(image: NDArray[np.float32], times: float) -> NDArray[np.float32]:
    return cv2.resize(image, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC).astype(np.float32)
