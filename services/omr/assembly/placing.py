"""Which staff each symbol stands on, and at which staff position.

The model reads a symbol's staff position from the picture itself; geometry gives one for every staff. A
symbol belongs to the staff where the two agree best, which settles what lies between two staves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.omr.assembly.recognition import RecognisedPage
from services.omr.contract import HIGHEST_POSITION, STAFF_SPACE_PX
from services.omr.page import FloatArray, Symbol, System
from services.omr.vocabulary import (
    ACCIDENTALS,
    BARLINES,
    CLEFS,
    HEADS,
    RESTS,
    TIME_FIGURES,
    TUPLET_FIGURES,
    SymbolClass,
)

#: The model's reading of the position is used for these; the others stand where geometry says.
_READ: Final = HEADS | RESTS | ACCIDENTALS | CLEFS

#: How far a symbol's centre lies above the line or space that it names, in half spaces (outlines of Bravura).
_CENTRE_ABOVE: Final = {
    SymbolClass.FLAT: 1.06,
    SymbolClass.DOUBLE_FLAT: 1.06,
    SymbolClass.G_CLEF: 1.76,
    SymbolClass.G_CLEF_8VA: 2.64,
    SymbolClass.G_CLEF_8VB: 0.88,
    SymbolClass.F_CLEF: -1.5,
    SymbolClass.F_CLEF_8VB: -2.5,
    SymbolClass.REST_WHOLE: -0.5,
    SymbolClass.REST_HALF: 0.5,
    SymbolClass.REST_16TH: -1.3,
    SymbolClass.REST_64TH: -1.3,
}

#: Symbols of which a part may look like a head or a rest.
_COVERS: Final = CLEFS | ACCIDENTALS | TIME_FIGURES | TUPLET_FIGURES | {SymbolClass.BEAM, SymbolClass.OTTAVA}
_LEVEL_BEAM_PX: Final = 12.0
_LEAST_CONFIDENCE: Final = 0.25

#: Half spaces by which reading and geometry may differ before the reading is not believed.
_AGREEMENT: Final = 1.7
_FURTHEST: Final = HIGHEST_POSITION + 2.0
_BEYOND_ENDS_PX: Final = 1.5 * STAFF_SPACE_PX

#: What a half space away from the staff's own lines costs, in half spaces of disagreement.
_OUTSIDE_COST: Final = 0.12


@dataclass(frozen=True, slots=True)
class StaffSymbol:
    """A symbol on its staff.

    Attributes:
        index: of the symbol in the page's symbols.
        symbol: what was seen.
        staff: index of the staff in the system.
        height: staff position that geometry gives it, in half spaces.
        position: staff position taken, in half spaces.
    """

    index: int
    symbol: Symbol
    staff: int
    height: float
    position: int

    @property
    def kind(self) -> SymbolClass:
        """Its class."""
        return self.symbol.kind

    @property
    def x(self) -> float:
        """Its centre, in px."""
        return self.symbol.x

    @property
    def left(self) -> float:
        """Left edge, in px."""
        return self.symbol.x - self.symbol.width / 2

    @property
    def right(self) -> float:
        """Right edge, in px."""
        return self.symbol.x + self.symbol.width / 2

    @property
    def top(self) -> float:
        """Upper edge, in px."""
        return self.symbol.y - self.symbol.height / 2

    @property
    def bottom(self) -> float:
        """Lower edge, in px."""
        return self.symbol.y + self.symbol.height / 2


def place_symbols(page: RecognisedPage) -> list[list[StaffSymbol]]:
    """For each system of a page its symbols on their staves, from left to right.

    A barline stands on every staff that its box crosses; any other symbol on one staff, or on none if it
    is far from all. Heads and rests that are hardly seen, or part of something seen better, are left out.
    """
    placed: list[list[StaffSymbol]] = [[] for _ in page.systems]
    homes = [(s, i) for s, system in enumerate(page.systems) for i in range(len(system.staves))]
    if not homes or not page.symbols:
        return placed
    heights = np.concatenate([_heights(system, page.symbols) for system in page.systems])
    hidden = _hidden(page.symbols)
    for index, symbol in enumerate(page.symbols):
        if index in hidden:
            continue
        for home in _homes_of(symbol, heights[:, index]):
            system, staff = homes[home]
            height = float(heights[home, index])
            position = _position(symbol, height)
            placed[system].append(StaffSymbol(index, symbol, staff, height, position))
    for symbols in placed:
        symbols.sort(key=lambda each: each.x)
    return placed


def _hidden(symbols: Sequence[Symbol]) -> frozenset[int]:
    """Heads, rests and signs that are too unsure, and heads and rests inside of a surer other symbol."""
    covers = [each for each in symbols if each.kind in _COVERS and each.height <= _covering_height(each)]
    boxes = np.array([(each.x, each.y, each.width / 2, each.height / 2, each.confidence) for each in covers])
    x, y, half_width, half_height, confidence = boxes.reshape(-1, 5).T
    hidden = set()
    for index, symbol in enumerate(symbols):
        is_event = symbol.kind in HEADS or symbol.kind in RESTS
        if (is_event or symbol.kind in ACCIDENTALS) and symbol.confidence < _LEAST_CONFIDENCE:
            hidden.add(index)
        elif is_event:
            inside = (np.abs(symbol.x - x) <= half_width) & (np.abs(symbol.y - y) <= half_height)
            if np.any(inside & (confidence > symbol.confidence)):
                hidden.add(index)
    return frozenset(hidden)


def _covering_height(symbol: Symbol) -> float:
    """A steep beam's box holds more than the beam: it hides nothing."""
    return _LEVEL_BEAM_PX if symbol.kind is SymbolClass.BEAM else np.inf


