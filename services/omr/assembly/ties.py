"""Ties: pairs of heads on the same line or space that sound as one note.

A tie needs two ends: a head that reads as tied on, and the next head at its place that reads as tied back.
Each alone may be wrong (a slur looks alike), so that both are weighed together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.omr.assembly.placing import StaffSymbol
from services.omr.vocabulary import SymbolClass

HeadKey = tuple[int, int]
"""A head in all pages: index of its page, and of its symbol there."""

_END_REACH_X_PX: Final = 20.0
_END_REACH_Y_PX: Final = 14.0
_END_WEIGHT: Final = 0.5
_BELIEVED: Final = 1.0
_BELIEVED_WITH_SIGN: Final = 1.6
_SAME_COLUMN_PX: Final = 6.0
_FURTHEST_MEASURES: Final = 1


@dataclass(frozen=True, slots=True)
class StaffHead:
    """A head in the course of its staff.

    Attributes:
        key: which head.
        measure: index of its measure in the score.
        x: its centre, in px.
        diatonic: the written note, octave * 7 + step.
        tied_on, tied_back: how likely a tie begins, ends here.
        has_sign: whether an accidental stands before it.
    """

    key: HeadKey
    measure: int
    x: float
    diatonic: int
    tied_on: float
    tied_back: float
    has_sign: bool


def tie_ends(
    heads: Sequence[StaffSymbol], ends: Sequence[StaffSymbol]
) -> tuple[Mapping[int, float], Mapping[int, float]]:
    """How likely a tie begins and ends at each head, from the head's own reading and the ends seen near it.

    Args:
        heads: of one system.
        ends: symbols of the system that are an end of a tie.

    Returns:
        Probabilities by the head's symbol index: of a beginning, and of an end.
    """
    on = {head.index: head.symbol.tied_on for head in heads}
    back = {head.index: head.symbol.tied_back for head in heads}
    for end in ends:
        starts = end.kind is SymbolClass.TIE_START
        side = 1 if starts else -1
        near = [
            head
            for head in heads
            if 0 <= side * (end.x - head.x) <= _END_REACH_X_PX
            and abs(end.symbol.y - head.symbol.y) <= _END_REACH_Y_PX
        ]
        if near:
            head = min(near, key=lambda head: abs(end.symbol.y - head.symbol.y) + abs(end.x - head.x) / 2)
            reading = on if starts else back
            doubt = (1 - reading[head.index]) * (1 - _END_WEIGHT * end.symbol.confidence)
            reading[head.index] = 1 - doubt
    return on, back


def join_ties(heads: Sequence[StaffHead]) -> dict[HeadKey, HeadKey]:
    """For each head that is tied on, the head that it is tied to.

    Args:
        heads: of one staff over the whole score, in reading order.
    """
    joined: dict[HeadKey, HeadKey] = {}
    taken: set[HeadKey] = set()
    for i, head in enumerate(heads):
        following = _following(heads, i)
        if following is None or following.key in taken:
            continue
        needed = _BELIEVED_WITH_SIGN if following.has_sign else _BELIEVED
        if head.tied_on + following.tied_back >= needed:
            joined[head.key] = following.key
            taken.add(following.key)
    return joined


def _following(heads: Sequence[StaffHead], i: int) -> StaffHead | None:
    """The next head at the same place of the staff."""
    head = heads[i]
    for other in heads[i + 1 :]:
        if other.measure > head.measure + _FURTHEST_MEASURES:
            return None
        apart = other.measure > head.measure or other.x > head.x + _SAME_COLUMN_PX
        if other.diatonic == head.diatonic and apart:
            return other
    return None
