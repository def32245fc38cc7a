"""Accidentals: which head each belongs to, and how far it holds.

A sign alters the heads on its line or space to its right, in its octave and on its staff, to the end of the
measure. A note tied over the barline keeps its alteration without a sign, and hands it on to no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from services.omr.assembly.placing import StaffSymbol
from services.omr.vocabulary import SymbolClass

ALTERS: Final = {
    SymbolClass.DOUBLE_FLAT: -2,
    SymbolClass.FLAT: -1,
    SymbolClass.NATURAL: 0,
    SymbolClass.SHARP: 1,
    SymbolClass.DOUBLE_SHARP: 2,
}

_NEAREST_PX: Final = 3.0
_FURTHEST_PX: Final = 56.0
_BESIDE: Final = 0.8
_SAME_COLUMN_PX: Final = 6.0


def attach_signs(signs: Sequence[StaffSymbol], heads: Sequence[StaffSymbol]) -> dict[int, StaffSymbol]:
    """The accidental that stands before each head, by the head's symbol index.

    Args:
        signs: accidentals of one staff in one measure, without those of key signatures.
        heads: of the same, grace notes included.
    """
    attached: dict[int, StaffSymbol] = {}
    for sign in signs:
        head = _head_of(sign, heads)
        if head is None:
            continue
        for each in heads:
            same = each.position == head.position and abs(each.x - head.x) <= _SAME_COLUMN_PX
            other = attached.get(each.index)
            if same and (other is None or other.symbol.confidence < sign.symbol.confidence):
                attached[each.index] = sign
    return attached


def _head_of(sign: StaffSymbol, heads: Sequence[StaffSymbol]) -> StaffSymbol | None:
    """The nearest head to the right at the sign's position, or else beside it by a misread position."""
    right = [head for head in heads if _NEAREST_PX < head.x - sign.x <= _FURTHEST_PX]
    level = [head for head in right if head.position == sign.position]
    if level:
        return min(level, key=lambda head: head.x)
    beside = [head for head in right if abs(head.height - sign.height) <= _BESIDE]
    return min(beside, key=lambda head: head.x + 10 * abs(head.height - sign.height), default=None)


def alterations(
    heads: Sequence[tuple[StaffSymbol, int]],
    signs: Mapping[int, StaffSymbol],
    key: Mapping[int, int],
    tied_from: Mapping[int, int],
    tied_to: Mapping[int, int],
) -> dict[int, int]:
    """The alteration of each head of one staff in one measure, by symbol index.

    Args:
        heads: each with its diatonic number, from left to right.
        signs: the accidental before a head, by its symbol index.
        key: alteration by step that the key signature gives.
        tied_from: alteration of the note that a head is tied back to, by the head's symbol index, where that
            note is in an earlier measure.
        tied_to: symbol index of the head that a head is tied to.
    """
    carried = dict(tied_from)
    holding: dict[int, int] = {}
    result: dict[int, int] = {}
    for head, diatonic in heads:
        if head.index in signs:
            holding[diatonic] = _meant(signs[head.index], key.get(diatonic % 7, 0))
        held = holding.get(diatonic, key.get(diatonic % 7, 0))
        result[head.index] = held if head.index in signs else carried.get(head.index, held)
        if head.index in tied_to:
            carried[tied_to[head.index]] = result[head.index]
    return result


def _meant(sign: StaffSymbol, in_key: int) -> int:
    """The alteration that a sign stands for, given what the key does to its step.

    A sharp where the key has a flat, or a flat where it has a sharp, is a natural misread: to sharpen such a
    step is all but unheard of, and the three signs are easily taken for one another.
    """
    alter = ALTERS[sign.kind]
    return 0 if alter * in_key == -1 else alter
