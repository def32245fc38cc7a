"""Key signatures: the pattern of signs after a clef or a barline, voted over all staves of a system.

Every key from seven flats to seven sharps is weighed by how likely the signs that were seen are if it were
printed: members found, members missed, signs that belong to the first note instead, and signs left
unexplained. A staff that cannot be read has a bounded say, and the keys of all lines are read together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from services.music.score import Clef, ClefSign
from services.omr.assembly.clefs import middle_line
from services.omr.assembly.placing import StaffSymbol
from services.omr.page import FloatArray
from services.omr.vocabulary import SymbolClass

_KEYS: Final = tuple(range(-7, 8))
_STEP_OF: Final = {letter: step for step, letter in enumerate("CDEFGAB")}
_SHARPS: Final = tuple(_STEP_OF[letter] for letter in "FCGDAEB")
_FLATS: Final = _SHARPS[::-1]
_TREBLE_SHARPS: Final = (4, 1, 5, 2, -1, 3, 0)
_TREBLE_FLATS: Final = (0, 3, -1, 2, -2, 1, -3)
_MIDDLE_LINE: Final = 3

# Log-probabilities.
_FOUND: Final = -0.1
_FOUND_BESIDE: Final = -1.6  # read one position off
_OTHER_OCTAVE: Final = -1.5  # not where the sign usually stands
_TOUCHES_NOTE: Final = -2.0  # close before a head of its own line or space
_MISSED: Final = -2.5
_OF_A_NOTE: Final = -0.7
_UNEXPLAINED: Final = -4.0
_CANCELS: Final = -0.2
_WORST_STAFF: Final = -9.0
_CHANGE: Final = -5.0
_UNANNOUNCED: Final = -8.0  # at a line's beginning: a change is printed at the end of the line before

_REACH_PX: Final = 56.0
_TOUCH_PX: Final = 22.0
_WIDEST_GAP_PX: Final = 24.0


@dataclass(frozen=True, slots=True)
class KeyZone:
    """Where a key signature may stand on one staff.

    Attributes:
        clef: the clef that holds there.
        signs: accidentals, from left to right.
        heads: noteheads to their right that the signs may belong to.
    """

    clef: Clef
    signs: tuple[StaffSymbol, ...]
    heads: tuple[StaffSymbol, ...]


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """A place in the music where a key may be printed.

    Attributes:
        zones: one for each staff of the system.
        opens_line: whether it opens a system, where every key is printed; elsewhere only a change is.
    """

    zones: tuple[KeyZone, ...]
    opens_line: bool


@dataclass(frozen=True, slots=True)
class KeyReading:
    """The key that holds from a place on.

    Attributes:
        fifths: sharps (positive) or flats (negative).
        members: the signs that print it, or cancel what was before.
        margin: by how much the whole course of keys is likelier than with another key here, in nats.
    """

    fifths: int
    members: tuple[StaffSymbol, ...]
    margin: float


@dataclass(frozen=True, slots=True)
class _Weighed:
    score: float
    members: tuple[StaffSymbol, ...]


def key_steps(fifths: int) -> dict[int, int]:
    """The alteration that a key gives to each step (C is 0) that it alters."""
    if fifths >= 0:
        return dict.fromkeys(_SHARPS[:fifths], 1)
    return dict.fromkeys(_FLATS[:-fifths], -1)


def read_keys(places: Sequence[KeyPlace]) -> list[KeyReading]:
    """The likeliest course of keys through all places where one may be printed, in order.

    Dynamic programming over the fifteen keys: what one line shows badly, the lines around it tell.
    """
    if not places:
        return []
    steps = [_steps(place, first=i == 0) for i, place in enumerate(places)]
    forward = [steps[0].max(0)]
    for step in steps[1:]:
        forward.append((forward[-1][:, None] + step).max(0))
    backward = [np.zeros(len(_KEYS))]
    for step in steps[:0:-1]:
        backward.insert(0, (step + backward[0][None, :]).max(1))
    readings: list[KeyReading] = []
    previous: int | None = None
    for place, step, before, after in zip(places, steps, [None, *forward[:-1]], backward, strict=True):
        course = (step if before is None else before[:, None] + step).max(0) + after
        likely = course if previous is None else step[_KEYS.index(previous)] + after
        best = _KEYS[int(np.argmax(likely))]
        others = np.delete(course, _KEYS.index(best))
        members = _read(place, best, best if previous is None else previous).members
        margin = float(course[_KEYS.index(best)] - others.max())
        readings.append(KeyReading(best, members, margin))
        previous = best
    return readings


def _steps(place: KeyPlace, *, first: bool) -> FloatArray:
    """Log-likelihood of what is seen at a place, shape (key before, key after)."""
    kinds = {sign.kind for zone in place.zones for sign in zone.signs}
    cancels = SymbolClass.NATURAL in kinds
    steps = np.full((len(_KEYS), len(_KEYS)), -np.inf)
    unchanged = None if place.opens_line else _read(place, 0, 0).score
    for column, fifths in enumerate(_KEYS):
        steps[column, column] = _read(place, fifths, fifths).score if unchanged is None else unchanged
        needed = SymbolClass.SHARP if fifths > 0 else SymbolClass.FLAT if fifths < 0 else SymbolClass.NATURAL
        if first or (not place.opens_line and needed not in kinds):
            continue
        befores = [before for before in _KEYS if before != fifths]
        # Without naturals there is nothing that the key before could explain.
        scores = [_read(place, fifths, before).score for before in (befores if cancels else befores[:1])]
        steps[np.array(_KEYS) != fifths, column] = np.array(scores) + (
            _UNANNOUNCED if place.opens_line else _CHANGE
        )
    return steps


def _read(place: KeyPlace, fifths: int, before: int) -> _Weighed:
    """How likely all staves are if the key is `fifths` after a place and was another (or the same) before."""
    score, members = 0.0, list[StaffSymbol]()
    for zone in place.zones:
        if place.opens_line:
            expected = _printed(fifths)
        elif fifths == before:
            expected = []
        else:
            expected = _printed(fifths) or [(SymbolClass.NATURAL, step) for _, step in _printed(before)]
        cancelled = frozenset(key_steps(before)) if fifths != before else frozenset[int]()
        each = _weigh(zone, expected, cancelled)
        score += max(each.score, _WORST_STAFF)
        members += each.members
    return _Weighed(score, tuple(members))


def _weigh(zone: KeyZone, expected: Sequence[tuple[SymbolClass, int]], cancelled: frozenset[int]) -> _Weighed:
    """How likely a staff's signs are where certain ones are expected and others may be cancelled."""
    score, members, at = 0.0, list[StaffSymbol](), 0
    for sign in zone.signs:
        chained = not members or sign.x - members[-1].x <= _WIDEST_GAP_PX
        found = _find(zone.clef, sign, expected, at) if chained else None
        if found is not None:
            place, likelihood = found
            score += likelihood + _MISSED * (place - at)
            if _of_note(zone, sign, _TOUCH_PX):
                score += _TOUCHES_NOTE
            at = place + 1
            members.append(sign)
        elif chained and sign.kind is SymbolClass.NATURAL and _step(zone.clef, sign) in cancelled:
            score += _CANCELS
            members.append(sign)
        else:
            score += _alone(zone, sign)
    return _Weighed(score + _MISSED * (len(expected) - at), tuple(members))


