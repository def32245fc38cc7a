"""Measures: chords in ticks become written events, cut at barlines and where the beat must show.

The cutting rules are those of engraving practice (Gould, *Behind Bars*, "Grouping of note values"): a
value may hide a beat only if it begins on a stronger place than the one it hides, or stands exactly
one level below it, as in plain syncopation; rests may hide none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Final

from services.music.rhythm import TICKS
from services.music.score import Chord, Event, Head, Metre, NoteType, Rest, Tuplet, note_values
from services.music.voices import Span

_BINARY: Final = TICKS // 8
_TRIPLET: Final = Fraction(3, 2)


@dataclass(frozen=True, slots=True)
class Grid:
    """The metre in ticks.

    Attributes:
        metre: the time signature.
        measure: ticks of a full measure.
        levels: distances between places of each metrical level, strongest first.
    """

    metre: Metre
    measure: int
    levels: tuple[int, ...]

    @classmethod
    def of(cls, metre: Metre) -> Grid:
        """The grid of a metre whose felt beat lasts `TICKS`."""
        measure = int(metre.measure_quarters / metre.beat_quarters * TICKS)
        halves = (2 * TICKS,) if measure % (2 * TICKS) == 0 and measure > 2 * TICKS else ()
        inside = (TICKS // 3, TICKS // 6, TICKS // 12) if metre.is_compound else (60, 30, 15)
        return cls(metre, measure, (*halves, TICKS, *inside))

    def level(self, tick: int) -> int:
        """Metrical level of a place in the measure: 0 is its start, larger is weaker."""
        if tick % self.measure == 0:
            return 0
        return next((i for i, size in enumerate(self.levels, 1) if tick % size == 0), len(self.levels) + 1)

    @property
    def shortest_pickup(self) -> int:
        """Pickups begin on a multiple of this many ticks: a sixteenth."""
        return TICKS // 6 if self.metre.is_compound else TICKS // 4

    def quarters(self, ticks: int) -> Fraction:
        """Length in quarter notes."""
        return ticks * self.metre.beat_quarters / TICKS


@lru_cache(maxsize=65536)
def cut(grid: Grid, start: int, end: int, *, rest: bool) -> tuple[tuple[int, int], ...]:
    """Cut a stretch of one measure into written values.

    Args:
        grid: the metre.
        start: first tick, counted from the measure's start.
        end: tick after the last.
        rest: whether it is a silence, which is cut more strictly.
    """
    inner = _strongest(grid, start, end)
    dots = 1 if grid.metre.is_compound or not rest else 0
    writable = grid.quarters(end - start) in note_values(dots=dots)
    if inner is None:
        if writable:
            return ((start, end),)
        middle = start + _largest_value(grid, end - start)
        return ((start, middle), *cut(grid, middle, end, rest=rest))
    hidden, level = grid.level(inner), grid.level(start)
    # Syncopation over a compound beat is written with a tie.
    strict = rest or (grid.metre.is_compound and inner % TICKS == 0)
    if writable and level <= hidden + (0 if strict else 1):
        return ((start, end),)
    return (*cut(grid, start, inner, rest=rest), *cut(grid, inner, end, rest=rest))


def _strongest(grid: Grid, start: int, end: int) -> int | None:
    """The strongest place strictly inside; the first of equals for a weak start, else the last."""
    for size in (grid.measure, *grid.levels):
        first = start - start % size + size
        if first < end:
            return first if grid.level(start) > grid.level(first) else (end - 1) // size * size
    return None


def _largest_value(grid: Grid, ticks: int) -> int:
    values = [
        int(value / grid.metre.beat_quarters * TICKS)
        for value in note_values(dots=0)
        if (value / grid.metre.beat_quarters * TICKS).denominator == 1
    ]
    return max((value for value in values if value < ticks), default=ticks)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a measure lies: first tick, tick after the last, and by how much a pickup is shorter."""

    start: int
    stop: int
    lead: int = 0


