"""Systems read from left to right: their measures, what holds in each, and the chords and rests in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.music.score import Clef, Metre
from services.omr.assembly.accidentals import attach_signs
from services.omr.assembly.barlines import MeasureSpan, find_measures
from services.omr.assembly.chords import PrintedChord, find_chords, join_beams
from services.omr.assembly.clefs import StaffClefs, read_clefs, sounds
from services.omr.assembly.keys import KeyPlace, KeyReading, KeyZone, read_keys
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

Printed = PrintedChord | StaffSymbol
"""A chord, or the symbol of a rest."""


@dataclass(frozen=True, slots=True)
class PlacedSystem:
    """A system before it is read.

    Attributes:
        page, number: index of the page, and of the system on it.
        system: its staves.
        staves: the score's staff that each of its staves is.
        usual: the clef of each staff where none is printed and none carried on.
        symbols: on their staves, from left to right.
    """

    page: int
    number: int
    system: System
    staves: tuple[int, ...]
    usual: tuple[Clef, ...]
    symbols: tuple[StaffSymbol, ...]


@dataclass(frozen=True, slots=True)
class ReadMeasure:
    """One measure of a system, without pitches and times.

    Attributes:
        span: where it lies.
        key: the key that holds, in fifths.
        metre: the metre that holds, None if none was printed yet.
        chords: without grace notes.
        rests: likewise.
        graces: chords of grace notes.
        events: the chords, then the rests, as printed events.
        signs: the accidental before a head, by the head's symbol index.
    """

    span: MeasureSpan
    key: int
    metre: Metre | None
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
        placed: where it is.
        clefs: of each staff.
        measures: from left to right.
        key_signs, metre_signs: symbols that print keys and metres.
    """

    placed: PlacedSystem
    clefs: tuple[StaffClefs, ...]
    measures: tuple[ReadMeasure, ...]
    key_signs: tuple[StaffSymbol, ...]
    metre_signs: tuple[StaffSymbol, ...]

    @property
    def page(self) -> int:
        """Index of its page."""
        return self.placed.page

    @property
    def staves(self) -> tuple[int, ...]:
        """The score's staff that each of its staves is."""
        return self.placed.staves


def read_systems(systems: Sequence[PlacedSystem]) -> tuple[list[ReadSystem], list[Decision]]:
    """Read all systems of a work, in order; what holds at the end of one is carried to the next."""
    lines: list[_Line] = []
    carried: dict[int, Clef] = {}
    for system in systems:
        lines.append(_Line(system, carried))
        carried |= zip(system.staves, (clefs.last for clefs in lines[-1].clefs), strict=True)
    keys = iter(read_keys([place for line in lines for place in line.key_places]))
    decisions: list[Decision] = []
    metre: Metre | None = None
    read = []
    for line in lines:
        read.append(line.read(keys, metre, decisions))
        metre = line.metre
    return read, decisions


