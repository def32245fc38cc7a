"""Of rivals one stays; what can stand side by side does."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from services.omr.contract import CLASS, DURATION, FIELDS, POSITION, SCORE, WIDTH, X, Y
from services.omr.symbols import least_scores, resolve
from services.omr.vocabulary import CLASS_INDEX, CLASSES, SymbolClass


def candidate(kind: SymbolClass, score: float, x: float, y: float) -> NDArray[np.float32]:
    values = np.zeros(FIELDS, np.float32)
    values[[SCORE, CLASS, X, Y]] = score, CLASS_INDEX[kind], x, y
    return values


def test_of_two_names_for_one_symbol_the_likelier_stays() -> None:
    found = resolve(
        np.stack(
            [
                candidate(SymbolClass.NOTEHEAD_HALF, 0.6, 101, 200),
                candidate(SymbolClass.NOTEHEAD_BLACK, 0.8, 100, 200),
                candidate(SymbolClass.REST_8TH, 0.5, 300, 100),
                candidate(SymbolClass.REST_QUARTER, 0.4, 301, 103),
            ]
        )
    )
    assert [symbol.kind for symbol in found] == [SymbolClass.NOTEHEAD_BLACK, SymbolClass.REST_8TH]


@pytest.mark.parametrize(("dx", "dy"), [(0, 5), (0, 10), (12, 5), (12, 0)])
def test_heads_of_a_chord_both_stay(dx: float, dy: float) -> None:
    heads = [
        candidate(SymbolClass.NOTEHEAD_BLACK, 0.9, 100, 100),
        candidate(SymbolClass.NOTEHEAD_BLACK, 0.8, 100 + dx, 100 + dy),
    ]
    assert len(resolve(np.stack(heads))) == 2


def test_symbols_of_different_families_do_not_rival() -> None:
    found = resolve(
        np.stack(
            [
                candidate(SymbolClass.NOTEHEAD_BLACK, 0.9, 100, 100),
                candidate(SymbolClass.STEM, 0.8, 101, 100),
                candidate(SymbolClass.SHARP, 0.7, 99, 100),
            ]
        )
    )
    assert len(found) == 3


def test_what_was_read_at_the_centre_is_kept() -> None:
    read = candidate(SymbolClass.NOTEHEAD_BLACK, 0.9, 10, 20)
    read[WIDTH], read[POSITION], read[DURATION] = 12, -4, np.arange(7)
    (symbol,) = resolve(read[np.newaxis])
    assert (symbol.x, symbol.y, symbol.width, symbol.position) == (10, 20, 12, -4)
    assert symbol.durations == tuple(range(7))


def test_nothing_found_is_no_symbol() -> None:
    assert resolve(np.zeros((0, FIELDS), np.float32)) == ()


def test_a_card_may_name_scores_by_class() -> None:
    least = least_scores({"thresholds": {"default": 0.25, "stem": 0.5}})
    assert least[CLASS_INDEX[SymbolClass.STEM]] == 0.5
    assert np.count_nonzero(least == np.float32(0.25)) == len(CLASSES) - 1
