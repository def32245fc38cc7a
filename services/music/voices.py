"""Voices: which notes of a staff share a stem, and how long each is written.

Pedal and legato make notes ring on; written so, they would be unreadable. A note is written up to the
next one in its voice, unless it was really released well before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.music.performance import IntArray
from services.music.rhythm import TICKS, Rhythm

_HELD_SHARE: Final = 0.5
"""A note that sounded for this share of the time to the next is written up to it."""


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


def staff_spans(rhythm: Rhythm, pitch: IntArray, staves: IntArray, staff: int) -> list[Span]:
    """The chords of one staff in one voice, in time order, without overlaps."""
    members = np.flatnonzero(staves == staff)
    members = members[np.lexsort((pitch[members], rhythm.onset[members]))]
    if len(members) == 0:
        return []
    onsets = rhythm.onset[members]
    groups = np.split(members, np.flatnonzero(np.diff(onsets)) + 1)
    starts = [int(rhythm.onset[group[0]]) for group in groups]
    spans = []
    for index, group in enumerate(groups):
        start = starts[index]
        released = int(rhythm.end[group].max())
        following = starts[index + 1] if index + 1 < len(groups) else max(released, start + TICKS)
        spans.append(Span(start, _written_end(start, released, following), _distinct(group, pitch)))
    return spans


def _written_end(start: int, released: int, following: int) -> int:
    if released >= start + _HELD_SHARE * (following - start) or following - start <= TICKS // 2:
        return following
    return released


def _distinct(group: IntArray, pitch: IntArray) -> tuple[int, ...]:
    """The notes of a chord, one for each pitch."""
    seen: dict[int, int] = {}
    for note in group.tolist():
        seen.setdefault(int(pitch[note]), note)
    return tuple(seen.values())
