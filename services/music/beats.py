"""Beat tracking on performed notes.

A path of beats is searched through candidate times (the chords, and plausible points between them) by
dynamic programming over pairs of neighbouring beats, so that each step knows its period and the one
before: a semi-Markov form of Temperley's metrical model (*Music and Probability*, 2007, ch. 3; 2009).
A beat costs what it takes to describe the notes inside it: which subdivision fits them, how far they
lie from its grid, how strong they are; changes of period and unlikely tempi cost too. Because every
path explains the same notes, the search also settles which of half, normal and double tempo is felt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.music.performance import FloatArray, IntArray, Performance

SHORTEST_BEAT_S: Final = 0.25
LONGEST_BEAT_S: Final = 1.7
_LIKELY_BEAT_S: Final = 0.62
_PRIOR_WIDTH: Final = 0.42
_HINT_WIDTH: Final = 0.12
_HINT_RANGE: Final = 1.6

_SILENCE_S: Final = 6.0
_RUBATO: Final = 0.08
_VIRTUAL_COST: Final = 1.3
_SKIP_COST: Final = 1.2
_STRENGTH_WEIGHT: Final = 1.0
_INSIDE_WEIGHT: Final = 0.3
_CROWDED_COST: Final = 1.5
_WORST_MISFIT: Final = 6.0
_CHUNK: Final = 4096

#: Subdivisions of a beat and what choosing each costs.
_GRIDS: Final = ((1, 0.0), (2, 0.5), (4, 1.2), (3, 1.4), (6, 2.4), (8, 2.6))


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Times at which a beat may fall. Shapes (candidates,).

    `chord` is the index of the chord struck there, or of the last one before; `strength` is 0 between chords.
    """

    time_s: FloatArray
    real: IntArray
    strength: FloatArray


@dataclass(frozen=True, slots=True)
class _Spans:
    """Possible beats, from one candidate to another, ordered by `start`. Shapes (spans,)."""

    start: IntArray
    end: IntArray
    log_period: FloatArray
    cost: FloatArray


def track_beats(performance: Performance, tempo_bpm: float | None = None) -> FloatArray:
    """Times of the beats in seconds, strictly increasing; covers every note.

    Args:
        performance: the notes.
        tempo_bpm: the tempo, where it is known; the beats then stay near it.

    Returns:
        At least two beats, the first at or before the first chord, the last after the last chord;
        none where there are no notes.
    """
    if len(performance.chord_s) == 0:
        return np.zeros(0)
    strength = chord_strengths(performance)
    times = performance.chord_s
    breaks = np.flatnonzero(np.diff(times) > _SILENCE_S) + 1
    tracked: list[FloatArray] = []
    for part in np.split(np.arange(len(times)), breaks):
        tracked.append(_track_section(times[part], strength[part], tempo_bpm))
    return _join(tracked, times, tempo_bpm)


def chord_strengths(performance: Performance) -> FloatArray:
    """How much each chord sounds like a beat, shape (chords,), about 0 to 3.

    Counts size, loudness against the surroundings, a bass note, and the time to the next chord.
    """
    starts = performance.chord_starts
    sizes = np.diff(np.append(starts, len(performance.pitch)))
    loud = np.maximum.reduceat(performance.velocity, starts).astype(np.float64)
    lowest = np.minimum.reduceat(performance.pitch, starts).astype(np.float64)
    times = performance.chord_s
    gap = np.diff(times, append=times[-1] + 1.0)
    first = np.searchsorted(times, times - 1.2)
    last = np.searchsorted(times, times + 1.2, side="right")
    means = [_window_mean(values, first, last) for values in (loud, lowest, gap)]
    size_term = 0.35 * np.minimum(sizes - 1, 3)
    loud_term = np.clip((loud - means[0]) / 20, -0.6, 0.6)
    bass_term = np.clip((means[1] - lowest) / 12, -0.5, 1.0) * 0.7
    gap_term = np.clip(np.log2(gap / means[2]), -1.0, 1.5) * 0.5
    return np.asarray(0.5 + size_term + loud_term + bass_term + gap_term)


