"""Clefs: which one holds where on a staff, and what its middle line is called."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.music.score import BASS, TREBLE, Clef, ClefSign, SpelledPitch
from services.omr.assembly.placing import StaffSymbol
from services.omr.vocabulary import BARLINES, CLEFS, SymbolClass

#: Diatonic number (octave * 7 + step, C is 0) of the note that a sign names.
_NAMED: Final = {ClefSign.G: 4 * 7 + 4, ClefSign.F: 3 * 7 + 3, ClefSign.C: 4 * 7}
_MIDDLE_LINE: Final = 3
_STEPS: Final = "CDEFGAB"
_SIGNS: Final = {
    SymbolClass.G_CLEF: (ClefSign.G, 2, 0),
    SymbolClass.G_CLEF_8VA: (ClefSign.G, 2, 1),
    SymbolClass.G_CLEF_8VB: (ClefSign.G, 2, -1),
    SymbolClass.F_CLEF: (ClefSign.F, 4, 0),
    SymbolClass.F_CLEF_8VB: (ClefSign.F, 4, -1),
}
_BELIEVED: Final = 0.4
#: A clef seen less surely is believed down to this if it is as large as clefs are, those within a line
#: included, which are smaller: least width and height, in px. What is taken for one mistakenly is smaller.
_BELIEVED_IN_FULL_SIZE: Final = 0.25
_FULL_SIZE_PX: Final = {SymbolClass.G_CLEF: (16.0, 38.0), SymbolClass.F_CLEF: (15.0, 18.0)}
_BARLINE_ROOM_PX: Final = 6.0
_HIGHEST_LINE: Final = 5.5
_LINE_REACH_PX: Final = 6.0
_LINE_PX: Final = 40.0
_BELIEVED_WITH_LINE: Final = 0.3
_CLEAR_OF_STAFF: Final = 7.0

#: Diatonic numbers of the lowest and the highest note that is written: D in octave 0, E in octave 9.
_LOWEST: Final = 1
_HIGHEST: Final = 9 * 7 + 2


@dataclass(frozen=True, slots=True)
class StaffClefs:
    """The clefs of one staff of a system.

    Attributes:
        first: the one that holds from its left end, where none was printed before.
        changes: place (px) and clef of every one printed, from left to right.
        symbols: the symbols they were read from, likewise.
    """

    first: Clef
    changes: tuple[tuple[float, Clef], ...]
    symbols: tuple[StaffSymbol, ...]

    def at(self, x: float) -> Clef:
        """The clef that holds for a note at x, in px."""
        held = self.first
        for place, clef in self.changes:
            if place > x:
                break
            held = clef
        return held

    @property
    def last(self) -> Clef:
        """The clef that holds at the right end: the next system's, if none is printed there."""
        return self.changes[-1][1] if self.changes else self.first


def read_clefs(symbols: Sequence[StaffSymbol], carried: Clef | None, usual: Clef) -> StaffClefs:
    """The clefs of one staff.

    Args:
        symbols: of the staff, from left to right.
        carried: the clef that held at the end of the same staff in the system before.
        usual: the clef to take where neither is known.
    """
    lines = [s.x for s in symbols if s.kind in BARLINES]
    printed = [
        s
        for s in symbols
        if s.kind in CLEFS
        and _is_believed(s)
        and abs(s.height) <= _HIGHEST_LINE
        and not any(abs(s.x - x) < _BARLINE_ROOM_PX for x in lines)
    ]
    changes = tuple((each.x, clef_of(each)) for each in printed)
    return StaffClefs(carried or usual, changes, tuple(printed))


def _is_believed(clef: StaffSymbol) -> bool:
    width, height = _FULL_SIZE_PX.get(clef.kind, (math.inf, math.inf))
    full = clef.symbol.width >= width and clef.symbol.height >= height
    return clef.symbol.confidence >= (_BELIEVED_IN_FULL_SIZE if full else _BELIEVED)


def usual_clef(staff: int, staves: int) -> Clef:
    """The clef that a part's staff most often has: bass for the lower of two."""
    return BASS if staves > 1 and staff == staves - 1 else TREBLE


def clef_of(symbol: StaffSymbol) -> Clef:
    """The clef that a symbol is; a C clef stands on the line that it names."""
    if symbol.kind is SymbolClass.C_CLEF:
        line = _MIDDLE_LINE + round(symbol.position / 2)
        return Clef(ClefSign.C, min(max(line, 1), 5))
    return Clef(*_SIGNS[symbol.kind])


def middle_line(clef: Clef) -> int:
    """Diatonic number (octave * 7 + step, C is 0) of the note on the middle line."""
    return _NAMED[clef.sign] + 2 * (_MIDDLE_LINE - clef.line) + 7 * clef.octaves


def octaves_at(x: float, lines: Sequence[StaffSymbol]) -> int:
    """Diatonic steps by which a staff's octave lines move a note at x (px): up from above, else down."""
    return sum(
        (7 if line.height > 0 else -7)
        for line in lines
        if _is_octave_line(line) and line.left - _LINE_REACH_PX <= x <= line.right
    )


def _is_octave_line(line: StaffSymbol) -> bool:
    """Whether an 8va is believed: clear of the staff, and sure of itself or followed by a line."""
    sure = line.symbol.confidence >= (_BELIEVED_WITH_LINE if line.symbol.width >= _LINE_PX else _BELIEVED)
    return sure and abs(line.height) >= _CLEAR_OF_STAFF


def sounds(clef: Clef, position: int) -> bool:
    """Whether a note at a staff position is one that instruments play, with any alteration."""
    return _LOWEST <= middle_line(clef) + position <= _HIGHEST


def named(diatonic: int, alter: int) -> SpelledPitch:
    """The pitch of a diatonic number."""
    return SpelledPitch(_STEPS[diatonic % 7], alter, diatonic // 7)
