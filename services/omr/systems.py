"""Systems: which staves are played together, and which of them one part plays.

Staves of a system are joined by a line at their left end; those of one part also by their barlines, and
by a brace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.omr.contract import STAFF_SPACE_PX
from services.omr.page import PreparedPage, Staff, Symbol, System
from services.omr.staves import find_staves
from services.omr.vocabulary import BARLINES, SymbolClass

#: Ink is darker than this (255 is paper).
_INK: Final = 160
#: Half the height of a staff, in px.
_HALF_STAFF_PX: Final = 2 * STAFF_SPACE_PX
#: A line joins two staves if this share of the way between them is ink; at their left ends, where every
#: system has one, less will do in a broken scan.
_JOINED: Final = 0.8
_JOINED_LEFT: Final = 0.4
#: Where so little speaks against joining, it is done if it makes a system like others on the page.
_PERHAPS_JOINED: Final = -0.4
#: Where so little speaks for joining, it is not done if the page's other systems are like its two parts.
_HARDLY_JOINED: Final = 0.3
#: The same as `_PERHAPS_JOINED` where single staves and pairs take turns down the page, as songs do.
_LOST_IN_SONGS: Final = -1.0
#: Barlines that stand above one another differ by at most so many px.
_ABOVE_PX: Final = 5.0
#: The line at the left end is sought so far to either side of it, in px.
_LEFT_PX: Final = 14
#: Staves joined by at least so many barlines belong to one part.
_LEAST_BARLINES: Final = 2
#: How far a line that joins staves may lean, x over y.
_LEAN: Final = np.arange(-8, 9) * 0.008


@dataclass(frozen=True, slots=True)
class _Gap:
    """What lies between a staff and the next.

    Attributes:
        left_line: best share of ink along a line from one to the other at their left ends.
        left_x: where that line is, in px.
        barlines: how many lines join them elsewhere.
        braced: whether the model sees a brace across.
        alike: share of the barlines that the model sees on either that stand above one another; None where
            it sees too few.
    """

    left_line: float = 0.0
    left_x: float = 0.0
    barlines: int = 0
    braced: bool = False
    alike: float | None = None

    @property
    def joined(self) -> float:
        """How much speaks for one system: more than 0 where more does so than against."""
        by_line = np.clip((self.left_line - _JOINED_LEFT) * 2, -1, 1)
        by_barlines = 0.7 * min(self.barlines, _LEAST_BARLINES) / _LEAST_BARLINES
        return float(by_line + by_barlines + self.braced + (0 if self.alike is None else self.alike - 0.5))


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
    staves = find_staves(page.image, middle_lines, symbols)
    if not staves:
        return ()
    dark = (page.image < _INK).astype(np.uint8)
    ink = np.asarray(cv2.dilate(dark, np.ones((3, 3), np.uint8)), np.uint8)
    bars = [_barlines(staff, symbols) for staff in staves]
    gaps = []
    for index in range(len(staves) - 1):
        gap = _gap(ink, staves[index], staves[index + 1], symbols)
        gaps.append(replace(gap, alike=_alike(bars[index], bars[index + 1])))
    systems = []
    for first, last in _grouped([gap.joined for gap in gaps]):
        inside = gaps[first:last]
        systems.append(System(_with_common_ends(staves[first : last + 1], inside), _parts(inside)))
    return tuple(systems)


def _grouped(joined: Sequence[float]) -> list[tuple[int, int]]:
    """First and last staff of each system, given how much speaks for joining each staff to the next."""
    together = _parted([each > 0 for each in joined], joined)
    sizes = [last - first + 1 for first, last in _runs(together)]
    usual = max(sizes)
    least = _PERHAPS_JOINED
    if _are_songs(sizes):
        usual, least = 3, _LOST_IN_SONGS
    # The likeliest first, what may or may not be joined is, if the system is then like others on the page.
    for index in sorted(range(len(joined)), key=lambda index: -joined[index]):
        if least < joined[index] <= 0:
            tried = [*together[:index], True, *together[index + 1 :]]
            size = next(last - first + 1 for first, last in _runs(tried) if first <= index < last)
            if size <= usual:
                together = tried
    return _runs(together)


def _parted(together: list[bool], joined: Sequence[float]) -> list[bool]:
    """Take apart what is hardly joined, if both parts are then like most systems of the page."""
    sizes = [last - first + 1 for first, last in _runs(together)]
    usual = max(set(sizes), key=sizes.count)
    if 2 * sizes.count(usual) <= len(sizes):
        return together
    for first, last in _runs(together):
        middle = first + usual - 1
        if last - first + 1 == 2 * usual and joined[middle] < _HARDLY_JOINED:
            together = [*together[:middle], False, *together[middle + 1 :]]
    return together


def _are_songs(sizes: Sequence[int]) -> bool:
    """Whether staves by themselves and pairs take turns: a voice and a piano whose joining line is lost."""
    turns = [size for size in sizes if size != 3]
    return len(turns) >= 2 and len(turns) % 2 == 0 and turns == [1, 2] * (len(turns) // 2)


def _runs(together: Sequence[bool]) -> list[tuple[int, int]]:
    """First and last index of each run, given whether each is together with the next."""
    ends = [index for index, each in enumerate(together) if not each] + [len(together)]
    return list(zip([0, *(end + 1 for end in ends[:-1])], ends, strict=True))


def _with_common_ends(staves: Sequence[Staff], gaps: Sequence[_Gap]) -> tuple[Staff, ...]:
    """Staves of one system, begun where the line that joins them stands, and ended where most of them end."""
    if len(staves) == 1:
        return tuple(staves)
    lines = [gap.left_x for gap in gaps if gap.left_line >= _JOINED_LEFT]
    left = float(np.median(lines if lines else [staff.x[0] for staff in staves]))
    right = float(np.median([staff.x[-1] for staff in staves]))
    common = []
    for staff in staves:
        inside = (staff.x > left) & (staff.x < right)
        x = np.concatenate([[left], staff.x[inside], [right]])
        common.append(Staff(x, np.interp(x, staff.x, staff.y)))
    return tuple(common)


def _barlines(staff: Staff, symbols: Sequence[Symbol]) -> NDArray[np.float64]:
    """Where the model sees barlines on a staff but at its ends: [n], in px."""
    margin = 2 * STAFF_SPACE_PX
    return np.array(
        [
            each.x
            for each in symbols
            if each.kind in BARLINES
            and staff.x[0] + margin < each.x < staff.x[-1] - margin
            and abs(each.y - staff.y_at(each.x)) < _HALF_STAFF_PX
        ]
    )


def _alike(upper: NDArray[np.float64], lower: NDArray[np.float64]) -> float | None:
    """Share of two staves' barlines that stand above one another; None where there are too few to tell."""
    if min(upper.size, lower.size) < _LEAST_BARLINES:
        return None
    apart = np.abs(upper[:, None] - lower)
    met = (apart.min(0) <= _ABOVE_PX).sum() + (apart.min(1) <= _ABOVE_PX).sum()
    return float(met / (upper.size + lower.size))