def _window_mean(values: FloatArray, first: IntArray, last: IntArray) -> FloatArray:
    total = np.concatenate(([0.0], np.cumsum(values)))
    return np.asarray((total[last] - total[first]) / (last - first))


def _track_section(times: FloatArray, strength: FloatArray, tempo_bpm: float | None) -> FloatArray:
    """Beats of a stretch without long silences; may begin after the first chord and end before the last."""
    shortest, longest = _period_range(tempo_bpm)
    if len(times) < 3 or times[-1] - times[0] < 2 * shortest:
        return times[:1]
    candidates = _candidates(times, strength)
    spans = _spans(candidates, times, strength, shortest, longest, tempo_bpm)
    if len(spans.start) == 0:
        return times[:1]
    return candidates.time_s[_best_path(candidates, spans, longest)]


def _period_range(tempo_bpm: float | None) -> tuple[float, float]:
    if tempo_bpm is None:
        return SHORTEST_BEAT_S, LONGEST_BEAT_S
    period = 60 / tempo_bpm
    return period / _HINT_RANGE, period * _HINT_RANGE


def _candidates(times: FloatArray, strength: FloatArray) -> _Candidates:
    """The chords, and simple fractions of the gaps between them (where a beat may pass in silence)."""
    extra: list[FloatArray] = []
    for before, gap in zip(times[:-1].tolist(), np.diff(times).tolist(), strict=True):
        finest = min(int(gap / 0.14), 12)
        if finest >= 2:
            extra.append(before + gap * _FRACTIONS[finest])
    virtual = np.concatenate(extra) if extra else np.zeros(0)
    time_s = np.concatenate((times, virtual))
    order = np.argsort(time_s, kind="stable")
    real = np.concatenate((np.ones(len(times), np.int64), np.zeros(len(virtual), np.int64)))
    strengths = np.concatenate((strength, np.zeros(len(virtual))))
    return _Candidates(time_s[order], real[order], strengths[order])


_FRACTIONS: Final = {
    finest: np.unique(np.concatenate([np.arange(1, n) / n for n in range(2, finest + 1)]).round(9))
    for finest in range(2, 13)
}


