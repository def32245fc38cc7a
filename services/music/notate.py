"""Notation: performed notes become a piano score on two staves."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Final

import numpy as np

from services.errors import UnknownOptionError
from services.music.hands import LEFT, RIGHT, assign_staves
from services.music.key import find_key
from services.music.measures import Grid, voice_events
from services.music.notes import Note
from services.music.performance import FloatArray, gather
from services.music.pulse import find_pulse
from services.music.rhythm import TICKS, Quantise, quantise_notes, subdivide
from services.music.score import (
    BASS,
    TREBLE,
    Barline,
    ClefChange,
    Event,
    Key,
    Measure,
    Metre,
    Part,
    Score,
    SpelledPitch,
    Tempo,
    Voice,
)
from services.music.spelling import spell
from services.music.voices import Span, staff_spans

SLOWEST_BPM: Final = 20.0
FASTEST_BPM: Final = 400.0
_DEFAULT_BPM: Final = 96.0


@dataclass(frozen=True, slots=True)
class NotationOptions:
    """How to notate.

    Attributes:
        tempo_bpm: beats a minute, where known, 20 to 400; found from the notes otherwise.
        quantise: the finest grid to write notes on.
        title: printed above the music; may be empty.

    Raises:
        UnknownOptionError: the tempo lies outside its limits, or there is no such grid.
    """

    tempo_bpm: float | None = None
    quantise: Quantise = Quantise.AUTO
    title: str = ""

    def __post_init__(self) -> None:
        if self.tempo_bpm is not None and not SLOWEST_BPM <= self.tempo_bpm <= FASTEST_BPM:
            raise UnknownOptionError(
                f"A tempo of {self.tempo_bpm:g} beats a minute is not possible.",
                remedy=f"Give one from {SLOWEST_BPM:g} to {FASTEST_BPM:g}, or none.",
            )
        if self.quantise not in set(Quantise):
            raise UnknownOptionError(
                f"There is no grid '{self.quantise}'.", remedy=f"Choose one of: {', '.join(Quantise)}."
            )
        object.__setattr__(self, "quantise", Quantise(self.quantise))


def notate(notes: Sequence[Note], options: NotationOptions = NotationOptions()) -> Score:
    """Write performed notes down as a piano score.

    Args:
        notes: performed notes, in any order; `Head.source` indexes them.
        options: how to notate.

    Returns:
        A score of one part on two staves. With no notes it has one empty measure.

    Raises:
        NotationError: a note's time is not finite or its pitch lies outside MIDI's range.
    """
    performance = gather(notes)
    key = find_key(performance)
    if len(performance.pitch) == 0:
        return _empty(key, options)
    reading = find_pulse(performance, options.tempo_bpm)
    beats, metre = reading.pulse.beats_s, reading.metre
    parts = subdivide(performance, beats, options.quantise, compound=metre.is_compound)
    rhythm = quantise_notes(performance, beats, parts)
    staves = assign_staves(performance)
    spans = [staff_spans(rhythm, performance.pitch, staves, staff) for staff in (RIGHT, LEFT)]
    layout = _Layout(metre, reading.bars.first_downbeat, key)
    measures = layout.measures(spans, spell(performance, key), performance.source.tolist())
    tempo = _tempo(beats, metre, layout.start)
    return Score((Part("Piano", 2, measures),), key, metre, tempo, options.title)


def _empty(key: Key, options: NotationOptions) -> Score:
    """A score of one measure of silence."""
    metre = Metre(4, 4, 0.0)
    measures = _Layout(metre, 0, key).measures([[], []], [], [])
    tempo = Tempo(options.tempo_bpm or _DEFAULT_BPM)
    return Score((Part("Piano", 2, measures),), key, metre, tempo, options.title)


def _tempo(beats_s: FloatArray, metre: Metre, start: int) -> Tempo:
    bpm = 60.0 / float(np.median(np.diff(beats_s)))
    return Tempo(bpm, tuple(beats_s.tolist()), metre.beat_quarters, -start * metre.beat_quarters / TICKS)


class _Layout:
    """Lays the chords of both staves out in measures."""

    def __init__(self, metre: Metre, first_downbeat: int, key: Key) -> None:
        self._grid = Grid.of(metre)
        self._key = key
        self._first_downbeat = first_downbeat * TICKS
        self.start = 0

    def measures(
        self, staves: list[list[Span]], pitches: list[SpelledPitch], sources: list[int]
    ) -> tuple[Measure, ...]:
        """All measures; sets `start`, the tick at which the score begins."""
        onsets = [spans[0].start for spans in staves if spans]
        end = max([spans[-1].end for spans in staves if spans], default=TICKS)
        bounds = self._bounds(min(onsets, default=0), end)
        self.start = bounds[0]
        full = self._grid.measure
        measures = []
        for index, (start, stop) in enumerate(pairwise(bounds)):
            pickup = index == 0 and stop - start < full
            lead = full - (stop - start) if pickup else 0
            voices = tuple(
                Voice(1, number, self._events(spans, (start, stop, lead), pitches, sources))
                for number, spans in enumerate(staves, 1)
            )
            measures.append(Measure(index, self._grid.quarters(stop - start), voices, pickup=pickup))
        if not measures[0].pickup:
            measures = [replace(measure, number=measure.number + 1) for measure in measures]
        clefs = (ClefChange(RIGHT, Fraction(0), TREBLE), ClefChange(LEFT, Fraction(0), BASS))
        measures[0] = replace(measures[0], key=self._key, metre=self._grid.metre, clefs=clefs)
        measures[-1] = replace(measures[-1], barline=Barline.FINAL)
        return tuple(measures)

    def _bounds(self, first: int, end: int) -> list[int]:
        """Ticks of all barlines; a pickup begins with its first note where that is on the binary grid."""
        full = self._grid.measure
        downbeat = self._first_downbeat
        while downbeat > first and downbeat - full >= 0:
            downbeat -= full
        while first >= downbeat + full:
            downbeat += full
        bounds = [downbeat] if first >= downbeat else [first - first % 30, downbeat]
        while bounds[-1] < end or len(bounds) < 2:
            bounds.append(bounds[-1] + full)
        return bounds

    def _events(
        self,
        spans: list[Span],
        place: tuple[int, int, int],
        pitches: list[SpelledPitch],
        sources: list[int],
    ) -> tuple[Event, ...]:
        start, stop, lead = place
        first = bisect_right(spans, start, key=lambda span: span.end)
        last = bisect_left(spans, stop, key=lambda span: span.start)
        return voice_events(spans[first:last], self._grid, start, stop, lead, pitches, sources)
