"""The pulse: which of the possible beats is felt, and how it is gathered and divided.

The same notes can be heard at half or double tempo, in two or in three. Beats are tracked at several
levels; each, with each number of beats in a measure and either division of the beat, is a reading.
A log-linear model weighs what speaks for each reading and takes the best.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from services.music.beats import Pulse, TempoRange, track_beats
from services.music.metre import (
    Bars,
    beat_features,
    downbeat_log_odds,
    find_bars,
    repetition,
)
from services.music.performance import FloatArray, Performance
from services.music.rhythm import Quantise, subdivide
from services.music.score import Metre

_RATIOS: Final = (1 / 2, 2.0, 1 / 3, 3.0, 2 / 3, 3 / 2)
_SHORTEST_S: Final = 0.22
_LONGEST_S: Final = 2.0
_SHORTEST_BAR_S: Final = 0.75
_LONGEST_BAR_S: Final = 8.0
_EXCERPT_CHORDS: Final = 4000
"""Of longer works the beginning alone decides which reading is taken."""

_REACH: Final = 1.35

# Fitted on performances of CC0 piano parts: the log-linear weight of each piece of evidence.
_WEIGHTS: Final = np.array(
    (
        -0.129,  # cost of the beats, nats a second
        6.945,  # beats with a chord on them
        2.036,  # mean salience on the beats
        -2.899,  # log of the notes in a beat
        -0.647,  # beats not divided
        -0.308,  # beats divided finely
        -37.941,  # unsteadiness of the tempo
        5.405,  # log-likelihood of the bars, a beat
        -1.121,  # the same, a second
        0.847,  # repetition after a bar against other lags
        1.269,  # repetition after a bar
        0.490,  # duple or triple repetition
        0.592,  # simple: log beat length
        -2.002,  # its square
        0.265,  # compound: log beat length
        -0.666,  # its square
        0.001,  # log bar length
        -0.201,  # its square
        2.518,  # compound: share of beats in three
        -1.050,  # simple: share of beats in three
        0.314,  # simple: most beats in three
        0.941,  # 2/4
        0.971,  # 3/4
        1.269,  # 4/4
        0.911,  # 3/8
        -0.479,  # 6/8
        -1.445,  # 9/8
        -2.168,  # 12/8
    )
)

#: Beats in a measure, and whether they divide into three, as time signatures.
SIGNATURES: Final = {
    (2, False): (2, 4),
    (3, False): (3, 4),
    (4, False): (4, 4),
    (1, True): (3, 8),
    (2, True): (6, 8),
    (3, True): (9, 8),
    (4, True): (12, 8),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to hear the beats.

    Attributes:
        pulse: the beats.
        bars: how they form measures.
        metre: the time signature.
        evidence: what speaks for and against it, shape (evidence,).
    """

    pulse: Pulse
    bars: Bars
    metre: Metre
    evidence: FloatArray


def readings(performance: Performance, tempo_bpm: float | None) -> list[Reading]:
    """All readings that are weighed; at least one note is needed."""
    found: list[Reading] = []
    for pulse in _pulses(performance, tempo_bpm):
        found.extend(_readings_of(performance, pulse))
    return [reading for reading in found if _has_plausible_bars(reading)] or found


def _has_plausible_bars(reading: Reading) -> bool:
    beat_s = float(np.median(np.diff(reading.pulse.beats_s)))
    return _SHORTEST_BAR_S < beat_s * reading.bars.beats < _LONGEST_BAR_S


def find_pulse(performance: Performance, tempo_bpm: float | None = None) -> Reading:
    """The likeliest reading of a performance with at least one note.

    Args:
        performance: the notes.
        tempo_bpm: beats a minute, where known; the beats then stay near it.

    Returns:
        The reading; its metre's confidence is the probability of that metre under the model.
    """
    if len(performance.chord_s) > _EXCERPT_CHORDS:
        return _extended(performance, find_pulse(performance.head(_EXCERPT_CHORDS), tempo_bpm))
    found = readings(performance, tempo_bpm)
    scores = np.array([float(reading.evidence @ _WEIGHTS) for reading in found])
    weights = np.exp(scores - scores.max())
    best = found[int(np.argmax(scores))]
    same = np.array([reading.metre == best.metre for reading in found])
    confidence = float(weights[same].sum() / weights.sum())
    return replace(best, metre=replace(best.metre, confidence=confidence))


def _extended(performance: Performance, reading: Reading) -> Reading:
    """The reading of a long performance, given that of its beginning."""
    period = float(np.median(np.diff(reading.pulse.beats_s)))
    pulse = track_beats(performance, TempoRange.around(period, reach=_REACH))
    odds = downbeat_log_odds(beat_features(performance, pulse.beats_s))
    return replace(reading, pulse=pulse, bars=find_bars(odds, reading.bars.beats))


def _pulses(performance: Performance, tempo_bpm: float | None) -> list[Pulse]:
    if tempo_bpm is not None:
        return [track_beats(performance, TempoRange.around(60 / tempo_bpm, 0.15))]
    free = track_beats(performance, TempoRange())
    period = float(np.median(np.diff(free.beats_s)))
    pulses = [free]
    for ratio in _RATIOS:
        if _SHORTEST_S < period * ratio < _LONGEST_S:
            pulses.append(track_beats(performance, TempoRange.around(period * ratio, reach=_REACH)))
    return pulses


def _readings_of(performance: Performance, pulse: Pulse) -> list[Reading]:
    beats = pulse.beats_s
    features = beat_features(performance, beats)
    odds = downbeat_log_odds(features)
    parts = subdivide(performance, beats, Quantise.AUTO, compound=False)
    divided = np.maximum((parts > 1).sum(), 1)
    three = float((parts % 3 == 0).sum() / divided)
    period = float(np.median(np.diff(beats)))
    unsteady = float(np.mean(np.abs(np.diff(np.log(np.diff(beats)))))) if len(beats) > 2 else 0.0
    similar = {lag: repetition(features, lag) for lag in (1, 2, 3, 4, 6)}
    shared = [
        pulse.cost,
        float(features[:, 0].mean()),
        float(features[:, 1].mean()),
        float(features[:, 9].mean()),
        float((parts == 1).mean()),
        float(np.isin(parts, (6, 8)).mean()),
        unsteady,
    ]
    found = []
    for (count, compound), (beats_in, beat_type) in SIGNATURES.items():
        bars = find_bars(odds, count)
        evidence = np.array([*shared, *_own_evidence(count, compound, bars, period, three, similar)])
        found.append(Reading(pulse, bars, Metre(beats_in, beat_type), evidence))
    return found


def _own_evidence(
    count: int, compound: bool, bars: Bars, period: float, three: float, similar: dict[int, float]
) -> list[float]:
    """The evidence that tells readings of one pulse apart."""
    log_beat, log_bar = np.log(period / 0.65), np.log(period * count / 2.0)
    others = [similar[lag] for lag in (2, 3, 4) if lag != count]
    kinds = [float((count, compound) == kind) for kind in SIGNATURES]
    return [
        bars.log_likelihood,
        bars.log_likelihood / period,
        similar[count] - max(others),
        similar[count],
        similar[3] if count == 3 else max(similar[2], similar[4]) - similar[3],
        (1 - compound) * log_beat,
        (1 - compound) * log_beat**2,
        compound * log_beat,
        compound * log_beat**2,
        log_bar,
        log_bar**2,
        compound * three,
        (1 - compound) * three,
        (1 - compound) * (three > 0.5),
        *kinds,
    ]
