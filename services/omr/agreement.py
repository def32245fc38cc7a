"""How far two readings of one page agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from services.omr.contract import STAFF_SPACE_PX
from services.omr.page import Symbol

_Likeness = tuple[str, int, int]


def symbols_f1(ours: Sequence[Symbol], theirs: Sequence[Symbol]) -> float:
    """Compute the F1 of two readings' symbols, which is the same either way round.

    Two symbols match that are of one class, most likely of one duration and voice, and whose centres lie
    within half a staff space of one another, across and up; each matches one at most, the nearest first.
    Where neither has symbols, they agree: 1.
    """
    if not ours and not theirs:
        return 1.0
    others = _alike(theirs)
    matched = sum(_matches(mine, others[likeness]) for likeness, mine in _alike(ours).items())
    return 2 * matched / (len(ours) + len(theirs))


def _alike(symbols: Sequence[Symbol]) -> dict[_Likeness, list[tuple[float, float]]]:
    """Give the centres of the symbols that are alike."""
    found: dict[_Likeness, list[tuple[float, float]]] = defaultdict(list)
    for symbol in symbols:
        likeness = symbol.kind.value, int(np.argmax(symbol.durations)), int(np.argmax(symbol.voice))
        found[likeness].append((symbol.x, symbol.y))
    return found


def _matches(mine: list[tuple[float, float]], others: list[tuple[float, float]]) -> int:
    if not others:
        return 0
    apart = np.abs(np.array(mine)[:, None] - np.array(others)[None]).max(axis=-1)
    rows, columns = np.nonzero(apart <= STAFF_SPACE_PX / 2)
    free_rows, free_columns = set(rows.tolist()), set(columns.tolist())
    count = 0
    for index in np.argsort(apart[rows, columns], kind="stable"):
        row, column = int(rows[index]), int(columns[index])
        if row in free_rows and column in free_columns:
            free_rows.remove(row)
            free_columns.remove(column)
            count += 1
    return count
