"""Key finding by profile correlation.

The pitch-class distribution, weighted by duration, is compared with a profile for each of the 24 keys
(Krumhansl & Schmuckler 1990). The profiles are Temperley's for the Kostka-Payne corpus (*Music and
Probability*, 2007), which suit tonal keyboard music better than listeners' ratings.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from services.music.performance import FloatArray, Performance
from services.music.score import Key, Mode

_MAJOR: Final = np.array([0.748, 0.060, 0.488, 0.082, 0.670, 0.460, 0.096, 0.715, 0.104, 0.366, 0.057, 0.400])
_MINOR: Final = np.array([0.712, 0.084, 0.474, 0.618, 0.049, 0.460, 0.105, 0.747, 0.404, 0.067, 0.133, 0.330])
_LONGEST_S: Final = 1.0
_CLOSING_S: Final = 3.0
_CLOSING_WEIGHT: Final = 0.2
_SHARPNESS: Final = 25.0

#: Signatures of the keys on each pitch class, the simpler of two enharmonic ones.
_MAJOR_FIFTHS: Final = (0, -5, 2, -3, 4, -1, -6, 1, -4, 3, -2, 5)
_MINOR_FIFTHS: Final = (-3, 4, -1, -6, 1, -4, 3, -2, 5, 0, -5, 2)


def pitch_class_weights(performance: Performance) -> FloatArray:
    """How much each pitch class sounds, shape (12,); durations are capped against the pedal."""
    lengths = np.minimum(performance.offset_s - performance.onset_s, _LONGEST_S)
    weights = np.sqrt(lengths) * (0.5 + performance.velocity / 127)
    return np.bincount(performance.pitch % 12, weights, minlength=12).astype(np.float64)


def find_key(performance: Performance) -> Key:
    """The main key; C major with confidence 0 where there are no notes."""
    if len(performance.pitch) == 0:
        return Key(0, Mode.MAJOR, 0.0)
    scores = profile_scores(pitch_class_weights(performance))
    scores += _CLOSING_WEIGHT * _closing_tonic(performance)
    best = int(np.argmax(scores))
    odds = np.exp(_SHARPNESS * (scores - scores[best]))
    confidence = float(1.0 / odds.sum())
    tonic, minor = best % 12, best >= 12
    fifths = (_MINOR_FIFTHS if minor else _MAJOR_FIFTHS)[tonic]
    return Key(fifths, Mode.MINOR if minor else Mode.MAJOR, confidence)


def profile_scores(weights: FloatArray) -> FloatArray:
    """Correlation of a pitch-class distribution, shape (12,), with every key's profile, shape (24,).

    The first twelve are the major keys from C up by semitones, then the minor ones.
    """
    profiles = np.stack([np.roll(p, k) for p in (_MAJOR, _MINOR) for k in range(12)])
    profiles = profiles - profiles.mean(axis=1, keepdims=True)
    centred = weights - weights.mean()
    norm = np.linalg.norm(profiles, axis=1) * max(float(np.linalg.norm(centred)), 1e-9)
    return np.asarray(profiles @ centred / norm)


def _closing_tonic(performance: Performance) -> FloatArray:
    """Pieces end on their tonic, in the bass above all: a bonus for each key, shape (24,)."""
    bonus = np.zeros(24)
    last = performance.onset_s >= performance.onset_s[-1] - _CLOSING_S
    final = performance.chord == performance.chord[-1]
    bass = int(performance.pitch[final].min()) % 12
    lowest = int(performance.pitch[last].min()) % 12
    for tonic, weight in ((bass, 0.6), (lowest, 0.4)):
        bonus[tonic] += weight
        bonus[tonic + 12] += weight
    return bonus
