"""Rhythmic quantisation: from seconds to places in beats.

Each beat gets one subdivision for all that is struck in it, the one whose complexity and misfit cost
least together. Places are counted in ticks, `TICKS` to a beat.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from services.music.performance import FloatArray, IntArray, Performance

TICKS: Final = 120
"""Ticks a beat; divisible by every subdivision in use."""


class Quantise(StrEnum):
    """The finest grid that notes are written on.

    `AUTO` chooses for each beat; `OFF` writes every onset on the nearest 32nd without any choice; the
    others allow binary subdivisions down to their value, and with a `t` triplets of it as well.
    """

    AUTO = "auto"
    OFF = "off"
    EIGHTH = "1/8"
    SIXTEENTH = "1/16"
    THIRTY_SECOND = "1/32"
    EIGHTH_TRIPLET = "1/8t"
    SIXTEENTH_TRIPLET = "1/16t"


_SIMPLE: Final = {1: 0.0, 2: 0.4, 4: 1.2, 3: 1.6, 6: 2.8, 8: 3.2}
_COMPOUND: Final = {1: 0.0, 3: 0.4, 6: 1.2, 2: 2.0, 12: 3.2, 4: 3.6}
_COARSEST: Final = {
    Quantise.EIGHTH: ({1, 2}, {1, 3}),
    Quantise.SIXTEENTH: ({1, 2, 4}, {1, 3, 6}),
    Quantise.THIRTY_SECOND: ({1, 2, 4, 8}, {1, 3, 6, 12}),
    Quantise.EIGHTH_TRIPLET: ({1, 2, 3}, {1, 2, 3}),
    Quantise.SIXTEENTH_TRIPLET: ({1, 2, 4, 3, 6}, {1, 2, 4, 3, 6}),
    Quantise.OFF: ({8}, {12}),
}
_WORST_MISFIT: Final = 6.0
_CROWDED_COST: Final = 1.2


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Notes placed in beats.

    Attributes:
        onset: tick of each note's onset from the first beat on, shape (notes,), not negative.
        end: tick of each note's release, shape (notes,), later than its onset.
        parts: the subdivision of each beat, shape (beats,).
    """

    onset: IntArray
    end: IntArray
    parts: IntArray


def subdivide(
    performance: Performance, beats_s: FloatArray, quantise: Quantise, *, compound: bool
) -> IntArray:
    """The subdivision of each beat, shape (beats,): into how many equal parts."""
    prices = dict(_COMPOUND if compound else _SIMPLE)
    if quantise in _COARSEST:
        allowed = _COARSEST[quantise][1 if compound else 0]
        prices = {parts: price for parts, price in prices.items() if parts in allowed}
    beat, phase = phases(performance.chord_s, beats_s)
    period = np.diff(beats_s, append=2 * beats_s[-1] - beats_s[-2])
    spread = (0.012 + 0.03 * period[beat]) / period[beat]
    costs = []
    for parts, price in prices.items():
        slot = np.rint(phase * parts)
        misfit = np.minimum(0.5 * ((phase - slot / parts) / spread) ** 2, _WORST_MISFIT)
        total = np.bincount(beat, misfit, minlength=len(beats_s)) + price
        place = beat * (max(prices) + 1) + slot.astype(np.int64)
        clash = np.bincount(beat[1:][place[1:] == place[:-1]], minlength=len(beats_s))
        costs.append(total + clash * _CROWDED_COST)
    choices: IntArray = np.array(list(prices), np.int64)
    return np.asarray(choices[np.argmin(np.stack(costs), axis=0)], np.int64)


def phases(times_s: FloatArray, beats_s: FloatArray) -> tuple[IntArray, FloatArray]:
    """Beat index and place inside the beat, 0 to 1, of each time; both of the times' shape."""
    beat = np.clip(np.searchsorted(beats_s, times_s, side="right") - 1, 0, len(beats_s) - 1)
    period = np.diff(beats_s, append=2 * beats_s[-1] - beats_s[-2])
    return beat.astype(np.int64), np.asarray((times_s - beats_s[beat]) / period[beat])


def quantise_notes(performance: Performance, beats_s: FloatArray, parts: IntArray) -> Rhythm:
    """Put every note on the grid of its beat; the notes of a chord fall together."""
    onset = np.maximum(_to_ticks(performance.chord_s, beats_s, parts), 0)[performance.chord]
    end = _to_ticks(performance.offset_s, beats_s, parts)
    shortest = TICKS // parts[np.minimum(onset // TICKS, len(parts) - 1)]
    return Rhythm(onset, np.maximum(end, onset + shortest), parts)


def _to_ticks(times_s: FloatArray, beats_s: FloatArray, parts: IntArray) -> IntArray:
    beat, phase = phases(times_s, beats_s)
    slot = np.rint(np.minimum(phase, 1e6) * parts[beat])
    return (beat * TICKS + slot * (TICKS // parts[beat])).astype(np.int64)