def _spans(
    candidates: _Candidates,
    chords_s: FloatArray,
    strength: FloatArray,
    shortest: float,
    longest: float,
    tempo_bpm: float | None,
) -> _Spans:
    time_s = candidates.time_s
    first = np.searchsorted(time_s, time_s + shortest)
    last = np.searchsorted(time_s, time_s + longest, side="right")
    count = last - first
    start = np.repeat(np.arange(len(time_s)), count)
    end = np.arange(len(start)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    period = time_s[end] - time_s[start]
    likely, width = (_LIKELY_BEAT_S, _PRIOR_WIDTH) if tempo_bpm is None else (60 / tempo_bpm, _HINT_WIDTH)
    log_period = np.log(period)
    cost = 0.5 * ((log_period - np.log(likely)) / width) ** 2
    cost += np.where(candidates.real[end] == 1, -_STRENGTH_WEIGHT * candidates.strength[end], _VIRTUAL_COST)
    inner_first = np.searchsorted(chords_s, time_s[start] + 1e-9, side="right")
    inner_last = np.searchsorted(chords_s, time_s[end] - 1e-9)
    for chunk in range(0, len(start), _CHUNK * 16):
        part = slice(chunk, chunk + _CHUNK * 16)
        cost[part] += _inside_cost(
            chords_s, strength, time_s[start[part]], period[part], inner_first[part], inner_last[part]
        )
    return _Spans(start, end, log_period, cost)


def _inside_cost(
    chords_s: FloatArray,
    strength: FloatArray,
    start_s: FloatArray,
    period: FloatArray,
    first: IntArray,
    last: IntArray,
) -> FloatArray:
    """Cost of the chords inside each span on the subdivision that suits them best, shape (spans,)."""
    inner = last - first
    owner = np.repeat(np.arange(len(inner)), inner)
    chord = np.arange(len(owner)) - np.repeat(np.cumsum(inner) - inner, inner) + np.repeat(first, inner)
    phase = (chords_s[chord] - start_s[owner]) / period[owner]
    spread = (0.015 + 0.03 * period)[owner] / period[owner]
    weight = 0.6 + 0.4 * np.maximum(strength[chord], 0.0)
    loud = _INSIDE_WEIGHT * np.maximum(strength[chord], 0.0)
    best = np.where(inner == 0, 0.0, np.inf)
    for parts, price in _GRIDS:
        if parts == 1:
            continue
        slot = np.clip(np.rint(phase * parts), 0, parts)
        misfit = np.minimum(0.5 * ((phase - slot / parts) / spread) ** 2, _WORST_MISFIT)
        on_beat = (slot == 0) | (slot == parts)
        each = misfit * weight + on_beat * _CROWDED_COST + loud
        crowded = np.maximum(inner - (parts - 1), 0) * _CROWDED_COST
        total = np.bincount(owner, each, minlength=len(inner)) + price + crowded
        best = np.where(inner == 0, best, np.minimum(best, total))
    return np.asarray(best)


def _best_path(candidates: _Candidates, spans: _Spans, longest: float) -> IntArray:
    """Indices of the candidates on the cheapest path."""
    time_s = candidates.time_s
    count = len(time_s)
    out_first = np.searchsorted(spans.start, np.arange(count + 1))
    by_end = np.argsort(spans.end, kind="stable")
    in_first = np.searchsorted(spans.end[by_end], np.arange(count + 1))
    chords_before = np.cumsum(candidates.real) - candidates.real
    total = np.full(len(spans.start), np.inf)
    previous = np.full(len(spans.start), -1, np.int64)
    may_start = time_s <= time_s[0] + longest
    stiffness = 0.5 / _RUBATO**2
    for i in range(count):
        out = slice(out_first[i], out_first[i + 1])
        if out.start == out.stop:
            continue
        reach = np.full(out.stop - out.start, np.inf)
        if may_start[i]:
            reach[:] = chords_before[i] * _SKIP_COST + (0 if candidates.real[i] else _VIRTUAL_COST)
        incoming = by_end[in_first[i] : in_first[i + 1]]
        if len(incoming):
            change = (spans.log_period[out][None, :] - spans.log_period[incoming][:, None]) ** 2
            paths = total[incoming][:, None] + stiffness * change
            best = np.argmin(paths, axis=0)
            cheapest = paths[best, np.arange(paths.shape[1])]
            better = cheapest < reach
            previous[out] = np.where(better, incoming[best], -1)
            reach = np.where(better, cheapest, reach)
        total[out] = reach + spans.cost[out]
    after = candidates.real.sum() - np.cumsum(candidates.real)
    may_end = time_s >= time_s[-1] - longest
    closing = np.where(may_end[spans.end], total + after[spans.end] * _SKIP_COST, np.inf)
    step = int(np.argmin(closing))
    path = [int(spans.end[step])]
    while step >= 0:
        path.append(int(spans.start[step]))
        step = int(previous[step])
    return np.array(path[::-1], np.int64)


def _join(sections: list[FloatArray], chords_s: FloatArray, tempo_bpm: float | None) -> FloatArray:
    """One series of beats out of those of the sections: silences are filled at the tempo around them."""
    periods = np.concatenate([np.diff(beats) for beats in sections])
    if len(periods):
        usual = float(np.median(periods))
    else:
        usual = 60 / tempo_bpm if tempo_bpm is not None else _LIKELY_BEAT_S
    joined = sections[0]
    for beats in sections[1:]:
        steps = max(1, round(float(beats[0] - joined[-1]) / usual))
        joined = np.concatenate((joined, np.linspace(joined[-1], beats[0], steps + 1)[1:-1], beats))
    before = float(np.median(np.diff(joined)[:4])) if len(joined) > 1 else usual
    after = float(np.median(np.diff(joined)[-4:])) if len(joined) > 1 else usual
    lead = max(0, int(np.ceil((joined[0] - chords_s[0]) / before - 1e-6)))
    tail = max(1, int(np.floor((chords_s[-1] - joined[-1]) / after + 1e-6)) + 1)
    return np.concatenate(
        (
            joined[0] - before * np.arange(lead, 0, -1),
            joined,
            joined[-1] + after * np.arange(1, tail + 1),
        )
    )
