"""Beams: which flagged notes of a voice are joined, and how, by their place in the measure.

The rules are those of engraving practice (Gould, *Behind Bars*, chapter "Grouping of note values"): a
beam shows the beat and does not hide it; plain eighth notes may be joined over a half measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from fractions import Fraction
from typing import Final

from services.music.score import Chord, Event, Metre, NoteType

_EIGHTH: Final = NoteType.EIGHTH


class Beam(StrEnum):
    """What one level of beam does at a note, by the MusicXML names."""

    BEGIN = "begin"
    CONTINUE = "continue"
    END = "end"
    FORWARD_HOOK = "forward hook"
    BACKWARD_HOOK = "backward hook"


def beams_of(events: Sequence[Event], metre: Metre, lead: Fraction = Fraction(0)) -> list[tuple[Beam, ...]]:
    """Beams of every event of a voice in one measure.

    Args:
        events: the voice's events in order.
        metre: the time signature that holds.
        lead: how much of a full measure is missing before the first event, in quarter notes (a pickup).

    Returns:
        For each event its beams from the first (eighth) level on; empty where it has none.
    """
    beams: list[tuple[Beam, ...]] = [() for _ in events]
    for group in _groups(events, metre, lead):
        levels = {i: _flags(events[i]) for i in group}
        for i in group:
            beams[i] = tuple(_state(group, levels, i, level) for level in range(1, levels[i] + 1))
    return beams


def _flags(event: Event) -> int:
    return event.kind.flags if isinstance(event, Chord) and not event.grace else 0


def _groups(events: Sequence[Event], metre: Metre, lead: Fraction) -> list[list[int]]:
    """Indices of the events under each beam; a beam joins at least two."""
    plain = all(_is_plain(event) for event in events)
    window = _window(metre, wide=plain)
    groups: list[list[int]] = []
    last_window = -1
    broken = True
    for i, event in enumerate(events):
        if isinstance(event, Chord) and event.grace:
            continue
        if not _flags(event):
            broken = True
            continue
        this_window = int((lead + event.onset) // window)
        if broken or this_window != last_window:
            groups.append([])
        groups[-1].append(i)
        last_window, broken = this_window, False
    return [group for group in groups if len(group) > 1]


def _is_plain(event: Event) -> bool:
    """Whether the event leaves a wide beam readable: an untupled eighth, or nothing beamed at all."""
    return event.tuplet is None and (event.kind is _EIGHTH or event.kind.flags == 0)


def _window(metre: Metre, *, wide: bool) -> Fraction:
    beat = metre.beat_quarters
    if metre.is_compound or not wide:
        return max(beat, Fraction(1, 2))
    if metre.beats % 2 == 0:
        return min(max(beat * 2, Fraction(1)), Fraction(2))
    return metre.measure_quarters if metre.measure_quarters <= 3 else beat


def _state(group: list[int], levels: dict[int, int], i: int, level: int) -> Beam:
    place = group.index(i)
    before = place > 0 and levels[group[place - 1]] >= level
    after = place + 1 < len(group) and levels[group[place + 1]] >= level
    if before:
        return Beam.CONTINUE if after else Beam.END
    if after:
        return Beam.BEGIN
    return Beam.FORWARD_HOOK if place == 0 else Beam.BACKWARD_HOOK
