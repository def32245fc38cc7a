"""Clefs: treble or bass for each staff and measure, whichever needs fewer ledger lines.

Changes cost too, so that a clef stays through a passing excursion (dynamic programming over measures).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Final

from services.music.score import BASS, TREBLE, Chord, Clef, ClefChange, Measure

_CLEFS: Final = (TREBLE, BASS)
#: Diatonic numbers (octave * 7 + letter, C is 0) of the lowest and highest note inside each staff.
_INSIDE: Final = {TREBLE: (4 * 7 + 1, 5 * 7 + 4), BASS: (2 * 7 + 3, 3 * 7 + 6)}
_CHANGE_COST: Final = 14.0
_UNUSUAL_START_COST: Final = 6.0


def with_clefs(measures: Sequence[Measure], staves: int) -> list[Measure]:
    """The measures with clefs at the start and where they change; staves start treble or bass."""
    chosen = {staff: _choose(measures, staff) for staff in range(1, staves + 1)}
    result = []
    for index, measure in enumerate(measures):
        changes = tuple(
            ClefChange(staff, Fraction(0), clefs[index])
            for staff, clefs in chosen.items()
            if index == 0 or clefs[index] != clefs[index - 1]
        )
        result.append(replace(measure, clefs=changes))
    return result


def _choose(measures: Sequence[Measure], staff: int) -> list[Clef]:
    """The clef of a staff in every measure."""
    usual = TREBLE if staff == 1 else BASS
    total = {clef: 0.0 if clef == usual else _UNUSUAL_START_COST for clef in _CLEFS}
    origins: list[dict[Clef, Clef]] = []
    for measure in measures:
        origin: dict[Clef, Clef] = {}
        following: dict[Clef, float] = {}
        for clef in _CLEFS:
            other = _CLEFS[1 - _CLEFS.index(clef)]
            changed = total[other] + _CHANGE_COST
            origin[clef] = other if changed < total[clef] else clef
            following[clef] = min(total[clef], changed) + _ledger_lines(measure, staff, clef)
        origins.append(origin)
        total = following
    clef = min(_CLEFS, key=lambda each: (total[each], each != usual))
    path = []
    for origin in reversed(origins):
        path.append(clef)
        clef = origin[clef]
    return path[::-1]


def _ledger_lines(measure: Measure, staff: int, clef: Clef) -> float:
    """Ledger lines that a staff's notes need in a measure."""
    low, high = _INSIDE[clef]
    lines = 0.0
    for voice in measure.voices:
        if voice.staff != staff:
            continue
        for event in voice.events:
            if isinstance(event, Chord):
                places = [7 * h.pitch.octave + "CDEFGAB".index(h.pitch.step) for h in event.heads]
                lines += max(0, low - places[0], places[-1] - high) / 2
    return lines