class _Line:
    """One system while it is read."""

    def __init__(self, placed: PlacedSystem, carried: Mapping[int, Clef]) -> None:
        self.placed = placed
        self.metre: Metre | None = None
        self._by_staff = [[s for s in placed.symbols if s.staff == i] for i in range(len(placed.staves))]
        self.clefs = tuple(
            read_clefs(symbols, carried.get(staff), usual)
            for symbols, staff, usual in zip(self._by_staff, placed.staves, placed.usual, strict=True)
        )
        self._spans = find_measures(placed.system, placed.symbols)
        self._inside = [
            [[s for s in symbols if span.holds(s.x)] for symbols in self._by_staff] for span in self._spans
        ]
        end = self._spans[-1].right if self._spans else 0.0
        self._after = [[s for s in symbols if s.x >= end] for symbols in self._by_staff]
        self._begins = [
            _begin(inside, span.right) for inside, span in zip(self._inside, self._spans, strict=True)
        ]
        # One for each measure, None where none can be printed, and one for what stands after the last.
        self._places = [
            self._key_place(inside, begin, opens_line=i == 0)
            for i, (inside, begin) in enumerate(zip(self._inside, self._begins, strict=True))
        ]
        self._places.append(self._key_place(self._after, float("inf"), opens_line=False))

    @property
    def key_places(self) -> list[KeyPlace]:
        """Where keys may be printed, in order."""
        return [place for place in self._places if place is not None]

    def read(self, keys: Iterator[KeyReading], metre: Metre | None, decisions: list[Decision]) -> ReadSystem:
        """Read the measures, given the readings of this line's key places and then of those to come."""
        self.metre = metre
        readings = [None if place is None else next(keys) for place in self._places]
        key_signs = tuple(sign for reading in readings if reading for sign in reading.members)
        in_key = frozenset(sign.index for sign in key_signs)
        metre_signs: list[StaffSymbol] = []
        measures = []
        key = 0
        for span, inside, begin, reading in zip(
            self._spans, self._inside, self._begins, readings[:-1], strict=True
        ):
            if reading is not None:
                if span is self._spans[0] or reading.fifths != key:
                    decisions.append(self._key_decision(reading))
                key = reading.fifths
            metre_signs += self._read_metre(inside, begin, decisions)
            measures.append(self._contents(span, inside, key, in_key))
        metre_signs += self._read_metre(self._after, float("inf"), decisions)
        return ReadSystem(self.placed, self.clefs, tuple(measures), key_signs, tuple(metre_signs))

    def _key_place(
        self, inside: Sequence[Sequence[StaffSymbol]], begin: float, *, opens_line: bool
    ) -> KeyPlace | None:
        zones = []
        for clefs, symbols in zip(self.clefs, inside, strict=True):
            signs = tuple(s for s in symbols if s.kind in ACCIDENTALS and s.x < begin)
            heads = tuple(s for s in symbols if s.kind in HEADS and s.x <= begin + _ZONE_HEADS_PX)
            zones.append(KeyZone(clefs.at(signs[0].x if signs else begin), signs, heads))
        if opens_line or any(zone.signs for zone in zones):
            return KeyPlace(tuple(zones), opens_line)
        return None

    def _key_decision(self, reading: KeyReading) -> Decision:
        evidence: dict[str, float | int | str] = {
            "signs": len(reading.members),
            "margin_nats": round(reading.margin, 2),
        }
        return Decision("key", self.placed.page, self.placed.number, str(reading.fifths), evidence)

    def _read_metre(
        self, inside: Sequence[Sequence[StaffSymbol]], begin: float, decisions: list[Decision]
    ) -> tuple[StaffSymbol, ...]:
        """Take the metre printed before a place, if one is; its symbols."""
        read = read_metre([[s for s in symbols if s.x < begin] for symbols in inside])
        if read is None:
            return ()
        self.metre, signs = read
        evidence: dict[str, float | int | str] = {"share_of_staves": self.metre.confidence}
        value = f"{self.metre.beats}/{self.metre.beat_type}"
        decisions.append(Decision("metre", self.placed.page, self.placed.number, value, evidence))
        return signs

    def _contents(
        self, span: MeasureSpan, inside: Sequence[Sequence[StaffSymbol]], key: int, in_key: frozenset[int]
    ) -> ReadMeasure:
        symbols = [s for staff in inside for s in staff]
        near = [
            s
            for s in self.placed.symbols
            if span.left - _STEM_MARGIN_PX <= s.x <= span.right + _STEM_MARGIN_PX
        ]
        heads = [s for s in symbols if s.kind in HEADS and sounds(self.clefs[s.staff].at(s.x), s.position)]
        chords = find_chords(near, [s for s in heads if s.symbol.grace < _GRACE])
        graces = find_chords(near, [s for s in heads if s.symbol.grace >= _GRACE])
        rests = tuple(s for s in symbols if s.kind in RESTS and abs(s.height) <= _REST_HIGHEST)
        signs: dict[int, StaffSymbol] = {}
        for staff in inside:
            loose = [s for s in staff if s.kind in ACCIDENTALS and s.index not in in_key]
            signs |= attach_signs(loose, [s for s in staff if s.kind in HEADS])
        return ReadMeasure(
            span=span,
            key=key,
            metre=self.metre,
            chords=tuple(chords),
            rests=rests,
            graces=tuple(graces),
            events=print_events(chords, join_beams(chords, near), rests, symbols),
            signs=signs,
        )


def _begin(inside: Sequence[Sequence[StaffSymbol]], right: float) -> float:
    """Where the first chord or rest of a measure stands."""
    return min((s.x for staff in inside for s in staff if s.kind in HEADS or s.kind in RESTS), default=right)
