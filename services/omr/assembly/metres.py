"""Time signatures: figures over each other, or the signs of common and cut time, voted over the staves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.music.score import Metre
from services.omr.assembly.placing import StaffSymbol
from services.omr.vocabulary import TIME_FIGURES, SymbolClass

_SIGNS: Final = {SymbolClass.TIME_COMMON: (4, 4), SymbolClass.TIME_CUT: (2, 2)}
_FIGURES: Final = {kind: int(kind.removeprefix("timeSig")) for kind in TIME_FIGURES if kind not in _SIGNS}
_BEAT_TYPES: Final = frozenset({1, 2, 4, 8, 16, 32})
_MOST_BEATS: Final = 32
_BELIEVED: Final = 0.3
_HIGHEST: Final = 5.0
_WIDTH_PX: Final = 30.0


def read_metre(staves: Sequence[Sequence[StaffSymbol]]) -> tuple[Metre, tuple[StaffSymbol, ...]] | None:
    """The time signature among symbols of each staff that stand before a measure's first note.

    Returns:
        The metre, its confidence the share of staves that show it, and the symbols that print it; None where
        no staff shows one that makes sense.
    """
    votes: dict[tuple[int, int], float] = {}
    members: dict[tuple[int, int], list[StaffSymbol]] = {}
    for symbols in staves:
        figures = [
            each
            for each in symbols
            if each.kind in TIME_FIGURES
            and abs(each.height) <= _HIGHEST
            and each.symbol.confidence >= _BELIEVED
        ]
        read = _read(figures)
        if read is not None:
            weight = min(each.symbol.confidence for each in figures)
            votes[read] = votes.get(read, 0.0) + weight
            members.setdefault(read, []).extend(figures)
    if not votes:
        return None
    best = max(votes, key=lambda metre: votes[metre])
    return Metre(*best, confidence=round(votes[best] / len(staves), 4)), tuple(members[best])


def _read(figures: Sequence[StaffSymbol]) -> tuple[int, int] | None:
    """Beats and beat type on one staff: the last pair where several stand side by side."""
    for each in figures:
        if each.kind in _SIGNS:
            return _SIGNS[each.kind]
    upper = [each for each in figures if each.height > 0]
    lower = [each for each in figures if each.height <= 0]
    if not upper or not lower or upper[-1].x - upper[0].x > _WIDTH_PX:
        return None
    beats, beat_type = _number(upper), _number(lower)
    if beat_type not in _BEAT_TYPES or not 0 < beats <= _MOST_BEATS:
        return None
    return beats, beat_type


def _number(figures: Sequence[StaffSymbol]) -> int:
    return int("".join(str(_FIGURES[each.kind]) for each in figures))
