"""Which candidate is which printed symbol: what the `context` model is to answer for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.omr.page import Symbol
from services.omr.vocabulary import (
    ACCIDENTALS,
    BARLINES,
    CLASS_INDEX,
    CLASSES,
    CLEFS,
    FLAGS,
    HEADS,
    RESTS,
    TIME_FIGURES,
    TUPLET_FIGURES,
    SymbolClass,
)

#: What is asked of each candidate, in order; -1 where nothing is known or asked.
TARGETS: Final = (
    "keep",
    "kind",
    "duration",
    "dots",
    "stem",
    "tuplet",
    "voice",
    "grace",
    "tied_back",
    "tied_on",
)
_FROM_TRUTH: Final = ("duration", "dots", "stem", "tuplet", "grace", "tied_back", "tied_on")

#: Symbols that may be taken for one another, and how far a candidate may lie from what it is (x and y, in
#: staff spaces).
_FAMILIES: Final[tuple[tuple[frozenset[SymbolClass], float, float], ...]] = (
    (HEADS, 0.6, 0.35),
    (RESTS, 0.8, 0.8),
    (ACCIDENTALS, 0.6, 0.45),
    (CLEFS, 1.2, 1.2),
    (BARLINES, 0.8, 1.2),
    (TIME_FIGURES, 0.8, 0.8),
    (TUPLET_FIGURES, 0.7, 0.7),
    (FLAGS, 0.7, 0.9),
    (frozenset({SymbolClass.TIE_START, SymbolClass.SLUR_START}), 0.8, 0.8),
    (frozenset({SymbolClass.TIE_END, SymbolClass.SLUR_END}), 0.8, 0.8),
    (frozenset({SymbolClass.AUGMENTATION_DOT, SymbolClass.STACCATO}), 0.5, 0.5),
    (frozenset({SymbolClass.STEM}), 0.4, 1.2),
    (frozenset({SymbolClass.BEAM}), 1.5, 0.6),
)
_GROUPED: Final = frozenset[SymbolClass]().union(*(kinds for kinds, *_ in _FAMILIES))
_OTHERS: Final = tuple((frozenset({kind}), 1.0, 1.0) for kind in CLASSES if kind not in _GROUPED)


def match(
    symbols: Sequence[Symbol],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    truth: NDArray[np.void],
    space: float,
) -> NDArray[np.int8]:
    """What each candidate is.

    Args:
        symbols: the candidates.
        x, y: their centres in the picture.
        truth: the printed symbols, as `EngravedPage.symbols`, in px of the picture.
        space: staff space of the picture, in px.

    Returns:
        int8 [candidates, TARGETS].
    """
    kinds = np.array([CLASS_INDEX[symbol.kind] for symbol in symbols])
    targets = np.full((len(symbols), len(TARGETS)), -1, np.int8)
    targets[:, 0] = 0
    voices = voices_of(truth)
    for family, reach_x, reach_y in (*_FAMILIES, *_OTHERS):
        indices = [CLASS_INDEX[kind] for kind in family]
        seen, printed = (
            np.flatnonzero(np.isin(kinds, indices)),
            np.flatnonzero(np.isin(truth["kind"], indices)),
        )
        for candidate, symbol in _pairs(x[seen], y[seen], truth[printed], reach_x * space, reach_y * space):
            row, known = targets[seen[candidate]], truth[printed[symbol]]
            row[TARGETS.index("keep")] = 1
            row[TARGETS.index("kind")] = known["kind"]
            row[TARGETS.index("voice")] = voices[printed[symbol]]
            for name in _FROM_TRUTH:
                row[TARGETS.index(name)] = known[name]
    return targets


def _pairs(
    x: NDArray[np.float64], y: NDArray[np.float64], truth: NDArray[np.void], reach_x: float, reach_y: float
) -> list[tuple[int, int]]:
    """Nearest first, each candidate and each printed symbol once."""
    if not len(x) or not len(truth):
        return []
    across = (x[:, None] - truth["x"][None]) / reach_x
    down = (y[:, None] - truth["y"][None]) / reach_y
    far = across**2 + down**2
    near = np.argwhere(far < 1)
    order = np.argsort(far[near[:, 0], near[:, 1]])
    taken: tuple[set[int], set[int]] = (set(), set())
    pairs = []
    for candidate, symbol in near[order].tolist():
        if candidate not in taken[0] and symbol not in taken[1]:
            taken[0].add(candidate)
            taken[1].add(symbol)
            pairs.append((candidate, symbol))
    return pairs


def voices_of(truth: NDArray[np.void]) -> NDArray[np.int8]:
    """0 for what is alone in its measure and staff, 1 in the upper of several voices, 2 in a lower."""
    voices = np.full(len(truth), -1, np.int8)
    places: dict[tuple[int, int], list[int]] = {}
    for index in np.flatnonzero(truth["voice"] >= 0).tolist():
        place = (int(truth["measure"][index]), int(truth["staff"][index]))
        places.setdefault(place, []).append(index)
    for members in places.values():
        numbers = sorted(set(truth["voice"][members].tolist()))
        for index in members:
            number = int(truth["voice"][index])
            voices[index] = 0 if len(numbers) == 1 else 1 if number == numbers[0] else 2
    return voices
