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
from services.music.salience import beat_log_odds

_USUAL_BEAT_S: Final = 0.62
_SILENCE_S: Final = 6.0
_RUBATO: Final = 0.08
_EARLY_END_COST: Final = 1e6
_VIRTUAL_COST: Final = 1.7
_SKIP_COST: Final = 1.9
_BEAT_WEIGHT: Final = 1.0
_CROWDED_COST: Final = 1.5
_WORST_MISFIT: Final = 3.6
_CHUNK: Final = 65_536

_FINEST_FRACTION_S: Final = 0.14
_FINEST_FRACTION: Final = 8
"""Between two chords a beat may pass at fractions of the gap, down to eighths of it and this time."""

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


@dataclass(frozen=True, slots=True)
class TempoRange:
    """Which periods beats may have, in seconds, and which is likeliest.

    Attributes:
        likely_s: the likeliest period.
        width: standard deviation around it, as a natural logarithm of the ratio.
        shortest_s: no beat is shorter.
        longest_s: no beat is longer.
    """

    likely_s: float = _USUAL_BEAT_S
    width: float = 0.42
    shortest_s: float = 0.25
    longest_s: float = 1.7

    @classmethod
    def around(cls, period_s: float, width: float = 0.25, reach: float = 1.5) -> TempoRange:
        """Periods near a given one, no further than by a factor of `reach`."""
        return cls(period_s, width, period_s / reach, period_s * reach)


@dataclass(frozen=True, slots=True)
class Pulse:
    """A series of beats.

    Attributes:
        beats_s: times in seconds, strictly increasing, shape (beats,).
        cost: what it costs to describe the notes by it, in nats a second; less is better.
    """

    beats_s: FloatArray
    cost: float


def track_beats(performance: Performance, tempo: TempoRange) -> Pulse:
    """The best series of beats with periods in a range; covers every note.

    Args:
        performance: at least one note.
        tempo: the range of periods.

    Returns:
        At least two beats, the first at or before the first chord, the last after the last chord.
    """
    strength = beat_log_odds(performance)
    times = performance.chord_s
    breaks = np.flatnonzero(np.diff(times) > _SILENCE_S) + 1
    sections = [
        _track_section(times[part], strength[part], tempo) for part in np.split(np.arange(len(times)), breaks)
    ]
    beats = _join([beats for beats, _ in sections], times, tempo)
    return Pulse(beats, sum(cost for _, cost in sections) / max(float(times[-1] - times[0]), tempo.likely_s))


def _track_section(times: FloatArray, strength: FloatArray, tempo: TempoRange) -> tuple[FloatArray, float]:
    """Beats of a stretch without long silences, and their cost; they may leave out its very ends."""
    if len(times) < 3 or times[-1] - times[0] < 2 * tempo.shortest_s:
        return times[:1], 0.0
    candidates = _candidates(times, strength)
    spans = _spans(candidates, times, strength, tempo)
    if len(spans.start) == 0:
        return times[:1], 0.0
    path, cost = _best_path(candidates, spans, tempo.longest_s)
    return candidates.time_s[path], cost


def _candidates(times: FloatArray, strength: FloatArray) -> _Candidates:
    """The chords, and simple fractions of the gaps between them (where a beat may pass in silence)."""
    extra: list[FloatArray] = []
    for before, gap in zip(times[:-1].tolist(), np.diff(times).tolist(), strict=True):
        finest = min(int(gap / _FINEST_FRACTION_S), _FINEST_FRACTION)
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
    for finest in range(2, _FINEST_FRACTION + 1)
}


def _spans(
    candidates: _Candidates,
    chords_s: FloatArray,
    strength: FloatArray,
    tempo: TempoRange,
) -> _Spans:
    time_s = candidates.time_s
    first = np.searchsorted(time_s, time_s + tempo.shortest_s)
    last = np.searchsorted(time_s, time_s + tempo.longest_s, side="right")
    count = last - first
    start = np.repeat(np.arange(len(time_s)), count)
    end = np.arange(len(start)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    period = time_s[end] - time_s[start]
    log_period = np.log(period)
    cost = 0.5 * ((log_period - np.log(tempo.likely_s)) / tempo.width) ** 2
    cost += np.where(
        candidates.real[end] == 1, _BEAT_WEIGHT * np.logaddexp(0, -candidates.strength[end]), _VIRTUAL_COST
    )
    inner_first = np.searchsorted(chords_s, time_s[start] + 1e-9, side="right")
    inner_last = np.searchsorted(chords_s, time_s[end] - 1e-9)
    for chunk in range(0, len(start), _CHUNK):
        part = slice(chunk, chunk + _CHUNK)
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
    loud = _BEAT_WEIGHT * np.logaddexp(0, strength[chord])
    best = np.where(inner == 0, 0.0, np.inf)
    for parts, price in _GRIDS:
        if parts == 1:
            continue
        slot = np.clip(np.rint(phase * parts), 0, parts)
        misfit = np.minimum(0.5 * ((phase - slot / parts) / spread) ** 2, _WORST_MISFIT)
        on_beat = (slot == 0) | (slot == parts)
        each = misfit + on_beat * _CROWDED_COST + loud
        crowded = np.maximum(inner - (parts - 1), 0) * _CROWDED_COST
        total = np.bincount(owner, each, minlength=len(inner)) + price + crowded
        best = np.where(inner == 0, best, np.minimum(best, total))
    return np.asarray(best)


def _best_path(candidates: _Candidates, spans: _Spans, longest: float) -> tuple[IntArray, float]:
    """Indices of the candidates on the cheapest path, and its cost."""
    time_s = candidates.time_s
    count = len(time_s)
    out_first = np.searchsorted(spans.start, np.arange(count + 1))
    by_end = np.argsort(spans.end, kind="stable")
    in_first = np.searchsorted(spans.end[by_end], np.arange(count + 1))
    chords_before = np.cumsum(candidates.real) - candidates.real
    total = np.full(len(spans.start), np.inf)
    previous = np.full(len(spans.start), -1, np.int64)
    may_start = time_s <= time_s[spans.start[0]] + longest
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
    # Ending early is for those that cannot get on: it would be the cheapest way out otherwise.
    early = time_s[spans.end] < time_s[-1] - longest
    closing = total + after[spans.end] * _SKIP_COST + early * _EARLY_END_COST
    step = int(np.argmin(closing))
    cost = float(closing[step])
    path = [int(spans.end[step])]
    while step >= 0:
        path.append(int(spans.start[step]))
        step = int(previous[step])
    return np.array(path[::-1], np.int64), cost


def _join(sections: list[FloatArray], chords_s: FloatArray, tempo: TempoRange) -> FloatArray:
    """One series of beats out of those of the sections: silences are filled at the tempo around them."""
    periods = np.concatenate([np.diff(beats) for beats in sections])
    usual = float(np.median(periods)) if len(periods) else tempo.likely_s
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