def _printed(fifths: int) -> list[tuple[SymbolClass, int]]:
    """Signs of a key signature with the steps that they stand on, in order."""
    kind, steps = (SymbolClass.SHARP, _SHARPS) if fifths > 0 else (SymbolClass.FLAT, _FLATS)
    return [(kind, step) for step in steps[: abs(fifths)]]


def _step(clef: Clef, sign: StaffSymbol) -> int:
    return (middle_line(clef) + sign.position) % 7


def _find(
    clef: Clef, sign: StaffSymbol, expected: Sequence[tuple[SymbolClass, int]], at: int
) -> tuple[int, float] | None:
    """Place of a sign among those expected from `at` on, and how likely it is seen as it is."""
    step = _step(clef, sign)
    usual = sign.position in _usual_positions(clef, sign.kind)
    for beside in (False, True):
        for place in range(at, min(at + 2, len(expected))):
            kind, wanted = expected[place]
            off = (step - wanted) % 7
            if kind is sign.kind and off in ((1, 6) if beside else (0,)):
                if beside:
                    return place, _FOUND_BESIDE
                return place, _FOUND if usual else _FOUND + _OTHER_OCTAVE
    return None


@cache
def _usual_positions(clef: Clef, kind: SymbolClass) -> frozenset[int]:
    """Staff positions at which the signs of a key stand: those of the treble clef, shifted for others."""
    if clef.sign is ClefSign.C and clef.line != _MIDDLE_LINE:
        return frozenset(range(-5, 6))  # editions differ
    shift = {ClefSign.G: 0, ClefSign.F: -2, ClefSign.C: -1}[clef.sign]
    treble = _TREBLE_FLATS if kind is SymbolClass.FLAT else _TREBLE_SHARPS
    return frozenset(position + shift for position in treble)


def _alone(zone: KeyZone, sign: StaffSymbol) -> float:
    """How likely a sign is that is no member of the key."""
    return _OF_A_NOTE if _of_note(zone, sign, _REACH_PX) else _UNEXPLAINED * sign.symbol.confidence


def _of_note(zone: KeyZone, sign: StaffSymbol, reach: float) -> bool:
    """Whether a head stands on a sign's line or space within reach to its right."""
    return any(head.position == sign.position and 0 < head.x - sign.x <= reach for head in zone.heads)
