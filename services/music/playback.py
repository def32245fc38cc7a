"""Playback: a written score as notes in time, at one tempo.

Tied heads sound as one note; grace notes are struck just before what they adorn; repeats are not played out.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from services.music.notes import Note
from services.music.score import Chord, Head, Part, Score

_VELOCITY: Final = 80
_GRACE: Final = Fraction(1, 8)

_Sounding = tuple[Fraction, Fraction, int]
"""Onset and end in quarter notes from the score's start, MIDI pitch."""


def play(score: Score) -> dict[tuple[int, int], list[Note]]:
    """The notes of each staff, by index of its part and its number in the part, in time order."""
    second = Fraction(60) / (Fraction(score.tempo.bpm) * score.tempo.unit)
    starts = score.measure_starts()
    played: dict[tuple[int, int], list[Note]] = {}
    for number, part in enumerate(score.parts):
        staves = _staves(part, starts)
        for staff, sounding in staves.items():
            played[number, staff] = sorted(
                Note(float(onset * second), float(end * second), pitch, _VELOCITY)
                for onset, end, pitch in sounding
            )
    return played


def _staves(part: Part, starts: list[Fraction]) -> dict[int, list[_Sounding]]:
    heads: list[tuple[Fraction, Fraction, int, Head]] = []
    for start, measure in zip(starts, part.measures, strict=False):
        for voice in measure.voices:
            graces: list[Chord] = []
            for event in voice.events:
                if not isinstance(event, Chord):
                    continue
                if event.grace:
                    graces.append(event)
                    continue
                onset = start + event.onset
                heads += _before(graces, onset, voice.staff)
                graces = []
                heads += [(onset, onset + event.duration, voice.staff, head) for head in event.heads]
            heads += _before(graces, start + measure.duration, voice.staff)
    return _tied(heads, part.staves)


def _before(graces: list[Chord], onset: Fraction, staff: int) -> list[tuple[Fraction, Fraction, int, Head]]:
    heads = []
    for place, chord in enumerate(graces):
        begin = max(Fraction(0), onset - _GRACE * (len(graces) - place))
        heads += [(begin, begin + _GRACE, staff, head) for head in chord.heads]
    return heads


def _tied(heads: list[tuple[Fraction, Fraction, int, Head]], staves: int) -> dict[int, list[_Sounding]]:
    """Heads joined by ties: a note that is tied on lasts until the end of the head that it meets."""
    sounding: dict[int, list[_Sounding]] = {staff: [] for staff in range(1, staves + 1)}
    open_ties: dict[tuple[Fraction, int], tuple[int, int]] = {}
    for onset, end, staff, head in sorted(heads, key=lambda each: each[:3]):
        pitch = head.pitch.midi
        met = open_ties.pop((onset, pitch), None) if head.tied_back else None
        if met is None:
            sounding[staff].append((onset, end, pitch))
            met = staff, len(sounding[staff]) - 1
        else:
            home, place = met
            sounding[home][place] = (sounding[home][place][0], end, pitch)
        if head.tied_on:
            open_ties[end, pitch] = met
    return sounding
