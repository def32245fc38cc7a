"""Hands: which staff each note belongs on.

The lowest notes of every chord go to the left hand, the rest to the right; where to cut is decided for
the whole piece by a beam search over the cost of playing it: wide stretches, leaps in little time,
hands that cross or play far outside their half of the keyboard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.music.performance import IntArray, Performance

RIGHT: Final = 1
LEFT: Final = 2

_BEAM: Final = 16
_STRETCH: Final = 12
_FINGERS: Final = 5
_LOW_HOME: Final = 48.0
_HIGH_HOME: Final = 72.0


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
    home = _Path(0.0, _Hand(_LOW_HOME, -9.0), _Hand(_HIGH_HOME, -9.0), 0, None)
    beam = [home]
    for number, time_s in enumerate(performance.chord_s.tolist()):
        beam = _extend(beam, pitches[bounds[number] : bounds[number + 1]], time_s)
    staves = np.full(len(pitches), RIGHT, np.int64)
    path: _Path | None = beam[0]
    for number in range(len(bounds) - 2, -1, -1):
        if path is not None:
            staves[bounds[number] : bounds[number] + path.cut] = LEFT
            path = path.before
    return staves


def _extend(beam: list[_Path], chord: list[int], time_s: float) -> list[_Path]:
    """The cheapest ways on from those so far, through one more chord (pitches, lowest first)."""
    size = len(chord)
    shapes = [_shape_cost(chord[:cut], LEFT) + _shape_cost(chord[cut:], RIGHT) for cut in range(size + 1)]
    low_middles = [0.0] + [(chord[0] + chord[cut - 1]) / 2 for cut in range(1, size + 1)]
    high_middles = [(chord[cut] + chord[-1]) / 2 for cut in range(size)] + [0.0]
    best: dict[tuple[int, int], _Path] = {}
    for path in beam:
        for cut in range(size + 1):
            left = _Hand(low_middles[cut], time_s) if cut else path.left
            right = _Hand(high_middles[cut], time_s) if cut < size else path.right
            cost = path.cost + shapes[cut]
            if cut:
                cost += _move_cost(path.left, left)
            if cut < size:
                cost += _move_cost(path.right, right)
            if left.middle > right.middle:
                cost += 1.0 + 0.1 * (left.middle - right.middle)
            where = (round(left.middle), round(right.middle))
            if where not in best or cost < best[where].cost:
                best[where] = _Path(cost, left, right, cut, path)
    return sorted(best.values(), key=lambda path: path.cost)[:_BEAM]


def _shape_cost(notes: list[int], staff: int) -> float:
    """What it costs a hand to hold these notes (lowest first) at once, wherever it comes from."""
    if not notes:
        return 0.0
    stretch = notes[-1] - notes[0]
    cost = 0.5 * max(0, stretch - _STRETCH) + 2.0 * max(0, len(notes) - _FINGERS)
    middle = (notes[0] + notes[-1]) / 2
    outside = middle - 60 if staff == LEFT else 60 - middle
    return cost + (0.06 * outside if outside > 0 else 0.0)


def _move_cost(before: _Hand, after: _Hand) -> float:
    """A leap costs by its width, less if there is time for it."""
    leap = abs(after.middle - before.middle)
    return 0.06 * leap / (0.5 + min(after.time_s - before.time_s, 4.0))
