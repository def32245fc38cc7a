"""The performance as arrays: cleaned, sorted, and gathered into chords that were struck together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.errors import NotationError
from services.music.notes import Note

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_CHORD_GAP_S: Final = 0.025
"""Successive strikes closer than this belong to one chord ..."""

_CHORD_SPREAD_S: Final = 0.045
"""... as long as the whole chord is no wider than this."""

_REPEAT_S: Final = 0.035
"""The same pitch twice within this time is one note seen twice: no finger repeats so fast."""

_SHORTEST_S: Final = 0.01
_LONGEST_S: Final = 24 * 3600.0
_LOWEST_WRITTEN: Final = 12
_LEAVE_OUT: Final = "Leave such notes out."


@dataclass(frozen=True, slots=True)
class Performance:
    """Performed notes in order of onset and pitch. All note arrays have shape (notes,).

    Attributes:
        onset_s: when each note is struck, in seconds.
        offset_s: when each note is damped, in seconds; after its onset.
        pitch: MIDI numbers.
        velocity: 1 to 127.
        source: index of each note in the sequence that it came from.
        chord: index of the chord that each note belongs to, non-decreasing from 0.
        chord_s: time of each chord in seconds, shape (chords,), strictly increasing.
    """

    onset_s: FloatArray
    offset_s: FloatArray
    pitch: IntArray
    velocity: IntArray
    source: IntArray
    chord: IntArray
    chord_s: FloatArray

    @property
    def chord_starts(self) -> IntArray:
        """Index of the first note of every chord, shape (chords,)."""
        return np.flatnonzero(np.diff(self.chord, prepend=-1))

    def head(self, chords: int) -> Performance:
        """The first so many chords alone."""
        last = int(np.searchsorted(self.chord, chords))
        return Performance(
            self.onset_s[:last],
            self.offset_s[:last],
            self.pitch[:last],
            self.velocity[:last],
            self.source[:last],
            self.chord[:last],
            self.chord_s[:chords],
        )


def gather(notes: Sequence[Note]) -> Performance:
    """Clean the notes and gather them into chords.

    Args:
        notes: performed notes in any order. Those below C0 (MIDI 12) cannot be written down and
            are left out.

    Raises:
        NotationError: a time is not finite or beyond a day, or a pitch lies outside MIDI's 0 to 127.
    """
    for note in notes:
        if not (math.isfinite(note.onset_s) and math.isfinite(note.offset_s)):
            raise NotationError("A note's time is not a finite number.", remedy=_LEAVE_OUT)
        if abs(note.onset_s) > _LONGEST_S or abs(note.offset_s) > _LONGEST_S:
            raise NotationError(f"A note lies beyond the limit of {_LONGEST_S:g} s.", remedy=_LEAVE_OUT)
        if not 0 <= note.pitch <= 127:
            raise NotationError(f"Pitch {note.pitch} lies outside MIDI's 0 to 127.", remedy=_LEAVE_OUT)
    writable = [i for i, note in enumerate(notes) if note.pitch >= _LOWEST_WRITTEN]
    order = sorted(writable, key=lambda i: (notes[i].onset_s, notes[i].pitch))
    order = _without_repeats(notes, order)
    onset = np.array([notes[i].onset_s for i in order], np.float64)
    offset = np.array([notes[i].offset_s for i in order], np.float64)
    pitch = np.array([notes[i].pitch for i in order], np.int64)
    velocity = np.clip(np.array([notes[i].velocity for i in order], np.int64), 1, 127)
    source = np.array(order, np.int64)
    chord = _chord_indices(onset)
    resort = np.lexsort((pitch, chord))
    onset, offset = onset[resort], offset[resort]
    pitch, velocity, source = pitch[resort], velocity[resort], source[resort]
    return Performance(
        onset_s=onset,
        offset_s=np.maximum(offset, onset + _SHORTEST_S),
        pitch=pitch,
        velocity=velocity,
        source=source,
        chord=chord,
        chord_s=_chord_times(onset, velocity, chord),
    )


def _without_repeats(notes: Sequence[Note], order: list[int]) -> list[int]:
    """Leave out notes that repeat a pitch sooner than a finger could."""
    last: dict[int, float] = {}
    kept: list[int] = []
    for i in order:
        note = notes[i]
        if note.onset_s - last.get(note.pitch, -math.inf) > _REPEAT_S:
            kept.append(i)
            last[note.pitch] = note.onset_s
    return kept


def _chord_indices(onset_s: FloatArray) -> IntArray:
    chords = np.zeros(len(onset_s), np.int64)
    current, first = -1, -math.inf
    previous = -math.inf
    for i, onset in enumerate(onset_s.tolist()):
        if onset - previous > _CHORD_GAP_S or onset - first > _CHORD_SPREAD_S:
            current, first = current + 1, onset
        chords[i] = current
        previous = onset
    return chords


def _chord_times(onset_s: FloatArray, velocity: IntArray, chord: IntArray) -> FloatArray:
    """Mean onset of each chord, louder notes counting more."""
    weight = velocity.astype(np.float64)
    total = np.bincount(chord, weight)
    return np.asarray(np.bincount(chord, weight * onset_s) / np.where(total > 0, total, 1.0))
