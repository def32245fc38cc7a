"""Systems: which staves are played together, and which of them one part plays.

Staves of a system are joined by a line at their left end; those of one part also by their barlines, and
by a brace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.omr.contract import STAFF_SPACE_PX
from services.omr.page import PreparedPage, Staff, Symbol, System
from services.omr.staves import find_staves
from services.omr.vocabulary import SymbolClass

#: Ink is darker than this (255 is paper).
_INK: Final = 160
#: Half the height of a staff, in px.
_HALF_STAFF_PX: Final = 2 * STAFF_SPACE_PX
#: A line joins two staves if this share of the way between them is ink.
_JOINED: Final = 0.8
#: The line at the left end is sought so far to either side of it, in px.
_LEFT_PX: Final = 14
#: Staves joined by at least so many barlines belong to one part.
_LEAST_BARLINES: Final = 2
#: How far a line that joins staves may lean, x over y.
_LEAN: Final = np.arange(-4, 5) * 0.008


@dataclass(frozen=True, slots=True)
class _Gap:
    """What lies between a staff and the next.

    Attributes:
        left_line: best share of ink along a line from one to the other at their left ends.
        barlines: how many lines join them elsewhere.
        braced: whether the model sees a brace across.
    """

    left_line: float
    barlines: int
    braced: bool

    @property
    def joined(self) -> bool:
        return self.left_line >= _JOINED or self.barlines >= _LEAST_BARLINES or self.braced


def find_systems(
    page: PreparedPage, middle_lines: NDArray[np.uint8] | None, symbols: Sequence[Symbol]
) -> tuple[System, ...]:
    """Find the systems of a page.

    Args:
        page: the prepared page.
        middle_lines: uint8 [ceil(h / 4), ceil(w / 4)]: the model's map of middle lines, 0 to 255; None
            where the model has not looked.
        symbols: what the model found; none of them need be given.

    Returns:
        Systems from the top; none where the page has no staves.
    """
    staves = find_staves(page.image, middle_lines)
    ink = np.asarray(cv2.dilate((page.image < _INK).astype(np.uint8), np.ones((3, 3), np.uint8)))
    gaps = [_gap(ink, upper, lower, symbols) for upper, lower in zip(staves, staves[1:], strict=False)]
    systems: list[System] = []
    first = 0
    for index in range(len(staves)):
        if index == len(staves) - 1 or not gaps[index].joined:
            inside = gaps[first:index]
            systems.append(System(staves[first : index + 1], _parts(inside)))
            first = index + 1
    return tuple(systems)


def _gap(ink: NDArray[np.uint8], upper: Staff, lower: Staff, symbols: Sequence[Symbol]) -> _Gap:
    left, right = max(upper.x[0], lower.x[0]), min(upper.x[-1], lower.x[-1])
    if right - left < STAFF_SPACE_PX:
        return _Gap(0.0, 0, False)
    start, end = max(0, int(left) - _LEFT_PX), min(ink.shape[1], int(right) + _LEFT_PX)
    top = round(upper.y_at(left) + _HALF_STAFF_PX) + 2
    bottom = round(lower.y_at(left) - _HALF_STAFF_PX) - 1
    if bottom - top < 2 or end - start < 2:
        return _Gap(0.0, 0, False)
    filled = _filled(ink[top:bottom, start:end])
    at_left = filled[: 2 * _LEFT_PX]
    runs = np.flatnonzero(np.diff(np.concatenate([[0], filled[2 * _LEFT_PX :] >= _JOINED, [0]])) == 1)
    braced = any(
        each.kind is SymbolClass.BRACE and top < each.y < bottom and abs(each.x - left) < 4 * STAFF_SPACE_PX
        for each in symbols
    )
    return _Gap(float(at_left.max()), int(runs.size), braced)


def _filled(between: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Best share of ink along nearly upright lines through each column of what lies between two staves."""
    height, width = between.shape
    rows = np.arange(height)
    best = np.zeros(width)
    for lean in _LEAN if height > STAFF_SPACE_PX else (0.0,):
        columns = np.arange(width) + np.round(lean * (rows - height / 2)).astype(int)[:, None]
        best = np.maximum(best, between[rows[:, None], np.clip(columns, 0, width - 1)].mean(0))
    return best


def _parts(gaps: Sequence[_Gap]) -> tuple[tuple[int, int], ...]:
    """Group the staves of a system, given the gaps between them, into parts."""
    braced = [each.braced for each in gaps]
    if not any(braced):
        barred = [each.barlines >= _LEAST_BARLINES for each in gaps]
        # Where barlines run through more than two staves they tell groups of instruments, not parts.
        braced = [
            here and not (index and barred[index - 1]) and not any(barred[index + 1 : index + 2])
            for index, here in enumerate(barred)
        ]
        if len(gaps) == 1:
            braced = [True]
    groups: list[tuple[int, int]] = []
    first = 0
    for index in range(len(gaps) + 1):
        if index == len(gaps) or not braced[index]:
            groups.append((first, index))
            first = index + 1
    return tuple(groups)