def _heights(system: System, symbols: Sequence[Symbol]) -> FloatArray:
    """Staff position of every symbol on every staff of a system, shape (staves, symbols).

    NaN beyond the system's ends: a staff that was found in part goes as far as the others.
    """
    x = np.array([symbol.x for symbol in symbols])
    y = np.array([symbol.y for symbol in symbols])
    above = np.array([_CENTRE_ABOVE.get(symbol.kind, 0.0) for symbol in symbols])
    left = min(float(staff.x[0]) for staff in system.staves) - _BEYOND_ENDS_PX
    right = max(float(staff.x[-1]) for staff in system.staves) + _BEYOND_ENDS_PX
    heights = np.full((len(system.staves), len(symbols)), np.nan)
    within = (x >= left) & (x <= right)
    for row, staff in enumerate(system.staves):
        centre = (np.interp(x[within], staff.x, staff.y) - y[within]) / (STAFF_SPACE_PX / 2)
        heights[row, within] = centre - above[within]
    return heights


def _homes_of(symbol: Symbol, heights: FloatArray) -> list[int]:
    """Indices of the staves that a symbol belongs to, of its staff position on each."""
    if symbol.kind in BARLINES:
        reach = max(symbol.height / STAFF_SPACE_PX, 2.0)
        return [int(i) for i in np.flatnonzero(np.abs(heights) <= reach)]
    cost = _OUTSIDE_COST * np.maximum(np.abs(heights) - 4, 0)
    if symbol.kind in _READ:
        disagreement = np.abs(heights - symbol.position)
        cost += np.where(disagreement <= _AGREEMENT, disagreement, 3 * _AGREEMENT)
    cost[~(np.abs(heights) <= _FURTHEST)] = np.inf
    best = int(np.argmin(cost))
    return [best] if np.isfinite(cost[best]) else []


def _position(symbol: Symbol, height: float) -> int:
    if symbol.kind in _READ and abs(symbol.position - height) <= _AGREEMENT:
        return symbol.position
    return round(height)
