"""Pitch spelling on the line of fifths.

Each pitch class can be written at places twelve fifths apart. A note is spelled close to the centre of
gravity of its neighbourhood on the line of fifths (Temperley, *The Cognition of Basic Musical
Structures*, 2001, ch. 5), started from the key; what resolves by a semitone is spelled as the leading
note or its mirror that it is.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from services.music.performance import FloatArray, IntArray, Performance
from services.music.score import Key, Mode, SpelledPitch, name_at_fifths

_NEIGHBOURHOOD_S: Final = 4.0
_KEY_WEIGHT: Final = 8.0
_FURTHEST: Final = 15
"""No double sharps beyond B double sharp: the line is used from -15 to 19."""


def spell(performance: Performance, key: Key) -> list[SpelledPitch]:
    """How each note is written, in the performance's order."""
    if len(performance.pitch) == 0:
        return []
    fifths = _near(performance.pitch, np.full(len(performance.pitch), _centre(key)))
    for _ in range(2):
        fifths = _near(performance.pitch, _local_centre(performance, fifths, key))
    return [_spelled(int(p), int(f)) for p, f in zip(performance.pitch, fifths, strict=True)]


def _centre(key: Key) -> float:
    """Middle of what the key uses on the line of fifths: its scale, and the raised notes of minor."""
    return key.fifths + (2.0 if key.mode is Mode.MAJOR else 2.6)


def _near(pitch: IntArray, centre: FloatArray) -> FloatArray:
    """The place of each pitch class that lies nearest to the centre, shape (notes,)."""
    place = (pitch * 7) % 12
    return np.asarray(place + 12.0 * np.rint((centre - place) / 12.0))


def _local_centre(performance: Performance, fifths: FloatArray, key: Key) -> FloatArray:
    """Mean place of the notes around each note and of the key, shape (notes,)."""
    total = np.concatenate(([0.0], np.cumsum(fifths)))
    first = np.searchsorted(performance.onset_s, performance.onset_s - _NEIGHBOURHOOD_S)
    last = np.searchsorted(performance.onset_s, performance.onset_s + _NEIGHBOURHOOD_S / 2, side="right")
    count = last - first
    return np.asarray((total[last] - total[first] + _KEY_WEIGHT * _centre(key)) / (count + _KEY_WEIGHT))


def _spelled(pitch: int, fifths: int) -> SpelledPitch:
    while fifths > 19:
        fifths -= 12
    while fifths < -_FURTHEST:
        fifths += 12
    step, alter = name_at_fifths(fifths)
    octave = (pitch - alter) // 12 - 1
    if octave < 0:
        return _spelled(pitch, fifths - 12)
    return SpelledPitch(step, alter, octave)