def voice_events(
    spans: Sequence[Span], grid: Grid, place: Place, heads: Sequence[Head], *, hide_rests: bool = False
) -> tuple[Event, ...]:
    """The events of one voice in one measure; together they fill it.

    Args:
        spans: the chords that sound in the measure, in order, without overlaps.
        grid: the metre.
        place: where the measure lies.
        heads: the notehead of every note that spans refer to, not yet tied.
        hide_rests: whether rests are invisible.
    """
    if not spans:
        full = grid.quarters(place.stop - place.start)
        return (Rest(Fraction(0), full, NoteType.WHOLE, whole_measure=True, visible=not hide_rests),)
    origin = place.start - place.lead
    pieces = _pieces(spans, place.start, place.stop)
    tuplets = set() if grid.metre.is_compound else _tuplet_beats(pieces, origin)
    events: list[Event] = []
    for span, first, last in pieces:
        for a, b in _written(grid, first - origin, last - origin, tuplets, rest=span is None):
            tuplet = Tuplet(3, 2) if a // TICKS in tuplets else None
            length = grid.quarters(b - a)
            kind, dots = note_values()[length * _TRIPLET if tuplet else length]
            onset = grid.quarters(a - place.lead)
            if span is None:
                events.append(Rest(onset, length, kind, dots, tuplet, visible=not hide_rests))
            else:
                back, on = a + origin > span.start, b + origin < span.end
                chord = tuple(replace(heads[note], tied_back=back, tied_on=on) for note in span.notes)
                events.append(Chord(onset, length, kind, chord, dots, tuplet))
    return _bracketed(events, grid, place.lead)


def _pieces(spans: Sequence[Span], start: int, end: int) -> list[tuple[Span | None, int, int]]:
    """The chords inside the measure, and the silences (None) between them."""
    pieces: list[tuple[Span | None, int, int]] = []
    now = start
    for span in spans:
        first, last = max(span.start, start), min(span.end, end)
        if first > now:
            pieces.append((None, now, first))
        pieces.append((span, first, last))
        now = last
    if now < end:
        pieces.append((None, now, end))
    return pieces


def _tuplet_beats(pieces: Sequence[tuple[Span | None, int, int]], origin: int) -> set[int]:
    """Beats of the measure in which something begins off the binary grid."""
    return {(first - origin) // TICKS for _, first, _ in pieces if (first - origin) % _BINARY}


def _written(grid: Grid, first: int, last: int, tuplets: set[int], *, rest: bool) -> list[tuple[int, int]]:
    values: list[tuple[int, int]] = []
    now = first
    while now < last:
        beat = now // TICKS
        if beat in tuplets:
            stop = min(last, (beat + 1) * TICKS)
            values.extend(_tuplet_values(now, stop))
        else:
            following = [b for b in tuplets if b > beat]
            stop = min(last, min(following) * TICKS) if following else last
            values.extend(cut(grid, now, stop, rest=rest))
        now = stop
    return values


def _tuplet_values(first: int, last: int) -> list[tuple[int, int]]:
    values = []
    while first < last:
        length = next(ticks for ticks in (80, 60, 40, 30, 20, 10, 5) if ticks <= last - first)
        values.append((first, first + length))
        first += length
    return values


def _bracketed(events: list[Event], grid: Grid, lead: int) -> tuple[Event, ...]:
    """Mark where each beat's tuplet opens and closes."""
    beats = [int(event.onset / grid.metre.beat_quarters * TICKS + lead) // TICKS for event in events]
    marked: list[Event] = []
    for i, event in enumerate(events):
        tuplet = event.tuplet
        if tuplet is not None:
            opens = i == 0 or beats[i - 1] != beats[i]
            closes = i + 1 == len(events) or beats[i + 1] != beats[i]
            tuplet = replace(tuplet, opens=opens, closes=closes)
        marked.append(replace(event, tuplet=tuplet))
    return tuple(marked)
