"""Augmentation dots: which chord or rest each belongs to, beside what its heads read themselves.

A dot stands right of its head, in its space, or in the space above or below its line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from services.omr.assembly.chords import PrintedChord
from services.omr.assembly.placing import StaffSymbol
from services.omr.page import FloatArray

_REACH_PX: Final = 17.0
_NEXT_DOT_PX: Final = 11.0
_HEIGHT: Final = 1.0
_REST_SPACE: Final = 1

# How much dots that were seen, or were not, are believed beside the head's own reading. Where there is a dot:
# how likely one is seen if there are one or two, and how likely two are.
_SEEN: Final = 0.95
_ONE_SEEN: Final = np.log((1.0, 0.3))
_TWO_SEEN: Final = np.log((0.001, 1.0))
_UNSEEN: Final = np.log((0.97, 0.2, 0.2))


def dot_evidence(
    printed: Sequence[PrintedChord | StaffSymbol], dots: Sequence[StaffSymbol]
) -> list[FloatArray]:
    """For each chord or rest the log-likelihood of the dots seen beside it if it has 0, 1 or 2."""
    seen: list[list[StaffSymbol]] = [[] for _ in printed]
    for dot in sorted(dots, key=lambda each: each.x):
        costs = [_cost(each, dot, mine) for each, mine in zip(printed, seen, strict=True)]
        if costs and min(costs) < np.inf:
            seen[int(np.argmin(costs))].append(dot)
    return [_evidence(mine) for mine in seen]


def _cost(printed: PrintedChord | StaffSymbol, dot: StaffSymbol, before: Sequence[StaffSymbol]) -> float:
    """How badly a dot fits a chord or rest, infinite where it cannot be its dot."""
    if printed.staff != dot.staff:
        return np.inf
    if isinstance(printed, StaffSymbol):
        right, spaces = printed.right, [_REST_SPACE]
    else:
        right = max(head.right for head in printed.heads)
        spaces = [space for head in printed.heads for space in _spaces(head.position)]
    follows = any(
        0 < dot.x - other.x <= _NEXT_DOT_PX and abs(dot.height - other.height) < _HEIGHT for other in before
    )
    apart = dot.x - right
    off = min(abs(dot.height - space) for space in spaces)
    if off > _HEIGHT or apart < 0 or not (apart <= _REACH_PX or follows):
        return np.inf
    return off + apart / _REACH_PX


def _spaces(position: int) -> tuple[int, ...]:
    return (position,) if position % 2 else (position + 1, position - 1)


def _evidence(dots: Sequence[StaffSymbol]) -> FloatArray:
    if not dots:
        return np.asarray(_UNSEEN)
    rows = [sum(abs(dot.height - other.height) < _HEIGHT for other in dots) for dot in dots]
    believed = _SEEN * max(dot.symbol.confidence for dot in dots)
    there = np.log(believed) + (_TWO_SEEN if max(rows) > 1 else _ONE_SEEN)
    return np.array([np.log(1 - believed), *there])
