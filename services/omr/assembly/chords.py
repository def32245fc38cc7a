"""Chords: which noteheads stand on one stem, which chords under one beam.

Heads that touch the same stem are one chord. Where no stem was seen, heads of one column that read the same
direction of stem are, a second beside its neighbour included; heads without a stem (whole notes) likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.omr.assembly.placing import StaffSymbol
from services.omr.vocabulary import STEM_DOWN, STEM_NONE, STEM_UP, SymbolClass

_STEM_REACH_PX: Final = 3.5
_STEM_END_PX: Final = 7.0
_COLUMN_PX: Final = 5.0
_SECOND_PX: Final = 15.0
_BEAM_REACH_PX: Final = 5.0


@dataclass(frozen=True, slots=True)
class PrintedChord:
    """Heads on one stem.

    Attributes:
        heads: lowest first, all on one staff.
        stem: direction (STEM_NONE, STEM_UP, STEM_DOWN) that most heads read.
        stem_symbol: the stem, where it was seen.
        x: centre of the heads on the stem's usual side, in px.
        beam: id of the group of beams that it hangs from, else None.
    """

    heads: tuple[StaffSymbol, ...]
    stem: int
    stem_symbol: StaffSymbol | None
    x: float
    beam: int | None = None

    @property
    def staff(self) -> int:
        """Index of its staff in the system."""
        return self.heads[0].staff


def find_chords(symbols: Sequence[StaffSymbol], heads: Sequence[StaffSymbol]) -> list[PrintedChord]:
    """Gather heads into chords, from left to right.

    Args:
        symbols: all symbols of the system; their stems and beams are used.
        heads: the heads to gather, all of one measure and either all grace notes or none.
    """
    stems = [each for each in symbols if each.kind is SymbolClass.STEM]
    stem_of = [_stem_of(head, stems) for head in heads]
    groups = _grouped(heads, stem_of)
    chords = []
    for group in groups:
        members = tuple(sorted((heads[i] for i in group), key=lambda head: (head.position, head.x)))
        direction = stem_direction(members)
        stem = next((stem_of[i] for i in group if stem_of[i] is not None), None)
        chords.append(PrintedChord(members, direction, stem, _chord_x(members, direction)))
    chords.sort(key=lambda chord: chord.x)
    return chords


def stem_direction(heads: Sequence[StaffSymbol]) -> int:
    """The direction of stem that heads read together."""
    return int(np.argmax(np.sum([head.symbol.stem for head in heads], axis=0)))


def _chord_x(heads: Sequence[StaffSymbol], direction: int) -> float:
    xs = [head.x for head in heads]
    usual = max(xs) if direction == STEM_DOWN else min(xs)
    near = [x for x in xs if abs(x - usual) <= _COLUMN_PX]
    return sum(near) / len(near)


def _stem_of(head: StaffSymbol, stems: Sequence[StaffSymbol]) -> StaffSymbol | None:
    """The stem that a head touches: on its right with stems up, on its left with stems down."""
    read = int(np.argmax(head.symbol.stem))
    if read == STEM_NONE:
        return None
    best, best_cost = None, np.inf
    for stem in stems:
        if abs(stem.x - head.x) > head.symbol.width / 2 + _STEM_REACH_PX:
            continue
        top = stem.symbol.y - stem.symbol.height / 2
        bottom = stem.symbol.y + stem.symbol.height / 2
        if not top - _STEM_END_PX <= head.symbol.y <= bottom + _STEM_END_PX:
            continue
        # A head lies at the lower end of a stem that goes up, and away from its upper end.
        reach = (head.symbol.y - top) if read == STEM_UP else (bottom - head.symbol.y)
        edges = (head.right, head.left)
        cost = min(abs(stem.x - edge) for edge in edges) + (0.0 if reach > _STEM_END_PX else 20.0)
        if cost < best_cost:
            best, best_cost = stem, cost
    return best


def _grouped(heads: Sequence[StaffSymbol], stem_of: Sequence[StaffSymbol | None]) -> list[list[int]]:
    """Indices of the heads of each chord."""
    groups: list[list[int]] = []
    for i in sorted(range(len(heads)), key=lambda i: (heads[i].staff, heads[i].x)):
        joined = [
            group
            for group in groups
            if any(_together(heads[i], heads[j], stem_of[i], stem_of[j]) for j in group)
        ]
        groups = [group for group in groups if group not in joined]
        groups.append([*(j for group in joined for j in group), i])
    return groups


def _together(
    one: StaffSymbol, other: StaffSymbol, stem: StaffSymbol | None, other_stem: StaffSymbol | None
) -> bool:
    if one.staff != other.staff:
        return False
    if stem is not None and other_stem is not None:
        return stem.index == other_stem.index
    if int(np.argmax(one.symbol.stem)) != int(np.argmax(other.symbol.stem)):
        return False
    apart = abs(one.x - other.x)
    return apart <= _COLUMN_PX or (apart <= _SECOND_PX and abs(one.position - other.position) == 1)


def join_beams(chords: Sequence[PrintedChord], symbols: Sequence[StaffSymbol]) -> list[int | None]:
    """For each chord an id that it shares with those under the same beam, or None."""
    beams = [each for each in symbols if each.kind is SymbolClass.BEAM]
    group_of = {beam.index: beam.index for beam in beams}
    hung: list[int | None] = []
    for chord in chords:
        mine = [beam for beam in beams if _hangs(chord, beam)]
        for beam in mine[1:]:
            old, new = group_of[beam.index], group_of[mine[0].index]
            group_of = {index: new if group == old else group for index, group in group_of.items()}
        hung.append(mine[0].index if mine else None)
    return [None if index is None else group_of[index] for index in hung]


def _hangs(chord: PrintedChord, beam: StaffSymbol) -> bool:
    """Whether the free end of a chord's stem lies in a beam's box."""
    stem = chord.stem_symbol
    if stem is None:
        return False
    if not beam.left - _BEAM_REACH_PX <= stem.x <= beam.right + _BEAM_REACH_PX:
        return False
    half = stem.symbol.height / 2
    tip = stem.symbol.y - half if chord.stem == STEM_UP else stem.symbol.y + half
    reach = beam.symbol.height / 2 + _BEAM_REACH_PX
    return abs(tip - beam.symbol.y) <= reach
