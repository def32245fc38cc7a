"""Where clefs change in the score: what a staff shows, line by line, becomes changes in its measures."""

from __future__ import annotations

from fractions import Fraction

from services.music.score import Clef, ClefChange
from services.omr.assembly.clefs import usual_clef
from services.omr.assembly.parts import Parts
from services.omr.assembly.reading import ReadMeasure, ReadSystem
from services.omr.events import MeasureReading


class ClefCourse:
    """The clefs of every staff of the score in the course of its measures."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._held: dict[int, Clef] = {}

    def changes(
        self, system: ReadSystem, measure: ReadMeasure, reading: MeasureReading, part: int
    ) -> tuple[ClefChange, ...]:
        """Clefs that begin or change in a measure of a part."""
        first, last = self._parts.groups[part]
        changes: list[ClefChange] = []
        for staff in range(first, last + 1):
            if staff in system.staves:
                clefs = self._course(system, measure, reading, system.staves.index(staff))
            else:
                clefs = [(Fraction(0), self._held.get(staff) or usual_clef(staff - first, last - first + 1))]
            for onset, clef in clefs:
                if self._held.get(staff) != clef:
                    start = onset if staff in self._held else Fraction(0)
                    changes.append(ClefChange(staff - first + 1, start, clef))
                    self._held[staff] = clef
        return tuple(changes)

    def _course(
        self, system: ReadSystem, measure: ReadMeasure, reading: MeasureReading, staff: int
    ) -> list[tuple[Fraction, Clef]]:
        """The clef that holds at each onset on a staff."""
        places: dict[Fraction, float] = {}
        for printed, event in zip(measure.printed, reading.events, strict=True):
            if event is not None and printed.staff == staff and not event.whole_measure:
                places[event.onset] = min(printed.x, places.get(event.onset, printed.x))
        clefs = system.clefs[staff]
        if not places:
            return [(Fraction(0), clefs.at(measure.span.left))]
        return [(onset, clefs.at(places[onset])) for onset in sorted(places)]
