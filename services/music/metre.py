"""Metre: which beats begin measures, and how many beats a measure has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.music.beats import chord_strengths
from services.music.performance import FloatArray, Performance
from services.music.score import Metre

_TRIPLE_SHARE: Final = 0.6


@dataclass(frozen=True, slots=True)
class Bars:
    """The metre over the beats.

    Attributes:
        metre: the time signature.
        first_downbeat: index of the first beat that begins a measure, less than a measure's beats.
    """

    metre: Metre
    first_downbeat: int


def find_metre(performance: Performance, beats_s: FloatArray, triple_share: float) -> Bars:
    """The metre that the accents on the beats speak for.

    Args:
        performance: the notes.
        beats_s: times of the beats, shape (beats,).
        triple_share: share of the divided beats that divide into three.
    """
    accents = beat_accents(performance, beats_s)
    best = (-np.inf, 4, 0)
    for beats in (2, 3, 4):
        for phase in range(min(beats, len(accents))):
            on = accents[phase::beats]
            off = np.delete(accents, np.arange(phase, len(accents), beats))
            gain = (on.mean() - off.mean()) * np.sqrt(len(on)) if len(off) and len(on) else 0.0
            best = max(best, (float(gain), beats, phase))
    _, beats, phase = best
    if triple_share > _TRIPLE_SHARE:
        return Bars(Metre(beats * 3, 8, 0.5), phase)
    return Bars(Metre(beats, 4, 0.5), phase)


def beat_accents(performance: Performance, beats_s: FloatArray) -> FloatArray:
    """Strength of what is struck on each beat, shape (beats,)."""
    accents = np.zeros(len(beats_s))
    if len(performance.chord_s) == 0:
        return accents
    nearest = np.clip(np.searchsorted(beats_s, performance.chord_s), 1, len(beats_s) - 1)
    nearest -= performance.chord_s - beats_s[nearest - 1] < beats_s[nearest] - performance.chord_s
    close = np.abs(performance.chord_s - beats_s[nearest]) < 0.06
    np.maximum.at(accents, nearest[close], 0.5 + chord_strengths(performance)[close])
    return accents
