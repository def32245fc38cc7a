"""Notation: performed notes become a piano score on two staves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.errors import UnknownOptionError
from services.music.hands import LEFT, RIGHT, assign_staves
from services.music.key import find_key
from services.music.layout import barlines, lay_out
from services.music.notes import Note
from services.music.performance import FloatArray, gather
from services.music.pulse import find_pulse
from services.music.rhythm import TICKS, Quantise, quantise_notes, subdivide
from services.music.score import Head, Key, Metre, Part, Score, Tempo
from services.music.spelling import spell
from services.music.voices import staff_voices

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
    voices = {staff: staff_voices(performance, rhythm, staves, staff) for staff in (RIGHT, LEFT)}
    bounds = barlines(metre, reading.bars.first_downbeat * TICKS, voices)
    heads = [
        Head(pitch, source=source)
        for pitch, source in zip(spell(performance, key), performance.source.tolist(), strict=True)
    ]
    measures = lay_out(metre, key, bounds, voices, heads)
    tempo = _tempo(beats, metre, bounds[0])
    return Score((Part("Piano", 2, measures),), key, metre, tempo, options.title)


def _empty(key: Key, options: NotationOptions) -> Score:
    """A score of one measure of silence."""
    metre = Metre(4, 4, 0.0)
    measures = lay_out(metre, key, barlines(metre, 0, {}), {}, [])
    tempo = Tempo(options.tempo_bpm or _DEFAULT_BPM)
    return Score((Part("Piano", 2, measures),), key, metre, tempo, options.title)


def _tempo(beats_s: FloatArray, metre: Metre, start: int) -> Tempo:
    bpm = 60.0 / float(np.median(np.diff(beats_s)))
    return Tempo(bpm, tuple(beats_s.tolist()), metre.beat_quarters, -start * metre.beat_quarters / TICKS)
