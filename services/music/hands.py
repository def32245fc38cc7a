"""Hands: which staff each note belongs on.

The lowest notes of every chord go to the left hand, the rest to the right. Where to cut is decided for
the whole piece by a beam search: a logistic model tells for each note which hand its place among the
notes around it suggests (weights fitted on CC0 piano parts), and hands cost effort where they stretch,
leap in little time, or cross.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.music.performance import FloatArray, IntArray, Performance

RIGHT: Final = 1
LEFT: Final = 2

_BEAM: Final = 16
_STRETCH: Final = 12
_STRETCH_COST: Final = 0.5
_LEAP_COST: Final = 0.06
_CROSSING_COST: Final = 1.0
_FINGERS: Final = 5
_LOW_HOME: Final = 48.0
_HIGH_HOME: Final = 72.0

#: Half widths, in seconds, of the windows in which two registers are sought, and what they weigh.
_WINDOWS: Final = ((0.4, 0.98), (1.2, 0.43), (4.0, 0.6))
_HEIGHT: Final = 1.62
_TOP: Final = 0.5
_BOTTOM: Final = -0.22
_GAP_BELOW: Final = -0.62
_GAP_ABOVE: Final = 0.2


@dataclass(frozen=True, slots=True)
class _Hand:
    """Where a hand was last: middle of its notes, and when."""

    middle: float
    time_s: float


@dataclass(slots=True)
class _Path:
    """One way of dividing the chords up to now; `cut` of the last chord's notes went to the left."""

    cost: float
    left: _Hand
    right: _Hand
    cut: int
    before: _Path | None


def assign_staves(performance: Performance) -> IntArray:
    """The staff of every note, shape (notes,): `RIGHT` (1) or `LEFT` (2)."""
    pitches = performance.pitch.tolist()
    if not pitches:
        return np.zeros(0, np.int64)
    bounds = np.append(performance.chord_starts, len(pitches)).tolist()
    odds = right_log_odds(performance)
    as_left = np.append(0.0, np.cumsum(np.logaddexp(0, odds))).tolist()
    as_right = np.append(0.0, np.cumsum(np.logaddexp(0, -odds))).tolist()
    home = _Path(0.0, _Hand(_LOW_HOME, -9.0), _Hand(_HIGH_HOME, -9.0), 0, None)
    beam = [home]
    for number, time_s in enumerate(performance.chord_s.tolist()):
        first, last = bounds[number], bounds[number + 1]
        chord = pitches[first:last]
        costs = [
            as_left[cut]
            - as_left[first]
            + as_right[last]
            - as_right[cut]
            + _stretch_cost(pitches[first:cut])
            + _stretch_cost(pitches[cut:last])
            for cut in range(first, last + 1)
        ]
        beam = _extend(beam, chord, costs, time_s)
    staves = np.full(len(pitches), RIGHT, np.int64)
    path: _Path | None = beam[0]
    for number in range(len(bounds) - 2, -1, -1):
        if path is not None:
            staves[bounds[number] : bounds[number] + path.cut] = LEFT
            path = path.before
    return staves


def _extend(beam: list[_Path], chord: list[int], costs: list[float], time_s: float) -> list[_Path]:
    """The cheapest ways on through one more chord (pitches, lowest first); `costs` are those of each cut."""
    size = len(chord)
    low_middles = [0.0] + [(chord[0] + chord[cut - 1]) / 2 for cut in range(1, size + 1)]
    high_middles = [(chord[cut] + chord[-1]) / 2 for cut in range(size)] + [0.0]
    best: dict[tuple[int, int], _Path] = {}
    for path in beam:
        for cut in range(size + 1):
            left = _Hand(low_middles[cut], time_s) if cut else path.left
            right = _Hand(high_middles[cut], time_s) if cut < size else path.right
            cost = path.cost + costs[cut]
            if cut:
                cost += _move_cost(path.left, left)
            if cut < size:
                cost += _move_cost(path.right, right)
            if left.middle > right.middle:
                cost += _CROSSING_COST + 0.1 * (left.middle - right.middle)
            where = (round(left.middle), round(right.middle))
            if where not in best or cost < best[where].cost:
                best[where] = _Path(cost, left, right, cut, path)
    return sorted(best.values(), key=lambda path: path.cost)[:_BEAM]


def _stretch_cost(notes: list[int]) -> float:
    """What it costs a hand to hold these notes (lowest first) at once."""
    if not notes:
        return 0.0
    return _STRETCH_COST * max(0, notes[-1] - notes[0] - _STRETCH) + 2.0 * max(0, len(notes) - _FINGERS)


def _move_cost(before: _Hand, after: _Hand) -> float:
    """A leap costs by its width, less if there is time for it."""
    leap = abs(after.middle - before.middle)
    return _LEAP_COST * leap / (0.5 + min(after.time_s - before.time_s, 4.0))


def right_log_odds(performance: Performance) -> FloatArray:
    """Log-odds that each note is the right hand's, from its place among its neighbours, shape (notes,)."""
    pitch = performance.pitch.astype(np.float64)
    starts, chord = performance.chord_starts, performance.chord
    rank = np.arange(len(pitch)) - starts[chord]
    size = np.diff(np.append(starts, len(pitch)))[chord]
    bottom, top = rank == 0, rank == size - 1
    below = np.where(bottom, 0.0, pitch - np.append(pitch[:1], pitch[:-1]))
    above = np.where(top, 0.0, np.append(pitch[1:], pitch[-1:]) - pitch)
    odds = 0.1 + _HEIGHT * (pitch - 60) / 12
    odds += _GAP_BELOW * np.minimum(below, 12) / 12 + _GAP_ABOVE * np.minimum(above, 12) / 12
    odds += (size > 1) * (_TOP * top + _BOTTOM * bottom)
    for reach_s, weight in _WINDOWS:
        middle, distance = _registers(performance, reach_s)
        odds += weight * np.tanh((pitch - middle[chord]) / 3) * np.minimum(distance[chord], 24) / 12
    return np.asarray(odds)


def _registers(performance: Performance, reach_s: float) -> tuple[FloatArray, FloatArray]:
    """The best division of the notes around each chord into a low and a high group.

    Returns:
        The pitch halfway between the groups' means, and the distance of the means, each of shape
        (chords,): the division with the greatest variance between groups (Otsu 1979).
    """
    times = performance.chord_s
    first = np.searchsorted(performance.onset_s, times - reach_s).tolist()
    last = np.searchsorted(performance.onset_s, times + reach_s, side="right").tolist()
    middle, distance = np.full(len(times), 60.0), np.zeros(len(times))
    for i in range(len(times)):
        around = np.sort(performance.pitch[first[i] : last[i]])
        count = len(around)
        if count < 2 or around[0] == around[-1]:
            continue
        total = np.cumsum(around)
        low = np.arange(1, count)
        mean_low = total[:-1] / low
        mean_high = (total[-1] - total[:-1]) / (count - low)
        between = low * (count - low) * (mean_high - mean_low) ** 2 * (around[1:] > around[:-1])
        best = int(np.argmax(between))
        middle[i] = (mean_low[best] + mean_high[best]) / 2
        distance[i] = mean_high[best] - mean_low[best]
    return middle, distance
