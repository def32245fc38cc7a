"""Chords: which noteheads stand on one stem, which chords under one beam.

Heads that touch the same stem are one chord. Where no stem was seen, heads of one column that read the same
direction of stem are, a second beside its neighbour included; heads without a stem (whole notes) likewise.
A head with a stem up on its right and another down on its left is a unison: it is in the chords of both.
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

# Of the two stems of a unison each is this near to the head's edge, begins no farther beyond the head's
# centre, and goes on at least so far.
_UNISON_EDGE_PX: Final = 3.5
_UNISON_BEGIN_PX: Final = 7.0
_UNISON_LENGTH_PX: Final = 14.0
#: And either direction is read with this probability: that of unisons is about even, while one stem that
#: passes another chord's head leaves its reading sure.
_UNISON_READ: Final = 0.05


@dataclass(frozen=True, slots=True)
class PrintedChord:
    """Heads on one stem.

    Attributes:
        heads: lowest first, all on one staff.
        stem: direction (STEM_NONE, STEM_UP, STEM_DOWN) that most heads read.
        stem_symbol: the stem, where it was seen.
        x: centre of the heads on the stem's usual side, in px.
        beam: id of the group of beams that it hangs from, else None.
        shared: symbol indices of its heads that stand on the stem of another chord as well.
    """

    heads: tuple[StaffSymbol, ...]
    stem: int
    stem_symbol: StaffSymbol | None
    x: float
    beam: int | None = None
    shared: frozenset[int] = frozenset()

    @property
    def staff(self) -> int:
        """Index of its staff in the system."""
        return self.heads[0].staff

    @property
    def stem_tip(self) -> float | None:
        """Height of the free end of its stem, in px; None where no stem was seen."""
        if self.stem_symbol is None:
            return None
        return self.stem_symbol.top if self.stem == STEM_UP else self.stem_symbol.bottom


@dataclass(frozen=True, slots=True)
class _Stemmed:
    """A head on one stem; `direction` and `stem` as of a chord."""

    head: StaffSymbol
    direction: int
    stem: StaffSymbol | None
    shared: bool = False


def find_chords(symbols: Sequence[StaffSymbol], heads: Sequence[StaffSymbol]) -> list[PrintedChord]:
    """Gather heads into chords, from left to right; a unison's head is in two.

    Args:
        symbols: all symbols of the system; their stems and beams are used.
        heads: the heads to gather, all of one measure and either all grace notes or none.
    """
    stems = [each for each in symbols if each.kind is SymbolClass.STEM]
    groups = _grouped([each for head in heads for each in _stemmed(head, stems)])
    return sorted((_chord(group) for group in groups), key=lambda chord: chord.x)


def _chord(group: Sequence[_Stemmed]) -> PrintedChord:
    members = tuple(sorted((each.head for each in group), key=lambda head: (head.position, head.x)))
    own = [each.head for each in group if not each.shared]
    direction = stem_direction(own) if own else group[0].direction
    stem = next((each.stem for each in group if each.stem is not None), None)
    shared = frozenset(each.head.index for each in group if each.shared)
    return PrintedChord(members, direction, stem, _chord_x(members, direction), shared=shared)


def stem_direction(heads: Sequence[StaffSymbol]) -> int:
    """The direction of stem that heads read together."""
    return int(np.argmax(np.sum([head.symbol.stem for head in heads], axis=0)))


def _chord_x(heads: Sequence[StaffSymbol], direction: int) -> float:
    xs = [head.x for head in heads]
    usual = max(xs) if direction == STEM_DOWN else min(xs)
    near = [x for x in xs if abs(x - usual) <= _COLUMN_PX]
    return sum(near) / len(near)


def _stemmed(head: StaffSymbol, stems: Sequence[StaffSymbol]) -> tuple[_Stemmed, ...]:
    """A head on each of its stems."""
    read = int(np.argmax(head.symbol.stem))
    if min(head.symbol.stem[STEM_UP], head.symbol.stem[STEM_DOWN]) >= np.log(_UNISON_READ):
        up, down = _unison_stem(head, stems, STEM_UP), _unison_stem(head, stems, STEM_DOWN)
        if up is not None and down is not None:
            return _Stemmed(head, STEM_UP, up, shared=True), _Stemmed(head, STEM_DOWN, down, shared=True)
    return (_Stemmed(head, read, _stem_of(head, read, stems)),)


def _unison_stem(head: StaffSymbol, stems: Sequence[StaffSymbol], direction: int) -> StaffSymbol | None:
    """The stem that goes up from a head's right edge, or down from its left edge."""
    edge = head.right if direction == STEM_UP else head.left
    near = []
    for stem in stems:
        begin, reach = (
            (head.symbol.y - stem.bottom, head.symbol.y - stem.top)
            if direction == STEM_UP
            else (stem.top - head.symbol.y, stem.bottom - head.symbol.y)
        )
        if begin <= _UNISON_BEGIN_PX and reach >= _UNISON_LENGTH_PX:
            near.append((abs(stem.x - edge), stem))
    apart, nearest = min(near, key=lambda each: each[0], default=(np.inf, None))
    return nearest if apart <= _UNISON_EDGE_PX else None


def _stem_of(head: StaffSymbol, read: int, stems: Sequence[StaffSymbol]) -> StaffSymbol | None:
    """The stem that a head touches: on its right with stems up, on its left with stems down."""
    if read == STEM_NONE:
        return None
    best, best_cost = None, np.inf
    for stem in stems:
        if abs(stem.x - head.x) > head.symbol.width / 2 + _STEM_REACH_PX:
            continue
        if not stem.top - _STEM_END_PX <= head.symbol.y <= stem.bottom + _STEM_END_PX:
            continue
        # A head lies at the lower end of a stem that goes up, and away from its upper end.
        reach = (head.symbol.y - stem.top) if read == STEM_UP else (stem.bottom - head.symbol.y)
        edges = (head.right, head.left)
        cost = min(abs(stem.x - edge) for edge in edges) + (0.0 if reach > _STEM_END_PX else 20.0)
        if cost < best_cost:
            best, best_cost = stem, cost
    return best


def _grouped(heads: Sequence[_Stemmed]) -> list[list[_Stemmed]]:
    """The heads of each chord."""
    groups: list[list[_Stemmed]] = []
    for each in sorted(heads, key=lambda each: (each.head.staff, each.head.x)):
        apart, mine = [], [each]
        for group in groups:
            if any(_together(each, other) for other in group):
                mine += group
            else:
                apart.append(group)
        groups = [*apart, mine]
    return groups


def _together(one: _Stemmed, other: _Stemmed) -> bool:
    if one.head.staff != other.head.staff:
        return False
    if one.stem is not None and other.stem is not None:
        return one.stem.index == other.stem.index
    if one.direction != other.direction:
        return False
    apart = abs(one.head.x - other.head.x)
    return apart <= _COLUMN_PX or (apart <= _SECOND_PX and abs(one.head.position - other.head.position) == 1)


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
    stem, tip = chord.stem_symbol, chord.stem_tip
    if stem is None or tip is None:
        return False
    if not beam.left - _BEAM_REACH_PX <= stem.x <= beam.right + _BEAM_REACH_PX:
        return False
    reach = beam.symbol.height / 2 + _BEAM_REACH_PX
    return abs(tip - beam.symbol.y) <= reach
