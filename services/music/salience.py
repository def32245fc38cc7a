"""Salience: how much each chord sounds as if it fell on a beat, before any beat is known.

A logistic model over what stands out against the surroundings: low notes, length, the time to the next
chord, a change of harmony, loudness. Its weights were fitted on performances of CC0 piano parts (see
`pipelines/evaluation/notation_truth.py`); loudness was given more by hand, for people accent more than
the simulated performances do.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from services.music.performance import FloatArray, IntArray, Performance

_NEAR_S: Final = 0.45
_AROUND_S: Final = 1.2
_HARMONY_S: Final = 1.0

_BIAS: Final = -0.7
_SIZE: Final = 0.06
_LOUD: Final = 0.25
_BASS: Final = 1.0
_STEP_DOWN: Final = 0.3
_STEP_UP: Final = 0.38
_LENGTH: Final = 0.5
_GAP: Final = 0.97
_HIGH: Final = 0.3
_HARMONY: Final = 1.0


def beat_log_odds(performance: Performance) -> FloatArray:
    """Log-odds that each chord falls on a beat, shape (chords,), roughly -3 to 3."""
    starts, times = performance.chord_starts, performance.chord_s
    sizes = np.minimum(np.diff(np.append(starts, len(performance.pitch))), 6).astype(np.float64)
    loud = np.maximum.reduceat(performance.velocity, starts).astype(np.float64)
    low = np.minimum.reduceat(performance.pitch, starts).astype(np.float64)
    high = np.maximum.reduceat(performance.pitch, starts).astype(np.float64)
    seconds = np.maximum.reduceat(performance.offset_s - performance.onset_s, starts)
    length = np.log2(np.clip(seconds, 0.05, 4.0))
    gap = np.log2(np.clip(np.diff(times, append=times[-1] + 1.0), 0.03, 4.0))
    near, around = _window(times, _NEAR_S), _window(times, _AROUND_S)
    change = harmony_change(performance)
    before, after = np.append(low[0], low[:-1]), np.append(low[1:], low[-1])
    return np.asarray(
        _BIAS
        + _SIZE * (sizes - _mean(sizes, around))
        + _LOUD * (loud - _mean(loud, around)) / 15
        + _BASS * (_mean(low, near) - low) / 12
        + _STEP_DOWN * np.clip(before - low, -12, 12) / 12
        + _STEP_UP * np.clip(after - low, -12, 12) / 12
        + _LENGTH * (length - _mean(length, around))
        + _GAP * (gap - _mean(gap, around))
        + _HIGH * (high - _mean(high, around)) / 12
        + _HARMONY * change
    )


def harmony_change(performance: Performance) -> FloatArray:
    """How far the pitch classes of the second after each chord differ from the second before, 0 to 1.

    One minus the cosine of the two pitch-class distributions, shape (chords,).
    """
    times = performance.chord_s
    weights = np.sqrt(np.clip(performance.offset_s - performance.onset_s, 0.05, 1.0))
    classes = np.zeros((len(times) + 1, 12))
    np.add.at(classes[1:], (performance.chord, performance.pitch % 12), weights)
    total = np.cumsum(classes, axis=0)
    now = np.arange(len(times))
    after = total[np.searchsorted(times, times + _HARMONY_S)] - total[now]
    before = total[now] - total[np.searchsorted(times, times - _HARMONY_S)]
    norm = np.sqrt((after**2).sum(axis=1) * (before**2).sum(axis=1))
    return np.asarray(1.0 - (after * before).sum(axis=1) / np.maximum(norm, 1e-9))


def _window(times: FloatArray, reach_s: float) -> tuple[IntArray, IntArray]:
    return (
        np.searchsorted(times, times - reach_s),
        np.searchsorted(times, times + reach_s, side="right"),
    )


def _mean(values: FloatArray, window: tuple[IntArray, IntArray]) -> FloatArray:
    """Mean of the values in a window around each chord, shape (chords,)."""
    total = np.append(0.0, np.cumsum(values))
    first, last = window
    return np.asarray((total[last] - total[first]) / (last - first))
