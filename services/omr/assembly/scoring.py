"""The score of all systems: every part has every measure, with rests where a system leaves it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

from services.music.score import (
    Chord,
    Event,
    Head,
    Key,
    Measure,
    Metre,
    Mode,
    NoteType,
    Part,
    Rest,
    Score,
    Tempo,
    Tuplet,
    Voice,
)
from services.omr.assembly.chords import PrintedChord
from services.omr.assembly.clef_changes import ClefCourse
from services.omr.assembly.parts import Parts
from services.omr.assembly.pitches import PitchedHead
from services.omr.assembly.placing import StaffSymbol
from services.omr.assembly.reading import Printed, ReadMeasure, ReadSystem
from services.omr.assembly.ties import HeadKey
from services.omr.assembly.voices import Written, write_voices
from services.omr.events import MeasureReading, PlacedEvent
from services.omr.vocabulary import VALUES_QUARTERS

_BPM = 100.0
_UNREAD = Fraction(4)
_Meets = Callable[[HeadKey], bool]
_KINDS = {kind.quarters: kind for kind in NoteType}


@dataclass(frozen=True, slots=True)
class WrittenHead:
    """A head of the score: where it was seen, and where it was written; `Head.source` indexes these."""

    system: ReadSystem
    head: StaffSymbol
    part: int
    staff: int
    voice: int
    measure: int
    event: Chord
    pitched: PitchedHead


def write_score(
    systems: Sequence[ReadSystem],
    parts: Parts,
    readings: Sequence[MeasureReading],
    pitched: Mapping[HeadKey, PitchedHead],
) -> tuple[Score, tuple[WrittenHead, ...]]:
    """The score, and every head in it.

    Args:
        systems: in reading order; together they have at least one measure.
        parts: the score's parts.
        readings: of the measures of all systems in order.
        pitched: the pitch of every head.
    """
    return _Writer(parts, pitched).write(systems, readings)


class _Writer:
    def __init__(self, parts: Parts, pitched: Mapping[HeadKey, PitchedHead]) -> None:
        self._parts = parts
        self._pitched = pitched
        self._heads: list[WrittenHead] = []
        self._symbols: list[tuple[StaffSymbol, PitchedHead]] = []

    def write(
        self, systems: Sequence[ReadSystem], readings: Sequence[MeasureReading]
    ) -> tuple[Score, tuple[WrittenHead, ...]]:
        """Write all measures of all parts."""
        columns: list[list[Measure]] = []
        places = [(system, measure) for system in systems for measure in system.measures]
        key: int | None = None
        metre: Metre | None = None
        clefs = ClefCourse(self._parts)
        first_key = places[0][1].key
        for index, ((system, measure), reading) in enumerate(zip(places, readings, strict=True)):
            duration = _duration(reading)
            shown = measure.metre or metre or _metre_of(duration)
            column = []
            for part in range(len(self._parts.groups)):
                voices = self._voices(system, measure, reading, part, duration, index)
                changes = clefs.changes(system, measure, reading, part)
                column.append(
                    Measure(
                        index + 1,
                        duration,
                        voices,
                        clefs=changes,
                        barline=measure.span.barline,
                        opens_repeat=measure.span.opens_repeat,
                    )
                )
            if key != measure.key:
                column = [replace(each, key=Key(measure.key, Mode.MAJOR)) for each in column]
            if metre is None or (metre.beats, metre.beat_type) != (shown.beats, shown.beat_type):
                column = [replace(each, metre=shown) for each in column]
            key, metre = measure.key, shown
            columns.append(column)
        return self._score(columns, first_key), tuple(self._heads)

    def _score(self, columns: list[list[Measure]], key: int) -> Score:
        metre = columns[0][0].metre or Metre(4, 4)
        if columns[0][0].duration < metre.measure_quarters and len(columns) > 1:
            columns = [
                [replace(each, number=each.number - 1, pickup=index == 0) for each in column]
                for index, column in enumerate(columns)
            ]
        parts = []
        for part, (first, last) in enumerate(self._parts.groups):
            measures = tuple(column[part] for column in columns)
            parts.append(Part(_part_name(part, self._parts.groups), last - first + 1, measures))
        return Score(tuple(parts), Key(key, Mode.MAJOR), metre, Tempo(_BPM))

    def _voices(
        self,
        system: ReadSystem,
        measure: ReadMeasure,
        reading: MeasureReading,
        part: int,
        duration: Fraction,
        index: int,
    ) -> tuple[Voice, ...]:
        first, last = self._parts.groups[part]
        voices: list[Voice] = []
        for staff in range(first, last + 1):
            number = staff - first + 1
            written = []
            if staff in system.staves:
                written = self._written(system, measure, reading, system.staves.index(staff), duration)
            for voice in write_voices(written, number, duration):
                voices.append(self._sourced(voice, system, part, index))
        return tuple(voices)

    def _written(
        self,
        system: ReadSystem,
        measure: ReadMeasure,
        reading: MeasureReading,
        staff: int,
        duration: Fraction,
    ) -> list[Written]:
        """The events of one staff with their heads; `Head.source` indexes `self._symbols` for the moment."""
        placed = [
            (printed, event)
            for printed, event in zip(measure.printed, reading.events, strict=True)
            if event is not None and printed.staff == staff
        ]
        graces = self._graces(system, [grace for grace in measure.graces if grace.staff == staff], placed)
        onsets = {
            (system.page, head.index): event.onset
            for printed, event in placed
            if isinstance(printed, PrintedChord)
            for head in printed.heads
        }
        written = []
        for number, (printed, event) in enumerate(placed):
            meets = partial(_meets, event.onset + event.duration, onsets, duration)
            made = self._event(system, printed, event, meets)
            written.append(Written(event.voice, made, tuple(graces.get(number, ()))))
        return written

    def _event(self, system: ReadSystem, printed: Printed, placed: PlacedEvent, meets: _Meets) -> Event:
        tuplet = Tuplet(*placed.tuplet) if placed.tuplet else None
        if isinstance(printed, StaffSymbol):
            return Rest(placed.onset, placed.duration, placed.kind, placed.dots, tuplet, placed.whole_measure)
        heads = self._chord_heads(system, printed, meets)
        return Chord(placed.onset, placed.duration, placed.kind, heads, placed.dots, tuplet)

    def _chord_heads(self, system: ReadSystem, chord: PrintedChord, meets: _Meets) -> tuple[Head, ...]:
        heads = []
        for head in chord.heads:
            pitched = self._pitched[system.page, head.index]
            # A tie of a unison's head is that of one of its two notes.
            if head.index in chord.shared and pitched.tied_to and not meets(pitched.tied_to):
                pitched = replace(pitched, tied_to=None)
            self._symbols.append((head, pitched))
            source = len(self._symbols) - 1
            heads.append(
                Head(pitched.pitch, pitched.tied_from is not None, pitched.tied_to is not None, source)
            )
        return tuple(heads)

    def _graces(
        self,
        system: ReadSystem,
        graces: Sequence[PrintedChord],
        placed: Sequence[tuple[Printed, PlacedEvent]],
    ) -> dict[int, list[Chord]]:
        """Grace notes before the chord (by its index in `placed`) that follows them on their staff."""
        before: dict[int, list[Chord]] = {}
        for grace in graces:
            following = [
                (printed.x, i)
                for i, (printed, _) in enumerate(placed)
                if isinstance(printed, PrintedChord) and printed.x > grace.x
            ]
            if following:
                _, i = min(following)
                heads = self._chord_heads(system, grace, lambda _: True)
                chord = Chord(placed[i][1].onset, Fraction(0), _grace_kind(grace), heads, grace=True)
                before.setdefault(i, []).append(chord)
        return before

    def _sourced(self, voice: Voice, system: ReadSystem, part: int, index: int) -> Voice:
        """The voice with sources that index the heads of the score, in its order."""
        events: list[Event] = []
        for event in voice.events:
            if isinstance(event, Rest):
                events.append(event)
                continue
            heads = []
            for head in event.heads:
                symbol, pitched = self._symbols[head.source or 0]
                heads.append(replace(head, source=len(self._heads)))
                self._heads.append(
                    WrittenHead(system, symbol, part, voice.staff, voice.number, index, event, pitched)
                )
            events.append(replace(event, heads=tuple(heads)))
        return replace(voice, events=tuple(events))


def _meets(end: Fraction, onsets: Mapping[HeadKey, Fraction], duration: Fraction, head: HeadKey) -> bool:
    """Whether a note that ends so is followed by a head, of its own measure and staff or of the next."""
    return onsets.get(head, duration) == end


def _duration(reading: MeasureReading) -> Fraction:
    ends = [event.onset + event.duration for event in reading.events if event is not None]
    return max([reading.duration, *ends], default=_UNREAD) or _UNREAD


def _metre_of(duration: Fraction) -> Metre:
    """The simplest time signature of a measure whose metre was not printed."""
    beat_type = 4
    while (duration * beat_type / 4).denominator != 1 and beat_type < 32:
        beat_type *= 2
    return Metre(max(1, round(duration * beat_type / 4)), beat_type, 0.0)


def _part_name(part: int, groups: Sequence[tuple[int, int]]) -> str:
    first, last = groups[part]
    if last > first:
        return "Piano"
    singles = [g for g, (a, b) in enumerate(groups) if a == b]
    if len(singles) == 1:
        return "Voice" if len(groups) > 1 else "Music"
    return f"Staff {singles.index(part) + 1}"


def _grace_kind(chord: PrintedChord) -> NoteType:
    durations = [sum(values) for values in zip(*(head.symbol.durations for head in chord.heads), strict=True)]
    quarters = VALUES_QUARTERS[max(range(len(durations)), key=durations.__getitem__)]
    return _KINDS[Fraction(quarters)]