def _gap(ink: NDArray[np.uint8], upper: Staff, lower: Staff, symbols: Sequence[Symbol]) -> _Gap:
    left, right = max(upper.x[0], lower.x[0]), min(upper.x[-1], lower.x[-1])
    if right - left < STAFF_SPACE_PX:
        return _Gap()
    start = max(0, int(min(upper.x[0], lower.x[0])) - _LEFT_PX)
    end = min(ink.shape[1], int(right) + _LEFT_PX)
    top = round(upper.y_at(left) + _HALF_STAFF_PX) + 2
    bottom = round(lower.y_at(left) - _HALF_STAFF_PX) - 1
    if bottom - top < 2 or end - start < 2:
        return _Gap()
    filled = _filled(ink[top:bottom, start:end])
    at_left, elsewhere = np.split(filled, [int(left) + _LEFT_PX - start])
    lines = np.flatnonzero(np.diff(np.concatenate([[0], elsewhere >= _JOINED, [0]])) == 1)
    braced = any(
        each.kind is SymbolClass.BRACE and top < each.y < bottom and abs(each.x - left) < 4 * STAFF_SPACE_PX
        for each in symbols
    )
    line = np.flatnonzero(at_left >= at_left.max() - 0.05)
    return _Gap(float(at_left.max()), start + float(line[-1]), int(lines.size), braced)


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
