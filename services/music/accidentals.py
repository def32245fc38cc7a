"""Accidentals: which noteheads of a measure need a sign in front of them.

A sign holds for its line or space of its staff to the end of the measure, in all voices. A note tied
over the barline keeps its pitch without a sign; the next one on that line needs it again.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from services.music.score import Chord, Key, Measure, SpelledPitch, fifths_of

HeadPlace = tuple[int, int, int]
"""Index of the voice in the measure, of the event in the voice, of the head in the chord."""

_STEPS: Final = "FCGDAEB"


def key_alteration(step: str, key: Key) -> int:
    """The alteration that the key signature gives a letter: +1 for F in G major."""
    place = fifths_of(step, 0)
    return int(key.fifths >= place + 2) - int(place >= key.fifths + 6)


def accidentals_of(measure: Measure, key: Key) -> dict[HeadPlace, int]:
    """The alteration to print (-2 to 2, 0 a natural) for every head that needs a sign.

    Args:
        measure: one measure of one part.
        key: the key signature that holds.
    """
    holding: dict[tuple[int, str, int], int] = {}
    signs: dict[HeadPlace, int] = {}
    for _, staff, place, pitch, tied in _heads_in_time(measure):
        line = (staff, pitch.step, pitch.octave)
        if tied:
            continue
        if holding.get(line, key_alteration(pitch.step, key)) != pitch.alter:
            signs[place] = pitch.alter
            holding[line] = pitch.alter
    return signs


def _heads_in_time(measure: Measure) -> list[tuple[Fraction, int, HeadPlace, SpelledPitch, bool]]:
    heads = []
    for v, voice in enumerate(measure.voices):
        for e, event in enumerate(voice.events):
            if isinstance(event, Chord):
                for h, head in enumerate(event.heads):
                    heads.append((event.onset, voice.staff, (v, e, h), head.pitch, head.tied_back))
    heads.sort(key=lambda entry: (entry[0], entry[2]))
    return heads
