"""A system read from left to right: its measures, what holds in each, and the chords and rests in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.music.score import Clef, Metre
from services.omr.assembly.accidentals import attach_signs
from services.omr.assembly.barlines import MeasureSpan, find_measures
from services.omr.assembly.chords import PrintedChord, find_chords, join_beams
from services.omr.assembly.clefs import StaffClefs, read_clefs, usual_clef
from services.omr.assembly.keys import KeyReading, KeyZone, read_key
from services.omr.assembly.metres import read_metre
from services.omr.assembly.placing import StaffSymbol
from services.omr.assembly.printed import print_events
from services.omr.assembly.recognition import Decision
from services.omr.events import PrintedEvent
from services.omr.page import System
from services.omr.vocabulary import ACCIDENTALS, HEADS, RESTS

_GRACE: Final = 0.5
_REST_HIGHEST: Final = 12.0
_STEM_MARGIN_PX: Final = 12.0
_ZONE_HEADS_PX: Final = 45.0


@dataclass(slots=True)
class Carried:
    """What holds from one system to the next.

    Attributes:
        key: fifths, None before the first system.
        metre: None where none was printed yet.
        clefs: by staff of the score.
    """

    key: int | None = None
    metre: Metre | None = None
    clefs: dict[int, Clef] = field(default_factory=dict)


Printed = PrintedChord | StaffSymbol
"""A chord, or the symbol of a rest."""


@dataclass(frozen=True, slots=True)
class ReadMeasure:
    """One measure of a system, without pitches and times.

    Attributes:
        span: where it lies.
        key: the key that holds, in fifths.
        metre: the metre that holds, None if none was printed yet.
        prints_metre: whether it is printed at this measure.
        chords: without grace notes.
        rests: likewise.
        graces: chords of grace notes.
        events: the chords, then the rests, as printed events.
        signs: the accidental before a head, by the head's symbol index.
    """

    span: MeasureSpan
    key: int
    metre: Metre | None
    prints_metre: bool
    chords: tuple[PrintedChord, ...]
    rests: tuple[StaffSymbol, ...]
    graces: tuple[PrintedChord, ...]
    events: tuple[PrintedEvent, ...]
    signs: Mapping[int, StaffSymbol]

    @property
    def printed(self) -> tuple[Printed, ...]:
        """What each of `events` was made of."""
        return (*self.chords, *self.rests)


@dataclass(frozen=True, slots=True)
class ReadSystem:
    """One system.

    Attributes:
        page, number: index of the page, and of the system on it.
        system: its staves.
        staves: the score's staff that each of its staves is.
        symbols: on their staves, from left to right.
        clefs: of each staff.
        measures: from left to right.
        key_signs, metre_signs: symbols that print keys and metres.
    """

    page: int
    number: int
    system: System
    staves: tuple[int, ...]
    symbols: tuple[StaffSymbol, ...]
    clefs: tuple[StaffClefs, ...]
    measures: tuple[ReadMeasure, ...]
    key_signs: tuple[StaffSymbol, ...]
    metre_signs: tuple[StaffSymbol, ...]


class SystemReader:
    """Reads systems in order; what holds at the end of one is carried to the next."""

    def __init__(self) -> None:
        self._carried = Carried()
        self.decisions: list[Decision] = []

    def read(
        self, page: int, number: int, system: System, staves: tuple[int, ...], symbols: Sequence[StaffSymbol]
    ) -> ReadSystem:
        """Read one system.

        Args:
            page, number: where it is.
            system: its staves.
            staves: the score's staff that each of its staves is.
            symbols: on its staves, from left to right.
        """
        by_staff = [[s for s in symbols if s.staff == staff] for staff in range(len(staves))]
        clefs = tuple(self._clefs(system, staves, by_staff))
        walk = _Walk(page, number, clefs, by_staff, self._carried, self.decisions)
        measures = tuple(
            walk.measure(span, first=i == 0) for i, span in enumerate(find_measures(system, symbols))
        )
        walk.finish()
        for staff, each in zip(staves, clefs, strict=True):
            self._carried.clefs[staff] = each.last
        return ReadSystem(
            page, number, system, staves, tuple(symbols), clefs, measures,
            tuple(walk.key_signs), tuple(walk.metre_signs),
        )  # fmt: skip

    def _clefs(
        self, system: System, staves: Sequence[int], by_staff: Sequence[Sequence[StaffSymbol]]
    ) -> list[StaffClefs]:
        clefs = []
        for first, last in system.groups:
            for staff in range(first, last + 1):
                usual = usual_clef(staff - first, last - first + 1)
                clefs.append(read_clefs(by_staff[staff], self._carried.clefs.get(staves[staff]), usual))
        return clefs


class _Walk:
    """Reads the measures of one system in order."""

    def __init__(
        self,
        page: int,
        number: int,
        clefs: Sequence[StaffClefs],
        by_staff: Sequence[Sequence[StaffSymbol]],
        carried: Carried,
        decisions: list[Decision],
    ) -> None:
        self._page = page
        self._number = number
        self._clefs = clefs
        self._by_staff = by_staff
        self._carried = carried
        self._decisions = decisions
        self._end = 0.0
        self.key_signs: list[StaffSymbol] = []
        self.metre_signs: list[StaffSymbol] = []

    def measure(self, span: MeasureSpan, *, first: bool) -> ReadMeasure:
        """Read one measure; `first` opens the system."""
        inside = [[s for s in symbols if span.holds(s.x)] for symbols in self._by_staff]
        starts = [s.x for symbols in inside for s in symbols if s.kind in HEADS or s.kind in RESTS]
        begin = min(starts, default=span.right)
        self._read_key(inside, begin, opens_line=first)
        printed = self._read_metre(inside, begin)
        self._end = span.right
        return self._contents(span, inside, prints_metre=printed)

    def finish(self) -> None:
        """Read what stands after the last measure: a warning of the next system's key and metre."""
        rest = [[s for s in symbols if s.x >= self._end] for symbols in self._by_staff]
        if any(rest):
            self._read_key(rest, float("inf"), opens_line=False)
            self._read_metre(rest, float("inf"))

    def _read_key(self, inside: Sequence[Sequence[StaffSymbol]], begin: float, *, opens_line: bool) -> None:
        zones = []
        for clefs, symbols in zip(self._clefs, inside, strict=True):
            signs = tuple(s for s in symbols if s.kind in ACCIDENTALS and s.x < begin)
            heads = tuple(s for s in symbols if s.kind in HEADS and s.x <= begin + _ZONE_HEADS_PX)
            zones.append(KeyZone(clefs.at(signs[0].x if signs else begin), signs, heads))
        if not opens_line and not any(zone.signs for zone in zones):
            return
        reading = read_key(zones, self._carried.key, opens_line=opens_line)
        self.key_signs += reading.members
        if opens_line or reading.fifths != self._carried.key:
            self._note_key(reading)
        self._carried.key = reading.fifths

    def _note_key(self, reading: KeyReading) -> None:
        evidence: dict[str, float | int | str] = {
            "signs": len(reading.members),
            "margin_nats": round(reading.margin, 2),
        }
        self._decisions.append(Decision("key", self._page, self._number, str(reading.fifths), evidence))

    def _read_metre(self, inside: Sequence[Sequence[StaffSymbol]], begin: float) -> bool:
        read = read_metre([[s for s in symbols if s.x < begin] for symbols in inside])
        if read is None:
            return False
        self._carried.metre, signs = read
        self.metre_signs += signs
        evidence: dict[str, float | int | str] = {"share_of_staves": self._carried.metre.confidence}
        value = f"{self._carried.metre.beats}/{self._carried.metre.beat_type}"
        self._decisions.append(Decision("metre", self._page, self._number, value, evidence))
        return True

    def _contents(
        self, span: MeasureSpan, inside: Sequence[Sequence[StaffSymbol]], *, prints_metre: bool
    ) -> ReadMeasure:
        symbols = [s for staff in inside for s in staff]
        near = [
            s
            for staff in self._by_staff
            for s in staff
            if span.left - _STEM_MARGIN_PX <= s.x <= span.right + _STEM_MARGIN_PX
        ]
        heads = [s for s in symbols if s.kind in HEADS]
        chords = find_chords(near, [s for s in heads if s.symbol.grace < _GRACE])
        graces = find_chords(near, [s for s in heads if s.symbol.grace >= _GRACE])
        rests = tuple(s for s in symbols if s.kind in RESTS and abs(s.height) <= _REST_HIGHEST)
        beams = join_beams(chords, near)
        return ReadMeasure(
            span=span,
            key=self._carried.key or 0,
            metre=self._carried.metre,
            prints_metre=prints_metre,
            chords=tuple(chords),
            rests=rests,
            graces=tuple(graces),
            events=print_events(chords, beams, rests, symbols),
            signs=self._signs(symbols),
        )

    def _signs(self, symbols: Sequence[StaffSymbol]) -> dict[int, StaffSymbol]:
        """The accidental before each head; none is of the key."""
        in_key = {s.index for s in self.key_signs}
        attached: dict[int, StaffSymbol] = {}
        for staff in range(len(self._clefs)):
            mine = [s for s in symbols if s.staff == staff]
            signs = [s for s in mine if s.kind in ACCIDENTALS and s.index not in in_key]
            attached |= attach_signs(signs, [s for s in mine if s.kind in HEADS])
        return attached
