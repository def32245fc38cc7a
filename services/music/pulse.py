"""The pulse: which of the possible beats is felt, and how it is gathered and divided.

The same notes can be heard at half or double tempo, in two or in three. Beats are tracked at several
levels; each, with each number of beats in a measure and either division of the beat, is a reading.
A small network weighs what speaks for each reading, and the best is taken. It was fitted on performances
of CC0 piano parts by `pipelines/evaluation/notation_fit.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
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
_SLOWEST_SIMPLE_S: Final = 1.35
_SLOWEST_COMPOUND_S: Final = 1.6
_SHORTEST_BAR_S: Final = 0.75
_LONGEST_BAR_S: Final = 8.0
_CLIP: Final = 4.0
"""Evidence further than so many standard deviations from its mean counts as so far."""

_EXCERPT_CHORDS: Final = 4000
"""Of longer works the beginning alone decides which reading is taken."""

_REACH: Final = 1.35

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
    return [reading for reading in found if _is_plausible(reading)] or found


def _is_plausible(reading: Reading) -> bool:
    """Whether people write beats and measures of such lengths."""
    beat_s = float(np.median(np.diff(reading.pulse.beats_s)))
    slowest_s = _SLOWEST_COMPOUND_S if reading.metre.is_compound else _SLOWEST_SIMPLE_S
    return beat_s < slowest_s and _SHORTEST_BAR_S < beat_s * reading.bars.beats < _LONGEST_BAR_S


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
    scores = _scores(np.stack([reading.evidence for reading in found]))
    weights = np.exp(scores - scores.max())
    best = found[int(np.argmax(scores))]
    same = np.array([reading.metre == best.metre for reading in found])
    confidence = float(weights[same].sum() / weights.sum())
    return replace(best, metre=replace(best.metre, confidence=confidence))


@cache
def _network() -> dict[str, FloatArray]:
    """The fitted network: centre and scale of the evidence, one hidden layer, and direct weights."""
    text = Path(__file__).with_name("readings.json").read_text(encoding="utf-8")
    return {name: np.array(values, np.float64) for name, values in json.loads(text).items()}


def _scores(evidence: FloatArray) -> FloatArray:
    """What the network makes of each reading's evidence, shape (readings, evidence) to (readings,)."""
    network = _network()
    inputs = np.clip((evidence - network["mean"]) / network["spread"], -_CLIP, _CLIP)
    hidden = np.tanh(inputs @ network["hidden"] + network["bias"])
    return np.asarray(hidden @ network["out"] + inputs @ network["direct"])


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
