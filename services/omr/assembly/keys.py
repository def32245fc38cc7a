"""Key signatures: the pattern of signs after a clef or a barline, voted over all staves of a system.

Every key from seven flats to seven sharps is weighed by how likely the signs that were seen are if it were
printed: members found, members missed, signs that belong to the first note instead, and signs left
unexplained. A staff that cannot be read has a bounded say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.music.score import Clef
from services.omr.assembly.clefs import middle_line
from services.omr.assembly.placing import StaffSymbol
from services.omr.vocabulary import SymbolClass

_KEYS: Final = range(-7, 8)
_STEP_OF: Final = {letter: step for step, letter in enumerate("CDEFGAB")}
_SHARPS: Final = tuple(_STEP_OF[letter] for letter in "FCGDAEB")
_FLATS: Final = _SHARPS[::-1]

# Log-probabilities.
_FOUND: Final = -0.1
_FOUND_BESIDE: Final = -1.6  # read one position off
_MISSED: Final = -3.0
_OF_A_NOTE: Final = -0.7
_UNEXPLAINED: Final = -4.0
_CANCELS: Final = -0.2
_WORST_STAFF: Final = -9.0
_CHANGE_AT_LINE: Final = -3.5
_CHANGE_IN_LINE: Final = -5.0

_REACH_PX: Final = 36.0
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
class KeyReading:
    """The key that holds.

    Attributes:
        fifths: sharps (positive) or flats (negative).
        members: the signs that print it, or cancel what was before.
        margin: by how much it is likelier than the next best, in nats.
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


def read_key(zones: Sequence[KeyZone], previous: int | None, *, opens_line: bool) -> KeyReading:
    """The key after the place where `zones` lie, one zone for each staff.

    Args:
        zones: one for each staff.
        previous: the key that held before, None at the start of the music.
        opens_line: whether the zones open a system, where every key is printed; elsewhere only a change is.
    """
    weighed: dict[int, _Weighed] = {}
    for fifths in _KEYS:
        unchanged = fifths == previous
        score = 0.0
        if previous is not None and not unchanged:
            score = _CHANGE_AT_LINE if opens_line else _CHANGE_IN_LINE
        members: list[StaffSymbol] = []
        for zone in zones:
            printed = opens_line or not unchanged
            each = _weigh(zone, fifths if printed else None, previous or 0, opens_line=opens_line)
            score += max(each.score, _WORST_STAFF)
            members += each.members
        weighed[fifths] = _Weighed(score, tuple(members))
    order = sorted(_KEYS, key=lambda fifths: (-weighed[fifths].score, abs(fifths - (previous or 0))))
    best, second = weighed[order[0]], weighed[order[1]]
    return KeyReading(order[0], best.members, best.score - second.score)


def _weigh(zone: KeyZone, fifths: int | None, previous: int, *, opens_line: bool) -> _Weighed:
    """How likely a staff's signs are where a key is printed (None: where no key is)."""
    expected: list[tuple[SymbolClass, int]] = []
    if fifths is not None:
        expected = _printed(fifths)
        if not fifths and not opens_line:
            expected = [(SymbolClass.NATURAL, step) for _, step in _printed(previous)]
    score, members, at = 0.0, list[StaffSymbol](), 0
    cancelled = set(key_steps(previous)) if fifths is not None else set()
    for sign in zone.signs:
        chained = not members or sign.x - members[-1].x <= _WIDEST_GAP_PX
        found = _find(zone.clef, sign, expected, at) if chained else None
        if found is not None:
            place, beside = found
            score += (_FOUND_BESIDE if beside else _FOUND) + _MISSED * (place - at)
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
) -> tuple[int, bool] | None:
    """Place of a sign among those expected from `at` on, and whether it stands beside its line or space."""
    step = _step(clef, sign)
    for beside in (False, True):
        for place in range(at, min(at + 2, len(expected))):
            kind, wanted = expected[place]
            off = (step - wanted) % 7
            if kind is sign.kind and off in ((1, 6) if beside else (0,)):
                return place, beside
    return None


def _alone(zone: KeyZone, sign: StaffSymbol) -> float:
    """How likely a sign is that is no member of the key."""
    of_note = any(head.position == sign.position and 0 < head.x - sign.x <= _REACH_PX for head in zone.heads)
    return _OF_A_NOTE if of_note else _UNEXPLAINED * sign.symbol.confidence
