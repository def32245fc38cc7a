"""Metre: which beats begin measures, and how many beats a measure has.

For every beat a logistic model gives the odds of a downbeat, from what is struck on it and on the
beats around it; a metre and its phase are as likely as the beats they call downbeats, and those they
do not, are together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.music.performance import FloatArray, Performance
from services.music.salience import beat_log_odds

_NEAR_BEAT: Final = 0.15
"""A chord this close to a beat, as a share of it, is struck on the beat."""

_CONTEXT: Final = (0, -1, 1, -2, 2)
"""Beats, counted from the one in question, whose features say whether it begins a measure."""

# Fitted on performances of CC0 piano parts: a row for each beat of the context, a column a feature.
_DOWNBEAT_BIAS: Final = -1.82
_DOWNBEAT_WEIGHTS: Final = np.array(
    (
        (-2.23, 0.16, -0.13, 0.63, 0.57, 1.26, 1.09, 0.06, 0.43, 0.47, 0.47),
        (1.48, -0.03, 0.04, -0.31, -0.29, -0.52, -0.24, 0.03, -0.29, 0.10, -0.76),
        (0.82, -0.04, 0.02, -0.31, -0.37, -1.13, -0.31, 0.06, -0.22, 0.03, -0.32),
        (-0.19, 0.06, 0.00, 0.04, -0.15, 0.43, -0.47, -0.10, 0.04, -0.04, 0.35),
        (0.31, 0.06, 0.03, 0.02, -0.03, 0.73, -0.73, -0.08, 0.01, -0.01, -0.03),
    )
)


@dataclass(frozen=True, slots=True)
class Bars:
    """Beats gathered into measures.

    Attributes:
        beats: beats in a measure.
        first_downbeat: index of the first beat that begins a measure, less than `beats`.
        log_likelihood: mean over the beats of the log-probability of what they are called, in nats.
    """

    beats: int
    first_downbeat: int
    log_likelihood: float


def beat_features(performance: Performance, beats_s: FloatArray) -> FloatArray:
    """What is struck on each beat, shape (beats, 11).

    Presence of a chord, its salience, size, loudness, depth below the surroundings, change of harmony
    over one and over two beats, time to the next chord, length, notes in the beat, change of bass.
    """
    count = len(beats_s)
    starts, times = performance.chord_starts, performance.chord_s
    period = np.diff(beats_s, append=2 * beats_s[-1] - beats_s[-2])
    nearest = np.clip(np.searchsorted(beats_s, times), 1, count - 1)
    nearest -= times - beats_s[nearest - 1] < beats_s[nearest] - times
    struck = np.abs(times - beats_s[nearest]) < _NEAR_BEAT * period[nearest]

    def on_beats(values: FloatArray, silent: float) -> FloatArray:
        out = np.full(count, -np.inf)
        np.maximum.at(out, nearest[struck], values[struck])
        return np.where(np.isfinite(out), out, silent)

    sizes = np.diff(np.append(starts, len(performance.pitch)))
    loud = np.maximum.reduceat(performance.velocity, starts).astype(np.float64)
    low = np.minimum.reduceat(performance.pitch, starts).astype(np.float64)
    seconds = np.maximum.reduceat(performance.offset_s - performance.onset_s, starts)
    gap = np.diff(times, append=times[-1] + 1.0)
    usual_loud = float(np.median(loud))
    lowest = -on_beats(-low, np.nan)
    total = np.append(0.0, np.cumsum(low))
    first = np.searchsorted(times, beats_s - 3 * period)
    last = np.maximum(np.searchsorted(times, beats_s + 3 * period), 1)
    around = (total[last] - total[first]) / np.maximum(last - first, 1)
    before = np.append(np.nan, lowest[:-1])
    beat_of = np.clip(np.searchsorted(beats_s, performance.onset_s + 0.03) - 1, 0, count - 1)
    notes = np.bincount(beat_of, minlength=count)
    change_one, change_two = _harmony_changes(performance, beat_of, period)
    return np.stack(
        (
            on_beats(np.ones(len(times)), 0.0),
            on_beats(beat_log_odds(performance), -2.0),
            on_beats(np.minimum(sizes, 6).astype(np.float64), 0.0),
            (on_beats(loud, usual_loud - 15) - usual_loud) / 15,
            np.where(np.isnan(lowest), -0.5, np.clip((around - lowest) / 12, -2, 3)),
            change_one,
            change_two,
            on_beats(np.log2(np.clip(gap / period[nearest], 0.1, 4.0)), -3.3),
            on_beats(np.log2(np.clip(seconds / period[nearest], 0.1, 4.0)), -3.3),
            np.log1p(notes),
            (~np.isnan(lowest) & (lowest != before)).astype(np.float64),
        ),
        axis=1,
    )


def _harmony_changes(
    performance: Performance, beat_of: np.typing.NDArray[np.int64], period: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """One minus the cosine between the pitch classes after and before each beat, over one and two beats."""
    count = len(period)
    seconds = np.minimum(performance.offset_s - performance.onset_s, period[beat_of])
    classes = np.zeros((count + 4, 12))
    np.add.at(classes[2:], (beat_of, performance.pitch % 12), np.sqrt(np.maximum(seconds, 0.03)))
    now, after = classes[2 : count + 2], classes[3 : count + 3]
    before, earlier = classes[1 : count + 1], classes[:count]

    def change(a: FloatArray, b: FloatArray) -> FloatArray:
        norm = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
        return np.asarray(1.0 - (a * b).sum(axis=1) / np.maximum(norm, 1e-9))

    return change(now, before), change(now + after, before + earlier)


def downbeat_log_odds(features: FloatArray) -> FloatArray:
    """Log-odds that each beat begins a measure, shape (beats,), from `beat_features`."""
    index = np.arange(len(features))
    odds = np.full(len(features), _DOWNBEAT_BIAS)
    for shift, weights in zip(_CONTEXT, _DOWNBEAT_WEIGHTS, strict=True):
        odds += features[np.clip(index + shift, 0, len(features) - 1)] @ weights
    return odds


def find_bars(log_odds: FloatArray, beats: int) -> Bars:
    """The likeliest phase of measures of so many beats, given each beat's odds of a downbeat."""
    is_downbeat, is_other = -np.logaddexp(0, -log_odds), -np.logaddexp(0, log_odds)
    phases = min(beats, len(log_odds))
    totals = [float(is_other.sum() + (is_downbeat - is_other)[phase::beats].sum()) for phase in range(phases)]
    best = int(np.argmax(totals))
    return Bars(beats, best, totals[best] / len(log_odds))


def repetition(features: FloatArray, lag: int) -> float:
    """How alike beats are that lie `lag` beats apart: mean correlation of their features, -1 to 1."""
    if len(features) <= lag:
        return 0.0
    spread = features.std(axis=0)
    normal = (features - features.mean(axis=0)) / np.where(spread > 1e-9, spread, 1.0)
    return float((normal[lag:] * normal[:-lag]).mean())
