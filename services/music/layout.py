"""Layout: the voices of both staves, still in ticks, are laid out in measures."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from services.music.clefs import with_clefs
from services.music.measures import Grid, Place, voice_events
from services.music.rhythm import TICKS
from services.music.score import Barline, Head, Key, Measure, Metre, Voice
from services.music.voices import LOWER, UPPER, Span

STAVES: Final = 2

StaffVoices = Mapping[int, tuple[Sequence[Span], Sequence[Span]]]
"""For each staff its upper and its lower voice."""


def barlines(metre: Metre, downbeat: int, voices: StaffVoices) -> list[int]:
    """Ticks of all barlines, from where the score begins to its end.

    The score begins with a pickup where its first note lies in the second half of a measure, and
    ends with the measure in which the last chord is struck: what rings on is no notation's business.

    Args:
        metre: the time signature.
        downbeat: the tick of any downbeat.
        voices: what is to be written.
    """
    grid = Grid.of(metre)
    spans = [span for pair in voices.values() for voice in pair for span in (*voice[:1], *voice[-1:])]
    first = min((span.start for span in spans), default=downbeat)
    last = max((span.start for span in spans), default=downbeat)
    start = downbeat + (first - downbeat) // grid.measure * grid.measure
    bounds = [start]
    if first - start >= grid.measure / 2:
        on_grid = (first - start) % grid.shortest_pickup == 0
        bounds = [first if on_grid else first - (first - start) % TICKS]
    while bounds[-1] <= last:
        bounds.append(start + grid.measure * len(bounds))
    return bounds


def lay_out(
    metre: Metre, key: Key, bounds: Sequence[int], voices: StaffVoices, heads: Sequence[Head]
) -> tuple[Measure, ...]:
    """All measures of a two-staff part.

    Args:
        metre: the time signature.
        key: the key signature.
        bounds: ticks of all barlines.
        voices: the chords of each staff.
        heads: the notehead of every note that chords refer to, not yet tied.
    """
    grid = Grid.of(metre)
    measures = []
    for index, (start, stop) in enumerate(pairwise(bounds)):
        pickup = stop - start < grid.measure
        lead = grid.measure - (stop - start) if pickup else 0
        written = _voices(grid, Place(start, stop, lead), bounds[-1], voices, heads)
        number = index if bounds[1] - bounds[0] < grid.measure else index + 1
        measures.append(Measure(number, grid.quarters(stop - start), written, pickup=pickup))
    measures[0] = replace(measures[0], key=key, metre=metre)
    measures[-1] = replace(measures[-1], barline=Barline.FINAL)
    return tuple(with_clefs(measures, STAVES))


def _voices(
    grid: Grid, place: Place, score_end: int, voices: StaffVoices, heads: Sequence[Head]
) -> tuple[Voice, ...]:
    """The voices of one measure: one for each staff, two where the lower one has notes."""
    written = []
    for staff in range(1, STAVES + 1):
        for number, spans in zip((UPPER, LOWER), voices.get(staff, ((), ())), strict=True):
            first = bisect_right(spans, place.start, key=lambda span: span.end)
            last = bisect_left(spans, place.stop, key=lambda span: span.start)
            if number == UPPER or first < last:
                inside = [replace(span, end=min(span.end, score_end)) for span in spans[first:last]]
                events = voice_events(inside, grid, place, heads, hide_rests=number == LOWER)
                written.append(Voice(number, staff, events))
    return tuple(written)
