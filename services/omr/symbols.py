"""From the model's candidates to the symbols of a page: each printed symbol once, under its likeliest name.

Two candidates that cannot both be there are rivals: the same symbol seen by two tiles, or one symbol that
could be either of two classes. The likelier one stays (greedy non-maximum suppression, by the distance of
centres rather than by overlapping boxes: boxes of chords, slanted beams and stems overlap by right).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.omr.contract import (
    CLASS,
    DOTS,
    DURATION,
    GRACE,
    HEIGHT,
    HIGHEST_POSITION,
    POSITION,
    POSITION_SCORE,
    SCORE,
    STEM,
    TIED_BACK,
    TIED_ON,
    TUPLET,
    WIDTH,
    X,
    Y,
)
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

#: Least score of a candidate where the model's card names none.
_LEAST_SCORE: Final = 0.3


@dataclass(frozen=True, slots=True)
class _Rivals:
    """Classes of which two cannot stand closer than this, in px between centres.

    Attributes:
        kinds: the classes.
        apart_x, apart_y: half axes of the ellipse around a symbol that holds its rivals.
    """

    kinds: frozenset[SymbolClass]
    apart_x: float
    apart_y: float


#: Heads of one chord are 5 px apart in height at least, or, a second, about 12 px to the side.
_GROUPS: Final = (
    _Rivals(HEADS, 7.0, 4.0),
    _Rivals(RESTS, 8.0, 8.0),
    _Rivals(ACCIDENTALS, 6.0, 5.0),
    _Rivals(CLEFS, 14.0, 16.0),
    _Rivals(BARLINES, 8.0, 20.0),
    _Rivals(TIME_FIGURES, 8.0, 9.0),
    _Rivals(TUPLET_FIGURES, 7.0, 7.0),
    _Rivals(FLAGS, 6.0, 8.0),
    _Rivals(frozenset({SymbolClass.AUGMENTATION_DOT, SymbolClass.STACCATO}), 4.0, 4.0),
    _Rivals(frozenset({SymbolClass.TIE_START, SymbolClass.SLUR_START}), 5.0, 4.0),
    _Rivals(frozenset({SymbolClass.TIE_END, SymbolClass.SLUR_END}), 5.0, 4.0),
    _Rivals(frozenset({SymbolClass.STEM}), 3.0, 10.0),
    _Rivals(frozenset({SymbolClass.BEAM}), 8.0, 4.0),
    _Rivals(frozenset({SymbolClass.BRACE}), 8.0, 40.0),
)
_GROUPED: Final = frozenset[SymbolClass]().union(*(group.kinds for group in _GROUPS))
#: All others rival only their own class.
_ALONE: Final = tuple(_Rivals(frozenset({kind}), 6.0, 6.0) for kind in CLASSES if kind not in _GROUPED)


def least_scores(card: Mapping[str, Any]) -> NDArray[np.float32]:
    """Read from the model's card how sure it must be of each class, float32 [classes].

    The card's `thresholds` gives scores by class name, and under `default` that of all others.
    """
    thresholds = card.get("thresholds", {})
    default = float(thresholds.get("default", _LEAST_SCORE))
    return np.array([float(thresholds.get(kind.value, default)) for kind in CLASSES], np.float32)


def resolve(candidates: NDArray[np.float32]) -> tuple[Symbol, ...]:
    """Choose among rivals, and give the symbols from the surest to the least sure.

    Args:
        candidates: float32 [N, FIELDS], in px of the page.
    """
    if not candidates.size:
        return ()
    ordered = candidates[np.argsort(-candidates[:, SCORE], kind="stable")]
    classes = ordered[:, CLASS].astype(np.intp)
    kept = np.zeros(len(ordered), bool)
    for group in (*_GROUPS, *_ALONE):
        members = np.flatnonzero(np.isin(classes, [CLASS_INDEX[kind] for kind in group.kinds]))
        x, y = ordered[members, X] / group.apart_x, ordered[members, Y] / group.apart_y
        kept[members[_survivors(x, y)]] = True
    return tuple(_symbol(candidate) for candidate in ordered[kept])


def _survivors(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each point, surest first, is at least 1 away from all surer ones that stay."""
    stays = np.ones(len(x), bool)
    for index in range(len(x)):
        if stays[index]:
            later = slice(index + 1, None)
            stays[later] &= (x[later] - x[index]) ** 2 + (y[later] - y[index]) ** 2 >= 1.0
    return stays


def _symbol(candidate: NDArray[np.float32]) -> Symbol:
    values = candidate.tolist()
    position = min(max(round(values[POSITION]), -HIGHEST_POSITION), HIGHEST_POSITION)
    return Symbol(
        kind=CLASSES[int(values[CLASS])],
        confidence=values[SCORE],
        x=values[X],
        y=values[Y],
        width=values[WIDTH],
        height=values[HEIGHT],
        position=position,
        position_confidence=values[POSITION_SCORE],
        durations=tuple(values[DURATION]),
        dots=tuple(values[DOTS]),
        stem=tuple(values[STEM]),
        tuplet=tuple(values[TUPLET]),
        grace=values[GRACE],
        tied_back=values[TIED_BACK],
        tied_on=values[TIED_ON],
    )
