"""Pages of printed music made of symbols alone, as a perfect model would see them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.omr.assembly import RecognisedPage
from services.omr.page import PreparedPage, Staff, Symbol, System
from services.omr.vocabulary import RESTS, SymbolClass

SPACE_PX = 10.0
STAFF_LEFT_PX, STAFF_RIGHT_PX = 50.0, 950.0
CERTAIN = np.log(0.98)
VALUES = ("whole", "half", "quarter", "eighth", "16th", "32nd", "64th")
#: How far a clef's centre lies above the line that it names, in half spaces.
CLEF_CENTRES = {SymbolClass.G_CLEF: 1.76, SymbolClass.F_CLEF: -1.5, SymbolClass.C_CLEF: 0.0}
CLEF_LINES = {SymbolClass.G_CLEF: -2, SymbolClass.F_CLEF: 2, SymbolClass.C_CLEF: 0}
SHARPS, FLATS = (4, 1, 5, 2, -1, 3, 0), (0, 3, -1, 2, -2, 1, -3)
KEY_SHIFTS = {SymbolClass.G_CLEF: 0, SymbolClass.F_CLEF: -2, SymbolClass.C_CLEF: -1}


def sure(index: int, count: int) -> tuple[float, ...]:
    """Log-probabilities of a reader with next to no doubt."""
    return tuple(float(CERTAIN if i == index else np.log(0.02 / (count - 1))) for i in range(count))


class Paper:
    """A page of systems with equal numbers of staves, to write symbols on.

    Systems lie one below the other; `staff` counts over the whole page.
    """

    def __init__(self, systems: int = 1, staves: int = 2, groups: tuple[tuple[int, int], ...] | None = None):
        self.middles = [
            100.0 + system * (staves * 100.0 + 60.0) + staff * 100.0
            for system in range(systems)
            for staff in range(staves)
        ]
        self.staves = staves
        self.groups = groups or ((0, staves - 1),)
        self.symbols: list[Symbol] = []

    def add(self, kind: SymbolClass, x: float, staff: int, at: float, **fields: object) -> Symbol:
        """Write a symbol with its centre at a height, in half spaces."""
        symbol = Symbol(
            kind=kind,
            confidence=0.95,
            x=x,
            y=self.middles[staff] - at * SPACE_PX / 2,
            width=12.0,
            height=10.0,
            position=round(at),
            position_confidence=0.98,
            durations=sure(2, 7),
            dots=sure(0, 3),
            stem=sure(0, 3),
            tuplet=sure(0, 3),
            grace=0.01,
            tied_back=0.02,
            tied_on=0.02,
        )
        symbol = replace(symbol, **fields)  # type: ignore[arg-type]
        self.symbols.append(symbol)
        return symbol

    def clef(self, kind: SymbolClass, x: float, staff: int, line: int | None = None) -> None:
        """Write a clef on its usual line, or on the line at a staff position."""
        named = CLEF_LINES[kind] if line is None else line
        self.add(kind, x, staff, named + CLEF_CENTRES[kind], position=named, width=26.0, height=60.0)

    def key(
        self, fifths: int, x: float, staff: int, clef: SymbolClass, missed: frozenset[int] = frozenset()
    ) -> None:
        """Write a key signature, without the signs whose places are in `missed`."""
        kind, pattern = (SymbolClass.SHARP, SHARPS) if fifths > 0 else (SymbolClass.FLAT, FLATS)
        for place in range(abs(fifths)):
            if place not in missed:
                self.sign(kind, x + 10 * place, staff, pattern[place] + KEY_SHIFTS[clef])

    def sign(self, kind: SymbolClass, x: float, staff: int, position: int) -> None:
        """Write an accidental; a flat's centre lies above its line."""
        above = 1.06 if kind in (SymbolClass.FLAT, SymbolClass.DOUBLE_FLAT) else 0.0
        self.add(kind, x, staff, position + above, position=position, width=8.0, height=26.0)

    def note(self, x: float, staff: int, at: float, value: str = "quarter", **fields: object) -> None:
        """Write a head of a value with its stem's direction, up below the middle line."""
        index = VALUES.index(value)
        kind = (
            (SymbolClass.NOTEHEAD_WHOLE, SymbolClass.NOTEHEAD_HALF)[index]
            if index < 2
            else SymbolClass.NOTEHEAD_BLACK
        )
        stem = 0 if index == 0 else 1 if at < 0 else 2
        values: dict[str, object] = {"durations": sure(index, 7), "stem": sure(stem, 3)}
        self.add(kind, x, staff, at, **(values | fields))

    def rest(self, x: float, staff: int, value: str = "quarter") -> None:
        """Write a rest."""
        kinds = [kind for kind in SymbolClass if kind in RESTS]
        index = VALUES.index(value)
        above = {0: 1.5, 1: 0.5}.get(index, 0.0)
        self.add(kinds[index], x, staff, above, position=2 if index == 0 else 0, durations=sure(index, 7))

    def barline(
        self, x: float, *staves: int, kind: SymbolClass = SymbolClass.BARLINE_SINGLE, confidence: float = 0.95
    ) -> None:
        """Draw a barline on some staves."""
        for staff in staves:
            self.add(kind, x, staff, 0, width=2.0, height=40.0, confidence=confidence)

    def metre(self, beats: int, beat_type: int, x: float, *staves: int) -> None:
        """Write a time signature of single figures on some staves."""
        for staff in staves:
            self.add(SymbolClass(f"timeSig{beats}"), x, staff, 2)
            self.add(SymbolClass(f"timeSig{beat_type}"), x, staff, -2)

    def page(self) -> RecognisedPage:
        """The page, uploaded at twice the size of the prepared page."""
        staves = [Staff(np.array([STAFF_LEFT_PX, STAFF_RIGHT_PX]), np.array([y, y])) for y in self.middles]
        systems = tuple(
            System(tuple(staves[first : first + self.staves]), self.groups)
            for first in range(0, len(staves), self.staves)
        )
        width, height = 1000, int(self.middles[-1]) + 100 if self.middles else 400
        columns, rows = np.meshgrid(np.arange(0, width + 21, 20.0), np.arange(0, height + 21, 20.0))
        prepared = PreparedPage(
            np.full((height, width), 255, np.uint8), (2 * width, 2 * height), 20.0, 2 * columns, 2 * rows
        )
        return RecognisedPage(prepared, systems, tuple(self.symbols))
