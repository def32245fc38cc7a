"""Voices: which notes of a staff share a stem, and how long each is written.

Pedal and legato make notes ring on; written so, they would be unreadable. A note is written up to the
next one in its voice, unless it was really released well before. A second voice is opened only where a
finger must really have held one note while others moved: where the hand can reach them all, and the
release does not coincide with many others (which is the pedal's).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.music.performance import FloatArray, IntArray, Performance
from services.music.rhythm import TICKS, Rhythm

UPPER: Final = 1
LOWER: Final = 2

_HELD_SHARE: Final = 0.68
"""A note that sounded for this share of the time to the next is written up to it."""

_REACH: Final = 14
_TOGETHER_S: Final = 0.05
_PEDAL_RELEASES: Final = 2
_LONGEST_HELD_S: Final = 5.0
_COVERED_SHARE: Final = 0.7
_BLURRED_SHARE: Final = 0.25
_AROUND_S: Final = 2.5


@dataclass(frozen=True, slots=True)
class Span:
    """A chord, not yet cut at barlines.

    Attributes:
        start: tick of its onset.
        end: tick where it ends, after `start`.
        notes: indices of its notes in the performance, lowest first.
    """

    start: int
    end: int
    notes: tuple[int, ...]


def staff_voices(
    performance: Performance, rhythm: Rhythm, staves: IntArray, staff: int
) -> tuple[list[Span], list[Span]]:
    """The chords of one staff in its upper and its lower voice, each in time order without overlaps.

    Where one voice is enough, the lower is silent.
    """
    members = np.flatnonzero(staves == staff)
    members = members[np.lexsort((performance.pitch[members], rhythm.onset[members]))]
    if len(members) == 0:
        return [], []
    voice = _assign(performance, rhythm, members)
    onsets = np.unique(rhythm.onset[members])
    upper = _spans(performance, rhythm, members[voice == UPPER], onsets)
    lower = _spans(performance, rhythm, members[voice == LOWER], onsets)
    return upper, lower


def _assign(performance: Performance, rhythm: Rhythm, members: IntArray) -> IntArray:
    """The voice of each of a staff's notes (in order of onset), shape of `members`."""
    voice = np.full(len(members), UPPER, np.int64)
    fixed = np.zeros(len(members), bool)
    onset, pitch = rhythm.onset[members], performance.pitch[members]
    for place in np.flatnonzero(_held(performance, rhythm, members)).tolist():
        end = int(rhythm.end[members[place]])
        first = int(np.searchsorted(onset, onset[place], side="right"))
        last = int(np.searchsorted(onset, end - TICKS // 8))
        moving = pitch[first:last]
        if len(moving) == 0 or fixed[first:last].any():
            continue
        above = float(np.mean(pitch[place] > moving))
        if 0.2 < above < 0.8:
            continue
        own, other = (UPPER, LOWER) if above >= 0.8 else (LOWER, UPPER)
        if fixed[place] and voice[place] != own:
            continue
        voice[place], fixed[place] = own, True
        voice[first:last], fixed[first:last] = other, True
        chord = np.flatnonzero(onset == onset[place])
        beyond = chord[(pitch[chord] > pitch[place]) if own == UPPER else (pitch[chord] < pitch[place])]
        voice[beyond], fixed[beyond] = own, True
        rest = chord[~fixed[chord]]
        voice[rest] = other
    return voice


def _held(performance: Performance, rhythm: Rhythm, members: IntArray) -> np.typing.NDArray[np.bool_]:
    """Which of a staff's notes a finger held while others of the staff were struck."""
    onset, end = rhythm.onset[members], rhythm.end[members]
    starts = np.unique(onset)
    following = np.searchsorted(starts, onset, side="right")
    closed = np.append(starts, starts[-1] + TICKS)
    nearest = closed[following]
    after = np.append(closed, closed[-1] + TICKS)[following + 1]
    overlaps = end >= nearest + _COVERED_SHARE * (after - nearest)
    overlaps &= following < len(starts)
    seconds = (performance.offset_s - performance.onset_s)[members]
    held = overlaps & (seconds < _LONGEST_HELD_S)
    ringing = np.flatnonzero(overlaps)
    held[ringing] &= ~_pedalled(performance, members[ringing])
    held &= np.asarray(_share_around(performance.onset_s[members], overlaps) < _BLURRED_SHARE)
    pitch = performance.pitch[members]
    for place in np.flatnonzero(held).tolist():
        first = int(np.searchsorted(onset, onset[place], side="right"))
        last = int(np.searchsorted(onset, end[place] - TICKS // 8))
        moving = pitch[first:last]
        held[place] = len(moving) > 0 and bool(np.all(np.abs(moving - pitch[place]) <= _REACH))
    return np.asarray(held)


def _pedalled(performance: Performance, ringing: IntArray) -> np.typing.NDArray[np.bool_]:
    """Which of the notes that ring over later ones end where others do: the pedal goes up there.

    Args:
        performance: all notes.
        ringing: indices of the notes in question.
    """
    order = np.argsort(performance.offset_s[ringing])
    offset, chord = performance.offset_s[ringing[order]], performance.chord[ringing[order]]
    first = np.searchsorted(offset, offset - _TOGETHER_S)
    last = np.searchsorted(offset, offset + _TOGETHER_S, side="right")
    result = np.zeros(len(ringing), bool)
    for place in np.flatnonzero(last - first >= _PEDAL_RELEASES).tolist():
        result[order[place]] = len(np.unique(chord[first[place] : last[place]])) >= _PEDAL_RELEASES
    return result


def _share_around(times_s: FloatArray, flags: np.typing.NDArray[np.bool_]) -> FloatArray:
    """Share of the flags that are set within `_AROUND_S` of each time, shape (notes,)."""
    order = np.argsort(times_s, kind="stable")
    total = np.append(0, np.cumsum(flags[order]))
    first = np.searchsorted(times_s[order], times_s - _AROUND_S)
    last = np.searchsorted(times_s[order], times_s + _AROUND_S, side="right")
    return np.asarray((total[last] - total[first]) / np.maximum(last - first, 1))


def _spans(performance: Performance, rhythm: Rhythm, notes: IntArray, onsets: IntArray) -> list[Span]:
    """One voice's notes (in order of onset) as chords; `onsets` are all those of the staff."""
    if len(notes) == 0:
        return []
    groups = np.split(notes, np.flatnonzero(np.diff(rhythm.onset[notes])) + 1)
    starts = [int(rhythm.onset[group[0]]) for group in groups]
    spans = []
    for index, group in enumerate(groups):
        start = starts[index]
        released = int(np.sort(rhythm.end[group])[len(group) // 2])
        limit = starts[index + 1] if index + 1 < len(groups) else max(released, start + TICKS)
        next_any = int(np.searchsorted(onsets, start, side="right"))
        nearest = int(onsets[next_any]) if next_any < len(onsets) else limit
        following = min(limit, max(nearest, released))
        end = _written_end(start, released, following, rhythm.parts)
        spans.append(Span(start, min(end, limit), _distinct(group, performance.pitch)))
    return spans


def _written_end(start: int, released: int, following: int, parts: IntArray) -> int:
    """Where a chord is written to end: at the next one, or else at a half (a third) of a beat.

    Args:
        start: tick of its onset.
        released: tick of its release.
        following: tick up to which it may be written.
        parts: the subdivision of each beat.
    """
    if released >= start + _HELD_SHARE * (following - start) or following - start <= TICKS // 2:
        return following
    in_threes = parts[min(max(released - 1, 0) // TICKS, len(parts) - 1)] % 3 == 0
    step = TICKS // 3 if in_threes else TICKS // 2
    return min(max(-(-released // step) * step, (start // step + 1) * step), following)


def _distinct(group: IntArray, pitch: IntArray) -> tuple[int, ...]:
    """The notes of a chord, one for each pitch."""
    seen: dict[int, int] = {}
    for note in group.tolist():
        seen.setdefault(int(pitch[note]), note)
    return tuple(seen.values())
